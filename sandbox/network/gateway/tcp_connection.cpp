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
#include "sandbox/network/tls/client_hello.h"

namespace gyges::network {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t dial_time = 30 * second;
constexpr std::int64_t guard_time = 10 * second;
constexpr std::int64_t linger_time = 60 * second;  // after the client's end

// One thread; the bytes are used up before the next read.
std::array<char, 65536>& scratch() {
  static std::array<char, 65536> buffer;
  return buffer;
}

// Keeps a queue that is never empty from growing for ever.
void drop_sent(std::string& queue, std::size_t& sent) {
  if (sent < 65536) return;
  queue.erase(0, sent);
  sent = 0;
}

}  // namespace

TcpConnection::TcpConnection(Gateway& gateway, UniqueFd fd, Connection connection,
                             const Decision& decision, bool world_answers)
    : gateway_(gateway),
      fd_(std::move(fd)),
      connection_(std::move(connection)),
      decision_(decision),
      world_answers_(world_answers) {
  flow_.time_ns = gateway_.now();
  flow_.connection = connection_.id;
  flow_.source = connection_.source;
  flow_.destination = connection_.destination;
  flow_.name = connection_.name;
  flow_.rule = decision_.rule != nullptr ? decision_.rule->name : "default";
  flow_.verdict = world_answers                           ? FlowVerdict::simulated
                  : decision_.action == RuleAction::relay ? FlowVerdict::relayed
                                                          : FlowVerdict::sunk;
}

TcpConnection::~TcpConnection() {
  *alive_ = false;
  service_.reset();
}

