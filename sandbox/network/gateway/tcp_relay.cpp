// What a connection does with its destination: whether and what it dials, and the bytes to and fro.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "sandbox/network/gateway/gateway.h"
#include "sandbox/network/gateway/tcp_connection.h"
#include "sandbox/network/gateway/tcp_queue.h"
#include "sandbox/network/http/aside_hashing.h"
#include "sandbox/network/http/moved_pages.h"

namespace gyges::network {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t dial_time = 30 * second;
constexpr std::int64_t guard_time = 10 * second;
// Little is copied faster than it is moved. It begins with much and ends with little.
constexpr std::size_t worth_moving = 65536;
constexpr std::size_t least_moved = 16384;

}  // namespace

NameGuard::Watch TcpConnection::watch_http(const TlsFacts* tls, bool strict) {
  http_ = std::make_unique<RelayedHttp>(
      [this](Flow flow) { record(std::move(flow)); }, gateway_.policy().body_bytes,
      RelayedHttp::Search{gateway_.world().canaries(), gateway_.world().split_canaries()}, tls,
      hash_of(decision_));
  return {[this](const RequestHead& head) { return http_->request(head, gateway_.now()); },
          [this](std::string_view bytes) { http_->request_body(bytes); },
          [this](std::string_view name, std::string_view value) {
            http_->request_trailer(name, value);
          },
          [this](std::string_view text) { http_->request_extension(text); },
          [this, strict](const RequestHead& head, const std::string& reason) {
            if (strict) http_->refused(head, reason, gateway_.now());
          }};
}

void TcpConnection::guard() {
  guard_ = std::make_unique<NameGuard>(
      *decision_.rule, connection_.destination.port,
      [this] { return gateway_.names_of(connection_.destination.address); },
      watch_http(nullptr, true));
  limit_.set(gateway_, gateway_.now() + guard_time, [this] {
    if (!over_ && !upstream_ && !upstream_ended_)
      refuse("the client did not say within 10 s which name it means");
  });
}

// Bytes of the client go on only as far as the guard has seen what they mean.
void TcpConnection::guarded(std::string_view bytes) {
  std::string_view ready = guard_->feed(bytes);
  flow_.sni = guard_->sni();
  if (!guard_->name().empty()) flow_.name = guard_->name();
  if (!guard_->refusal().empty()) return refuse(guard_->refusal());
  if (ready.empty()) return;
  if (decision_.rule->intercept && !guard_->sni().empty()) return intercept(std::string(ready));
  if (!upstream_ && !upstream_ended_) dial();
  if (over_) return;
  if (http_) http_->passed();
  pass_on(ready);
}

void TcpConnection::pass_on(std::string_view bytes) {
  moves_up_ = bytes.size() >= worth_moving && may_move_up();
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
  // Within the host nothing is to be paced, as on the sandbox's link (init/gateway_listener.cpp). A
  // host that forbids it to us paces all the same.
  constexpr std::string_view unpaced = "reno";
  if (upstream_ && is_on_this_host(to))
    (void)::setsockopt(upstream_.get(), IPPROTO_TCP, TCP_CONGESTION, unpaced.data(),
                       unpaced.size());
  if (!upstream_ ||
      (::connect(upstream_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 &&
       errno != EINPROGRESS)) {
    flow_.reason = std::strerror(errno);
    reset();
    return;
  }
  connecting_ = true;
  limit_.set(gateway_, gateway_.now() + dial_time, [this] {
    if (over_ || !connecting_) return;
    flow_.reason = "the destination did not answer within 30 s";
    reset();
  });
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

// Whether nobody here reads what the destination sends.
bool TcpConnection::may_move() const {
  bool hidden = !http_ || !guard_->sni().empty();  // in TLS, where no exchange is seen
  return hidden && interception_ == nullptr && !gateway_.scarce() &&
         received_body_.has_seen_enough() && MovedPages::instance().ready(received_body_.hashes());
}

// Nor what the sandbox sends, of which no hash is kept that it could belie.
bool TcpConnection::may_move_up() const {
  return upstream_ && !connecting_ && to_upstream_.empty() && !service_ && !guard_ && !sniffing_ &&
         !closing_ && !gateway_.scarce() && !sent_body_->hashes() &&
         sent_body_->has_seen_enough() && MovedPages::instance().ready(false);
}

void TcpConnection::move_up() {
  MovedPages& pages = MovedPages::instance();
  const ssize_t n = pages.take(fd_.get());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {  // the end, or what is wrong, is there to be read once more
    moves_up_ = false;
    return read_client();
  }
  const auto count = static_cast<std::size_t>(n);
  sent_body_->feed_moved(pages, count);
  flow_.sent_bytes += count;
  pages.give(upstream_.get(), count, to_upstream_);
  moves_up_ = count >= least_moved;
}

void TcpConnection::read_upstream() {
  const bool moved = moves_ && unsent() == 0 && may_move();
  MovedPages& pages = MovedPages::instance();
  // Large: what is relayed costs three calls to the kernel a piece.
  auto& buffer = AsideHashing::instance().piece();
  ssize_t n = moved ? pages.take(upstream_.get())
                    : ::recv(upstream_.get(), buffer.data(),
                             gateway_.scarce() ? scarce_step : buffer.size(), 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) {
    flow_.reason = std::strerror(errno);
    reset();
    return;
  }
  if (n == 0) {
    upstream_ended_ = true;
    if (interception_ != nullptr) return interception_->server_ended();
    if (http_) http_->server_ended(gateway_.now());
    if (unsent() == 0) ::shutdown(fd_.get(), SHUT_WR);
    if (client_ended_ && unsent() == 0) finish("");
    return;
  }
  const auto count = static_cast<std::size_t>(n);
  if (moved) {
    received_body_.feed_moved(pages, count);
    flow_.received_bytes += count;
    pages.give(fd_.get(), count, to_client_);
    moves_ = count >= least_moved;
    return;
  }
  std::string_view bytes(buffer.data(), count);
  if (interception_ != nullptr) return interception_->from_server(bytes);
  std::vector<CanaryHit> none;
  received_body_.feed(bytes, none);
  if (http_) http_->response(bytes, gateway_.now());
  moves_ = count >= worth_moving && may_move();
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
    clear_queue(to_upstream_, sent_upstream_);
    if (client_ended_) ::shutdown(upstream_.get(), SHUT_WR);
  }
}

}  // namespace gyges::network
