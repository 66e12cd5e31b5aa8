#include "agent_runtime/gateway/outlet_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <system_error>
#include <vector>

#include "base/quiet_thread.h"
#include "base/text.h"

namespace gyges::gateway {
namespace {

using network::Frame;
using network::FrameKind;

bool same_name(std::string_view one, std::string_view other) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [&](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : head.headers)
    if (same_name(key, name)) return value;
  return {};
}

class OutletServer::Link {
 public:
  Link(OutletServer& server, UniqueFd socket) : server_(server), socket_(std::move(socket)) {
    reader_ = quiet_thread([this] { read(); });
  }

  ~Link() {
    {
      std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    ::shutdown(socket_.get(), SHUT_RDWR);
    wake_.notify_all();
    room_.notify_all();
    reader_.join();
    for (auto& worker : workers_) worker.join();
  }

  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

 private:
  struct Exchange {
    HttpRequest request;
    std::atomic<bool> gone = false;
    std::function<void()> when_gone;              // may be empty
    std::size_t window = network::answer_window;  // bytes of the answer that may be sent now
  };
  using Shared = std::shared_ptr<Exchange>;

  // Under the lock: whoever takes back what it wanted done knows that it is not being done.
  static void leave(Exchange& exchange) {
    if (!exchange.gone.exchange(true) && exchange.when_gone) exchange.when_gone();
  }

  class LinkAnswer final : public Answer {
   public:
    LinkAnswer(Link& link, std::uint64_t number, Exchange& exchange)
        : link_(link), number_(number), exchange_(exchange) {}
    bool head(const network::OutletResponse& response) override {
      headed_ = true;
      return send(FrameKind::head, encode_response(response));
    }
    bool body(std::string_view bytes) override {
      while (!bytes.empty()) {
        std::string_view piece = bytes.substr(0, network::most_body_piece);
        if (!link_.take_room(exchange_, piece.size()) || !send(FrameKind::body, piece))
          return false;
        bytes.remove_prefix(piece.size());
      }
      return !gone();
    }
    [[nodiscard]] bool gone() const override { return exchange_.gone; }
    void when_gone(std::function<void()> what) override {
      std::scoped_lock lock(link_.mutex_);
      exchange_.when_gone = std::move(what);
      if (exchange_.gone && exchange_.when_gone) exchange_.when_gone();
    }
    void finish(bool whole) { send(whole && headed_ ? FrameKind::end : FrameKind::abort, {}); }

   private:
    bool send(FrameKind kind, std::string_view bytes) {
      if (gone()) return false;
      std::string frame;
      network::append_frame(frame, kind, number_, bytes);
      return link_.write(frame);
    }
    Link& link_;
    std::uint64_t number_;
    Exchange& exchange_;
    bool headed_ = false;
  };

  bool write(std::string_view bytes) {
    std::scoped_lock lock(write_mutex_);
    while (!bytes.empty()) {
      ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  // Waits until the client has taken enough of what was sent before. False: nobody listens.
  bool take_room(Exchange& exchange, std::size_t bytes) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return stopping_ || exchange.gone || exchange.window >= bytes; });
    if (stopping_ || exchange.gone) return false;
    exchange.window -= bytes;
    return true;
  }

  void refuse(std::uint64_t exchange) {
    std::string refusal;
    network::append_frame(refusal, FrameKind::abort, exchange, {});
    write(refusal);
  }

  void read() {
    network::FrameReader frames;
    std::vector<char> buffer(256U << 10U);
    // Sleeps in poll() and not in recv(): there, the room that the gateway makes by reading an
    // answer would wake this thread too, and it would run before the gateway hands that answer on.
    pollfd arrived{socket_.get(), POLLIN, 0};
    for (;;) {
      if (::poll(&arrived, 1, -1) < 0 && errno != EINTR) return end_all({});
      ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (n <= 0) return end_all({});
      frames.feed({buffer.data(), static_cast<std::size_t>(n)});
      for (;;) {
        auto frame = frames.next();
        if (!frame) return end_all(frame.error().line());
        if (!*frame) break;
        if (auto taken = take(**frame); !taken) return end_all(taken.error().line());
      }
    }
  }