void TcpConnection::open(std::uint64_t key) {
  key_ = key;
  if (!world_answers_ && !gateway_.world().canaries().empty())
    search_.emplace(gateway_.world().canaries(), "tcp stream");
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
    if (names_network(*decision_.rule, connection_.destination.address))
      dial();
    else
      guard();
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

void TcpConnection::guard() {
  http_ = std::make_unique<RelayedHttp>([this](Flow flow) { record(std::move(flow)); });
  guard_ = std::make_unique<NameGuard>(
      *decision_.rule, connection_.destination.port,
      [this] { return gateway_.names_of(connection_.destination.address); },
      NameGuard::Watch{
          [this](const RequestHead& head) { return http_->request(head, gateway_.now()); },
          [this](std::uint64_t bytes) { http_->request_body(bytes); }});
  gateway_.at(gateway_.now() + guard_time, [this, alive = alive_] {
    if (*alive && !over_ && !upstream_ && !upstream_ended_)
      refuse("the client did not say within 10 s which name it means");
  });
}

// Bytes of the client go on only as far as the guard has seen what they mean.
void TcpConnection::guarded(std::string_view bytes) {
  std::string_view ready = guard_->feed(bytes);
  flow_.sni = guard_->sni();
  if (!guard_->refusal().empty()) return refuse(guard_->refusal());
  if (ready.empty()) return;
  if (!upstream_ && !upstream_ended_) dial();
  if (!over_) pass_on(ready);
}

void TcpConnection::pass_on(std::string_view bytes) {
  if (!upstream_) {
    if (upstream_ended_) reset();  // the destination is gone: as its own answer would be
    return;
  }
  if (to_upstream_.empty() && !connecting_) {
    ssize_t written = ::send(upstream_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  drop_sent(to_upstream_, sent_upstream_);
  to_upstream_ += bytes;
}

void TcpConnection::dial() {
  IpAddress target = unmapped(connection_.destination.address);
  flow_.reason = why_not_dialled(*decision_.rule, target);
  if (!flow_.reason.empty()) {
    flow_.verdict = FlowVerdict::refused;
    reset();
    return;
  }
  sockaddr_storage address{};
  Endpoint to{target, connection_.destination.port};
  unsigned length = to_sockaddr(to, address);
  flow_.dialled = to;
  upstream_.reset(::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  int on = 1;
  if (upstream_) ::setsockopt(upstream_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!upstream_ ||
      (::connect(upstream_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 &&
       errno != EINPROGRESS)) {
    flow_.reason = std::strerror(errno);
    reset();
    return;
  }
  connecting_ = true;
  gateway_.at(gateway_.now() + dial_time, [this, alive = alive_] {
    if (!*alive || !connecting_) return;
    flow_.reason = "the destination did not answer within 30 s";
    reset();
  });
}

void TcpConnection::note(FlowBody& body, std::string_view bytes) const {
  body.size += bytes.size();
  std::size_t room = gateway_.policy().body_bytes -
                     std::min<std::size_t>(gateway_.policy().body_bytes, body.head.size());
  body.head += bytes.substr(0, room);
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
  auto& buffer = scratch();
  ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) {
    finish("the sandbox reset the connection");
    return;
  }
  if (n == 0) {
    client_ended_ = true;
    if (service_) {
      service_->ended();
      gateway_.at(gateway_.now() + linger_time, [this, alive = alive_] {
        if (*alive && !over_) finish("the service did not close");
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
  if (service_) {
    service_->received(bytes);
    return;
  }
  note(flow_.sent, bytes);
  if (search_) search_->feed(bytes, flow_.canaries);
  if (guard_)
    guarded(bytes);
  else
    pass_on(bytes);
}

void TcpConnection::upstream_event(std::uint32_t events) {
  if (over_ || !upstream_) return;
  if (connecting_ && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
    int code = 0;
    socklen_t size = sizeof(code);
    ::getsockopt(upstream_.get(), SOL_SOCKET, SO_ERROR, &code, &size);
    if (code != 0) {
      flow_.reason = std::strerror(code);
      reset();
      return;
    }
    connecting_ = false;
    flush_upstream();
  } else {
    bool gone = (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (gone && (watched_upstream_ & EPOLLIN) == 0) {
      // Reported again and again. Nothing more comes or can be sent; what is queued for the client
      // still goes there. Where reading only waits for the client, the rest is read later.
      if (!upstream_ended_) return stop_watching_upstream();
      upstream_.reset();
      registered_upstream_ = false;
      if (unsent() == 0) finish("");
      return;
    }
    if (gone || (events & EPOLLIN) != 0) read_upstream();
    if (!over_ && (events & EPOLLOUT) != 0) flush_upstream();
  }
  if (!over_) update();
}

void TcpConnection::stop_watching_upstream() {
  gateway_.unwatch(upstream_.get());
  registered_upstream_ = false;
  watched_upstream_ = 0;
}

void TcpConnection::read_upstream() {
  auto& buffer = scratch();
  ssize_t n = ::recv(upstream_.get(), buffer.data(), buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) {
    flow_.reason = std::strerror(errno);
    reset();
    return;
  }
  if (n == 0) {
    upstream_ended_ = true;
    if (unsent() == 0) ::shutdown(fd_.get(), SHUT_WR);
    if (client_ended_ && unsent() == 0) finish("");
    return;
  }
  std::string_view bytes(buffer.data(), static_cast<std::size_t>(n));
  note(flow_.received, bytes);
  if (http_) http_->response(bytes, gateway_.now());
  send(bytes);
}

void TcpConnection::flush_upstream() {
  std::string_view rest = std::string_view(to_upstream_).substr(sent_upstream_);
  if (!rest.empty()) {
    ssize_t n = ::send(upstream_.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n > 0) sent_upstream_ += static_cast<std::size_t>(n);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      flow_.reason = std::strerror(errno);
      reset();
      return;
    }
  }
  if (sent_upstream_ == to_upstream_.size()) {
    to_upstream_.clear();
    sent_upstream_ = 0;
    if (client_ended_) ::shutdown(upstream_.get(), SHUT_WR);
  }
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
}

void TcpConnection::flush_client() {
  bool was_much = unsent() >= 65536;
  if (unsent() > 0) {
    ssize_t n = ::send(fd_.get(), to_client_.data() + sent_, unsent(), MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      finish("the sandbox reset the connection");
      return;
    }
    if (n > 0) sent_ += static_cast<std::size_t>(n);
  }
  if (unsent() == 0) {
    to_client_.clear();
    sent_ = 0;
    if (closing_) {
      finish("");
      return;
    }
    if (upstream_ended_) {
      ::shutdown(fd_.get(), SHUT_WR);
      if (client_ended_ || !upstream_) finish("");
    }
  }
  if (!over_ && service_ && was_much && unsent() < 65536) service_->drained();
}

// Watches what can make progress now.
void TcpConnection::update() {
  if (over_) return;
  bool room = sent_upstream_ + most_unsent > to_upstream_.size();
  std::uint32_t events = 0;
  if (!client_ended_ && !paused_ && !closing_ && room && unsent() < most_unsent) events |= EPOLLIN;
  if (unsent() > 0 || closing_) events |= EPOLLOUT;
  if ((events != watched_ || !registered_) &&
      gateway_.watch(fd_.get(), events, key_, !registered_).has_value()) {
    registered_ = true;
    watched_ = events;
  }
  if (!upstream_) return;
  events = 0;
  if (!connecting_ && !upstream_ended_ && unsent() < most_unsent) events |= EPOLLIN;
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
    finish("");
  else
    update();
}

void TcpConnection::reset() {
  if (over_) return;
  linger now{1, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  finish(flow_.reason);
}

void TcpConnection::wake_at(std::int64_t time_ns) {
  std::uint64_t mine = ++wake_;
  gateway_.at(time_ns, [this, mine, alive = alive_] {
    if (!*alive || over_ || mine != wake_ || !service_) return;
    service_->woken();
    if (!over_) update();
  });
}

std::int64_t TcpConnection::now_ns() const {
  return gateway_.now();
}

void TcpConnection::record(Flow flow) {
  if (flow.time_ns == 0) flow.time_ns = gateway_.now();
  flow.connection = connection_.id;
  flow.source = connection_.source;
  flow.destination = connection_.destination;
  if (flow.name.empty()) flow.name = connection_.name;
  if (flow.rule.empty()) flow.rule = flow_.rule;
  if (flow.verdict == FlowVerdict::refused && flow.reason.empty()) flow.verdict = flow_.verdict;
  gateway_.report(flow);
}

// The descriptors are closed now, the object goes at the end of this turn of the loop: a service
// may be on the stack.
void TcpConnection::finish(std::string_view reason) {
  if (over_) return;
  over_ = true;
  if (flow_.reason.empty()) flow_.reason = reason;
  report();
  fd_.reset();
  upstream_.reset();
  gateway_.forget(connection_.id);
}

// What TLS says in the clear, of connections that nobody here reads.
void TcpConnection::note_tls() {
  ClientHello hello;
  if (read_client_hello(flow_.sent.head, hello) != HelloState::whole) return;
  flow_.sni = hello.sni;
  flow_.tls = hello.version;
  if (!hello.alpn.empty()) flow_.alpn = hello.alpn.front();
}

void TcpConnection::report() {
  if (reported_) return;
  reported_ = true;
  if (http_) http_->finish(gateway_.now());
  if (!service_) note_tls();
  flow_.duration_ns = gateway_.now() - flow_.time_ns;
  gateway_.report(flow_);
}

}  // namespace gyges::network
