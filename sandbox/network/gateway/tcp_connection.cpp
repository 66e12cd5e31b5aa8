#include "sandbox/network/gateway/tcp_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "sandbox/network/gateway/gateway.h"
#include "sandbox/network/gateway/tcp_queue.h"
#include "sandbox/network/http/aside_hashing.h"
#include "sandbox/network/tls/client_hello.h"

namespace gyges::network {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t linger_time = 60 * second;  // after the client's end
constexpr std::size_t service_step = 262144;
// After our own end: what the client had sent or goes on to send is read and stands in the record,
// and does not turn the end into a reset that takes the answer with it.
constexpr std::int64_t after_end = 2 * second;
constexpr int most_remains = 64;  // reads

}  // namespace

BodyRecord::Hash hash_of(const Decision& decision) {
  return decision.rule == nullptr || decision.rule->hash ? BodyRecord::Hash::yes
                                                         : BodyRecord::Hash::no;
}

TcpConnection::TcpConnection(Gateway& gateway, UniqueFd fd, Connection connection,
                             const Decision& decision, bool world_answers)
    : gateway_(gateway),
      fd_(std::move(fd)),
      connection_(std::move(connection)),
      decision_(decision),
      world_answers_(world_answers),
      sent_body_(std::in_place, gateway.policy().body_bytes,
                 world_answers ? nullptr : &gateway.world().canaries(), "tcp stream",
                 hash_of(decision)),
      received_body_(gateway.policy().body_bytes, nullptr, {}, hash_of(decision)) {
  flow_.time_ns = gateway_.now();
  flow_.connection = connection_.id;
  flow_.socket = connection_.socket;
  flow_.source = connection_.source;
  flow_.destination = connection_.destination;
  flow_.name = connection_.name;
  flow_.rule = decision_.rule != nullptr ? decision_.rule->name : "default";
  flow_.verdict = world_answers                           ? FlowVerdict::simulated
                  : decision_.action == RuleAction::relay ? FlowVerdict::relayed
                                                          : FlowVerdict::sunk;
}

TcpConnection::~TcpConnection() {
  service_.reset();
  gateway_.count_queued(counted_queued_, 0);
  gateway_.count_busy(counted_busy_, {});
  report_left();
}

void TcpConnection::report_left() {
  if (!left_) return;
  Flow flow;
  flow.protocol = FlowProtocol::other;
  flow.verdict = FlowVerdict::refused;
  flow.reason = "its service did not read this";
  flow.sent_bytes = left_->size();
  flow.sent = left_->finish(true);
  flow.canaries = std::exchange(left_hits_, {});
  left_.reset();
  record(std::move(flow));
}

void TcpConnection::open(std::uint64_t key) {
  key_ = key;
  int on = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (world_answers_) {
    service_ = gateway_.world().open_stream(connection_, *this);
    if (service_ == nullptr) {
      flow_.verdict = FlowVerdict::refused;
      flow_.reason = "nothing listens there";
      reset();
      return;
    }
  } else if (decision_.action == RuleAction::relay) {
    if (names_network(*decision_.rule, connection_.destination.address)) {
      sniffing_ = decision_.rule->intercept;
      dial();
    } else {
      guard();
    }
  } else if (decision_.action == RuleAction::refuse) {
    return refuse("no rule allows it any more");
  }
  update();
}

void TcpConnection::refuse(std::string reason) {
  flow_.verdict = FlowVerdict::refused;
  flow_.reason = std::move(reason);
  reset();
}

void TcpConnection::client_event(std::uint32_t events) {
  if (over_) return;
  // Both are reported whether they were asked for or not, and again and again.
  bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
  if (gone && (watched_ & EPOLLIN) == 0) {
    finish(closing_ || client_ended_ ? "" : "the sandbox reset the connection");
    return;
  }
  if (gone || (events & EPOLLIN) != 0) read_client();
  if (!over_ && (events & EPOLLOUT) != 0) flush_client();
  if (!over_) update();
}

