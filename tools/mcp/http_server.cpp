#include "tools/mcp/http_server.h"

#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <vector>

#include "tools/mcp/http_connection.h"

namespace gyges::mcp {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr std::chrono::seconds sweep_interval{1};
constexpr std::chrono::milliseconds pause_without_descriptors{100};

class HttpServer {
 public:
  HttpServer(Service& service, const HttpOptions& options, HttpGuard guard)
      : state_(std::make_shared<HttpState>(
            service, options, std::move(guard),
            [this](std::weak_ptr<HttpSession> session) { tell_of_the_end(std::move(session)); },
            [this](std::weak_ptr<HttpSession> session, std::string change) {
              tell(std::move(session), std::move(change));
            })),
        acceptor_(context_),
        sweep_timer_(context_),
        pause_timer_(context_),
        stop_(context_) {}

  Status listen(const tcp::endpoint& where) {
    ErrorCode error;
    acceptor_.open(where.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(where, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error)
      return fail_errno("listen", state_->options.address + ":" + std::to_string(where.port()),
                        error.value(), "name another address or port with --http");
    if (state_->options.listening) state_->options.listening(acceptor_.local_endpoint().port());
    return ok();
  }

  void run() {
    // A copy of the descriptor: the caller keeps its own.
    if (int fd = ::dup(state_->options.stop); fd >= 0) {
      stop_.assign(fd);
      stop_.async_wait(asio::posix::stream_descriptor::wait_read, [this](ErrorCode error) {
        if (!error) stop();
      });
    }
    accept();
    sweep();
    context_.run();
    state_->sessions.end_all();
  }

 private:
  // By a thread of the session's.
  void tell_of_the_end(std::weak_ptr<HttpSession> session) {
    asio::post(context_, [weak = std::move(session)] {
      auto known = weak.lock();
      if (known && wants_session_over(known->peer))
        deliver_event(known.get(), *known->streams.own(), session_over_text());
    });
  }

  // Likewise.
  void tell(std::weak_ptr<HttpSession> session, std::string text) {
    asio::post(context_, [weak = std::move(session), text = std::move(text)] {
      if (auto known = weak.lock()) deliver_event(known.get(), *known->streams.own(), text);
    });
  }

  void stop() {
    state_->stopping = true;
    ErrorCode ignored;
    acceptor_.close(ignored);
    sweep_timer_.cancel();
    pause_timer_.cancel();
    for (auto& weak : connections_)
      if (auto connection = weak.lock()) connection->close();
  }

  void accept() {
    acceptor_.async_accept([this](ErrorCode error, tcp::socket socket) {
      if (state_->stopping) return;
      if (error) {
        // Out of descriptors, mostly: some will be closed.
        pause_timer_.expires_after(pause_without_descriptors);
        pause_timer_.async_wait([this](ErrorCode cancelled) {
          if (!cancelled) accept();
        });
        return;
      }
      // One too many is closed at once.
      if (state_->connections < state_->options.connections) {
        auto connection = std::make_shared<HttpConnection>(std::move(socket), state_);
        connections_.push_back(connection);
        connection->start();
      }
      accept();
    });
  }

  void sweep() {
    sweep_timer_.expires_after(sweep_interval);
    sweep_timer_.async_wait([this](ErrorCode cancelled) {
      if (cancelled) return;
      auto now = HttpSessions::Clock::now();
      state_->sessions.sweep(now);
      std::erase_if(connections_, [](const auto& weak) { return weak.expired(); });
      for (auto& weak : connections_)
        if (auto connection = weak.lock()) connection->look(now);
      sweep();
    });
  }

  asio::io_context context_{1};
  std::shared_ptr<HttpState> state_;
  tcp::acceptor acceptor_;
  asio::steady_timer sweep_timer_;
  asio::steady_timer pause_timer_;
  asio::posix::stream_descriptor stop_;
  std::vector<std::weak_ptr<HttpConnection>> connections_;
};

}  // namespace

Status serve_http(Service& service, const HttpOptions& options) {
  ErrorCode error;
  auto address = asio::ip::make_address(options.address, error);
  if (error)
    return fail("listen", options.address, "this is no IP address",
                "name one as in --http 127.0.0.1:8931");
  if (!address.is_loopback() && options.token.empty())
    return fail("listen", options.address, "everybody who reaches this address could use the tools",
                "give a bearer token with --token-file FILE, or listen at 127.0.0.1");
  std::vector<std::string> hosts = options.allowed_hosts;
  if (!address.is_unspecified())
    hosts.push_back(address.is_v6() ? "[" + options.address + "]" : options.address);
  HttpServer server(service, options,
                    HttpGuard(std::move(hosts), options.allowed_origins, options.token));
  GYGES_CHECK(server.listen({address, options.port}));
  server.run();
  return ok();
}

}  // namespace gyges::mcp