  Status take(const Frame& frame) {
    std::unique_lock lock(mutex_);
    auto found = exchanges_.find(frame.exchange);
    auto broken = [](const char* why) {
      return fail("serve the sandbox", "a handed out request", why);
    };
    if (frame.kind == FrameKind::head) {
      if (found != exchanges_.end() || handled_.contains(frame.exchange))
        return broken("its number is in use");
      if (exchanges_.size() + handled_.size() >= most_exchanges) {
        lock.unlock();
        refuse(frame.exchange);
        return ok();
      }
      auto exchange = std::make_shared<Exchange>();
      GYGES_TRY(exchange->request.head, network::decode_request(frame.bytes));
      exchanges_[frame.exchange] = std::move(exchange);
      return ok();
    }
    if (frame.kind == FrameKind::abort) {
      if (found != exchanges_.end()) {
        held_ -= found->second->request.body.size();
        exchanges_.erase(found);
      } else if (auto handled = handled_.find(frame.exchange); handled != handled_.end()) {
        leave(*handled->second);
        room_.notify_all();
      }
      return ok();
    }
    if (frame.kind == FrameKind::more) {
      auto handled = handled_.find(frame.exchange);
      if (handled == handled_.end()) return ok();  // is over
      GYGES_TRY(std::size_t bytes, network::decode_more(frame.bytes));
      std::size_t& window = handled->second->window;
      window = std::min(window + bytes, network::answer_window);
      room_.notify_all();
      return ok();
    }
    if (found == exchanges_.end()) return ok();  // was refused
    std::string& body = found->second->request.body;
    if (frame.kind == FrameKind::body) {
      if (body.size() + frame.bytes.size() > most_body) return broken("its body is too long");
      if (held_ + frame.bytes.size() > most_held) {
        held_ -= body.size();
        exchanges_.erase(found);
        lock.unlock();
        refuse(frame.exchange);
        return ok();
      }
      held_ += frame.bytes.size();
      body += frame.bytes;
      return ok();
    }
    if (idle_ <= ready_.size() && workers_.size() < most_exchanges) add_worker();
    if (workers_.empty()) {  // the user's limit on processes, which the agent's count against, too
      held_ -= found->second->request.body.size();
      exchanges_.erase(found);
      lock.unlock();
      refuse(frame.exchange);
      return ok();
    }
    handled_[frame.exchange] = found->second;
    ready_.push_back(frame.exchange);
    exchanges_.erase(found);
    lock.unlock();
    wake_.notify_one();
    return ok();
  }

  // Where no thread is to be had those that are there do it, one after the other.
  void add_worker() {
    try {
      workers_.push_back(quiet_thread([this] { work(); }));
    } catch (const std::system_error&) {
    }
  }

  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      wake_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
      --idle_;
      if (stopping_) return;
      std::uint64_t number = ready_.front();
      ready_.pop_front();
      Shared exchange = handled_.at(number);
      lock.unlock();
      LinkAnswer answer(*this, number, *exchange);
      bool whole = !answer.gone() && server_.handler_(exchange->request, answer);
      lock.lock();
      held_ -= exchange->request.body.size();
      handled_.erase(number);
      lock.unlock();
      answer.finish(whole);
      lock.lock();
    }
  }

  void end_all(const std::string& fault) {
    if (!fault.empty()) {
      std::scoped_lock lock(server_.mutex_);
      if (server_.fault_.empty()) server_.fault_ = printable(fault);
    }
    ::shutdown(socket_.get(), SHUT_RDWR);
    std::scoped_lock lock(mutex_);
    exchanges_.clear();
    for (auto& [number, exchange] : handled_) leave(*exchange);
    room_.notify_all();
  }

  OutletServer& server_;
  UniqueFd socket_;
  std::mutex mutex_;
  std::mutex write_mutex_;
  std::condition_variable wake_;               // something is ready
  std::condition_variable room_;               // in a window, or nobody listens
  std::map<std::uint64_t, Shared> exchanges_;  // still arriving
  std::map<std::uint64_t, Shared> handled_;    // whole
  std::deque<std::uint64_t> ready_;
  std::size_t held_ = 0;  // bytes of bodies
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
  std::thread reader_;
};

OutletServer::OutletServer(ExchangeHandler handler) : handler_(std::move(handler)) {}
OutletServer::~OutletServer() {
  stop();
}

Result<UniqueFd> OutletServer::connect() {
  GYGES_TRY(Pipe sockets, make_socket_pair(SOCK_STREAM));
  int flags = ::fcntl(sockets.write.get(), F_GETFL);
  if (flags < 0 || ::fcntl(sockets.write.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("make the gateway's socket", "");
  try {
    links_.push_back(std::make_unique<Link>(*this, std::move(sockets.read)));
  } catch (const std::system_error& none) {
    return fail_errno("start thread", "for the gateway's socket", none.code().value(),
                      "raise the limit on processes (ulimit -u)");
  }
  return std::move(sockets.write);
}

void OutletServer::stop() {
  links_.clear();
}

std::string OutletServer::fault() const {
  std::scoped_lock lock(mutex_);
  return fault_;
}

}  // namespace gyges::gateway