void TcpConnection::read_client() {
  if (moves_up_ && may_move_up()) return move_up();
  auto& buffer = AsideHashing::instance().piece();
  std::size_t most = service_ ? service_piece : buffer.size();
  ssize_t n = ::recv(fd_.get(), buffer.data(), gateway_.scarce() ? scarce_step : most, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) {
    finish(closing_ ? "" : "the sandbox reset the connection");
    return;
  }
  if (n == 0) {
    client_ended_ = true;
    if (lingering_) return finish("");
    if (sniffing_ && !hello_.empty()) {  // the beginning of a handshake, which nothing followed
      sent_body_->feed(hello_, flow_.canaries);
      pass_on(hello_);
    }
    if (service_) {
      service_->ended();
      if (interception_ == nullptr)
        limit_.set(gateway_, gateway_.now() + linger_time, [this] {
          if (!over_) finish("the service did not close");
        });
    } else if (upstream_ || upstream_ended_) {
      if (upstream_ && to_upstream_.empty() && !connecting_) ::shutdown(upstream_.get(), SHUT_WR);
      if (upstream_ended_ && unsent() == 0) finish("");
    } else if (guard_) {
      refuse("the client ended without saying which name it means");
    } else {
      finish("");  // a sink
    }
    return;
  }
  std::string_view bytes(buffer.data(), static_cast<std::size_t>(n));
  flow_.sent_bytes += bytes.size();
  if (lingering_) return left(service_->meaning(bytes), service_->is_searched());
  if (gateway_.exhausted()) return refuse("the gateway's memory is in use");
  if (service_) {
    service_->received(bytes);
    return;
  }
  if (sniffing_) return sniff(bytes);
  sent_body_->feed(bytes, flow_.canaries);
  if (guard_)
    guarded(bytes);
  else
    pass_on(bytes);
}

void TcpConnection::send(std::string_view bytes) {
  if (over_ || closing_) return;
  flow_.received_bytes += bytes.size();
  if (unsent() == 0) {
    ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  if (bytes.empty()) return;
  drop_sent(to_client_, sent_);
  to_client_ += bytes;
  update();  // a service may send without having been asked just now
}

void TcpConnection::flush_client() {
  bool had = unsent() > 0;
  if (had) {
    ssize_t n = ::send(fd_.get(), to_client_.data() + sent_, unsent(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      finish("the sandbox reset the connection");
      return;
    }
    if (n > 0) sent_ += static_cast<std::size_t>(n);
  }
  if (unsent() == 0) {
    clear_queue(to_client_, sent_);
    if (closing_) return await_end();
    if (upstream_ended_) {
      ::shutdown(fd_.get(), SHUT_WR);
      if (client_ended_ || !upstream_) finish("");
    }
  }
  if (over_ || !service_ || !had || unsent() >= (gateway_.scarce() ? 1 : 65536)) return;
  count_queued();
  service_->drained();
}

std::size_t TcpConnection::step() const {
  return gateway_.scarce() ? scarce_step : service_step;
}

void TcpConnection::count_queued() {
  std::size_t now = to_client_.capacity() + to_upstream_.capacity();
  gateway_.count_queued(counted_queued_, now);
  counted_queued_ = now;
}

// Whatever changes it ends in update() or finish().
void TcpConnection::count_busy() {
  const Busy now{!over_ && (connecting_ || sent_upstream_ < to_upstream_.size()),
                 !over_ && !client_ended_};
  gateway_.count_busy(counted_busy_, now);
  counted_busy_ = now;
}

// Watches what can make progress now.
void TcpConnection::update() {
  if (over_) return;
  count_queued();
  count_busy();
  std::size_t most = gateway_.scarce() ? 1 : most_unsent;
  bool room = sent_upstream_ + (moves_up_ ? 1 : most) > to_upstream_.size();
  std::uint32_t events = 0;
  if (!client_ended_ && !paused_ && !closing_ && room && unsent() < most) events |= EPOLLIN;
  if (lingering_) events |= EPOLLIN;
  if (unsent() > 0 || (closing_ && !lingering_)) events |= EPOLLOUT;
  if ((events != watched_ || !registered_) &&
      gateway_.watch(fd_.get(), events, key_, !registered_).has_value()) {
    registered_ = true;
    watched_ = events;
  }
  if (!upstream_) return;
  events = 0;
  if (!connecting_ && !upstream_ended_ && unsent() < (moves_ ? 1 : most)) events |= EPOLLIN;
  if (connecting_ || !to_upstream_.empty()) events |= EPOLLOUT;
  if (events == 0 && !registered_upstream_) return;
  if (events != watched_upstream_ || !registered_upstream_) {
    if (gateway_.watch(upstream_.get(), events, key_ + 1, !registered_upstream_).has_value()) {
      registered_upstream_ = true;
      watched_upstream_ = events;
    }
  }
}

void TcpConnection::pause(bool paused) {
  paused_ = paused;
  update();
}

void TcpConnection::close() {
  if (over_) return;
  closing_ = true;
  if (unsent() == 0)
    await_end();
  else
    update();
}

void TcpConnection::await_end() {
  if (lingering_) return;
  if (client_ended_ || service_ == nullptr || interception_ != nullptr) return finish("");
  lingering_ = true;
  ::shutdown(fd_.get(), SHUT_WR);
  limit_.set(gateway_, gateway_.now() + after_end, [this] { finish(""); });
  update();
}

void TcpConnection::left(std::string_view bytes, bool searched) {
  if (bytes.empty()) return;
  if (searched != left_searched_) report_left();
  left_searched_ = searched;
  if (!left_)
    left_.emplace(gateway_.policy().body_bytes, searched ? &gateway_.world().canaries() : nullptr,
                  "after the end");
  left_->feed(bytes, left_hits_);
}

// What the client had sent when the gateway ended the connection.
void TcpConnection::read_remains() {
  // Not the buffer of read_client(), which may be on the stack with bytes of its own.
  std::string buffer;
  for (int i = 0; i < most_remains && !client_ended_; ++i) {
    buffer.resize(service_piece);
    ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return;
    const std::string_view bytes(buffer.data(), static_cast<std::size_t>(n));
    flow_.sent_bytes += bytes.size();
    if (service_)
      left(service_->meaning(bytes), service_->is_searched());
    else
      sent_body_->feed(bytes, flow_.canaries);
  }
}

void TcpConnection::reset() {
  if (over_) return;
  linger now{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  finish(flow_.reason);
}

// Deadlines mostly move on: one timer for a connection, which looks again when it is early.
void TcpConnection::wake_at(std::int64_t time_ns) {
  wake_time_ = time_ns;
  if (wake_.is_set() && wake_.time() <= time_ns) return;
  wake_.set(gateway_, time_ns, [this] {
    if (over_ || lingering_ || !service_) return;
    if (wake_time_ > gateway_.now()) return wake_at(wake_time_);
    service_->woken();
    if (!over_) update();
  });
}

void Timer::set(Gateway& gateway, std::int64_t time_ns, std::function<void()> action) {
  cancel();
  gateway_ = &gateway;
  at_ = gateway.at(time_ns, [this, run = std::move(action)] {
    gateway_ = nullptr;  // the gateway has let go of it
    run();
  });
}

void Timer::cancel() {
  if (gateway_ != nullptr) gateway_->cancel(at_);
  gateway_ = nullptr;
}

std::int64_t TcpConnection::now_ns() const {
  return gateway_.now();
}

void TcpConnection::record(Flow flow) {
  if (flow.time_ns == 0) flow.time_ns = gateway_.now();
  flow.connection = connection_.id;
  flow.socket = connection_.socket;
  flow.source = connection_.source;
  flow.destination = connection_.destination;
  if (flow.name.empty()) flow.name = connection_.name;
  if (flow.rule.empty()) flow.rule = flow_.rule;
  bool unsaid = flow.verdict == FlowVerdict::refused && flow.reason.empty();
  // A handshake under the persona's authority, on the way to a real destination.
  bool intercepted = !world_answers_ && flow.verdict == FlowVerdict::simulated;
  if (unsaid || intercepted) flow.verdict = flow_.verdict;
  // Without a handshake nothing was dialled.
  if (!world_answers_ && flow.protocol == FlowProtocol::tls &&
      flow.verdict == FlowVerdict::refused && !upstream_) {
    flow_.verdict = FlowVerdict::refused;
    flow_.reason = flow.reason;
  }
  gateway_.report(flow);
}

// The descriptors are closed now, the object goes at the end of this turn of the loop: a service
// may be on the stack.
void TcpConnection::finish(std::string_view reason) {
  if (over_) return;
  over_ = true;
  count_busy();
  if (fd_) read_remains();
  if (flow_.reason.empty()) flow_.reason = reason;
  report();
  fd_.reset();
  upstream_.reset();
  gateway_.forget(connection_.id);
}

// What TLS says in the clear, of connections that nobody here reads.
void TcpConnection::note_tls() {
  ClientHello hello;
  if (read_client_hello(sent_body_->head(), hello) != HelloState::whole) return;
  flow_.sni = hello.sni;
  flow_.tls = hello.version;
  if (!hello.alpn.empty()) flow_.alpn = hello.alpn.front();
}

void TcpConnection::report() {
  if (reported_) return;
  reported_ = true;
  if (http_) http_->finish(gateway_.now(), flow_.reason);
  if (!world_answers_) {
    if (!service_) note_tls();
    // Each direction has its own end; the run may come to its before both have.
    flow_.sent = sent_body_->finish(over_ || client_ended_);
    flow_.received = received_body_.finish(over_ || upstream_ended_);
  }
  flow_.duration_ns = gateway_.now() - flow_.time_ns;
  gateway_.report(flow_);
}

}  // namespace gyges::network
