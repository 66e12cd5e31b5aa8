#include "cli/view_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cerrno>
#include <exception>
#include <memory>
#include <optional>

#include "tools/mcp/http_guard.h"

namespace gyges::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr std::chrono::seconds idle_time{60};
constexpr std::uint32_t header_bytes = 16U << 10U;
constexpr std::uint64_t body_bytes = 64U << 10U;
constexpr std::size_t connections_at_most = 64;
// After a failure to accept, most of all for want of descriptors: the connection stays in the
// kernel's queue, and to try again at once would be a busy loop.
constexpr std::chrono::milliseconds accept_pause{200};

struct ViewState {
  const ViewServerOptions& options;
  mcp::HttpGuard guard;
  asio::thread_pool* workers = nullptr;
  std::size_t connections = 0;
};

ViewAnswer in_words(unsigned status, std::string why) {
  return {status, std::move(why), "text/plain; charset=utf-8", false};
}

// Reads one request after the other and answers each. Lives on the thread that runs the context;
// only the answer is made elsewhere.
class ViewConnection : public std::enable_shared_from_this<ViewConnection> {
 public:
  ViewConnection(tcp::socket socket, ViewState& state) : stream_(std::move(socket)), state_(state) {
    ++state_.connections;
  }
  ~ViewConnection() { --state_.connections; }
  ViewConnection(const ViewConnection&) = delete;
  ViewConnection& operator=(const ViewConnection&) = delete;

  void read() {
    parser_.emplace();
    parser_->header_limit(header_bytes);
    parser_->body_limit(state_.options.take ? body_bytes : 0);
    stream_.expires_after(idle_time);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](ErrorCode error, std::size_t) {
                       if (!error) self->respond();
                     });
  }

 private:
  std::optional<std::string_view> header(http::field name) const {
    auto found = parser_->get().find(name);
    if (found == parser_->get().end()) return std::nullopt;
    return std::string_view(found->value().data(), found->value().size());
  }

  // What can be said at once; none where the request is for what takes its time.
  std::optional<ViewAnswer> quick_answer(std::string_view target) const {
    const auto& request = parser_->get();
    if (request.count(http::field::host) != 1 ||
        !state_.guard.host_allowed(header(http::field::host).value_or("")) ||
        !state_.guard.origin_allowed(header(http::field::origin)))
      return in_words(403, "This name is not served here.");
    if (request.method() != http::verb::get && !is_post()) return in_words(405, "Only GET.");
    if (target == "/" && !is_post())
      return ViewAnswer{200, std::string(state_.options.page), "text/html; charset=utf-8", false};
    if (!target.starts_with("/api/")) return in_words(404, "There is no such page.");
    if (!state_.guard.token_allowed(header(http::field::authorization)))
      return in_words(401, "The token is missing or wrong: open the address that gyges printed.");
    return std::nullopt;
  }

  [[nodiscard]] bool is_post() const {
    return parser_->get().method() == http::verb::post && state_.options.take;
  }

  [[nodiscard]] ViewAnswer slow_answer(std::string_view target) const {
    try {
      if (is_post()) return state_.options.take(target, parser_->get().body());
      return state_.options.answer(target);
    } catch (const std::exception& wrong) {  // of libraries: memory that ran out
      return in_words(500, std::string("This could not be answered: ") + wrong.what());
    }
  }

  void respond() {
    std::string target(parser_->get().target());
    if (std::optional<ViewAnswer> answer = quick_answer(target)) return write(std::move(*answer));
    asio::post(*state_.workers, [self = shared_from_this(), target = std::move(target)]() mutable {
      ViewAnswer answer = self->slow_answer(target);
      auto back = self->stream_.get_executor();
      // Handed back whole: this thread must not be the one that ends the connection.
      asio::post(back, [self = std::move(self), answer = std::move(answer)]() mutable {
        self->write(std::move(answer));
      });
    });
  }

  void write(ViewAnswer answer) {
    response_ = {};
    response_.version(11);
    response_.result(answer.status);
    response_.set(http::field::content_type, answer.type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    response_.set("X-Frame-Options", "DENY");
    response_.set("Referrer-Policy", "no-referrer");
    response_.set("Cross-Origin-Resource-Policy", "same-origin");
    if (answer.packed) response_.set(http::field::content_encoding, "gzip");
    response_.body() = std::move(answer.body);
    response_.keep_alive(parser_->get().keep_alive());
    response_.prepare_payload();
    stream_.expires_after(idle_time);
    http::async_write(stream_, response_,
                      [self = shared_from_this()](ErrorCode error, std::size_t) {
                        if (!error && self->response_.keep_alive()) self->read();
                      });
  }

  beast::tcp_stream stream_;
  ViewState& state_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http::response<http::string_body> response_;
};

}  // namespace

Result<std::string> new_view_token() {
  std::array<unsigned char, 24> bytes{};
  if (::getentropy(bytes.data(), bytes.size()) != 0)
    return fail_errno("make token", "random bytes");
  constexpr std::string_view digits = "0123456789abcdef";
  std::string token;
  for (unsigned char byte : bytes) {
    token += digits[byte >> 4U];
    token += digits[byte & 15U];
  }
  return token;
}

Status serve_view(const ViewServerOptions& options) {
  ViewState state{options, mcp::HttpGuard({}, {}, options.token)};  // outlives the connections
  asio::io_context context;
  // Ended before the context, whose sockets its answers belong to.
  asio::thread_pool workers(options.threads);
  state.workers = &workers;
  tcp::acceptor acceptor(context);
  asio::steady_timer pause(context);
  tcp::endpoint where(asio::ip::address_v4::loopback(), options.port);
  ErrorCode error;
  acceptor.open(where.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(where, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return fail_errno("listen", "127.0.0.1:" + std::to_string(options.port), error.value(),
                      "name another port with --port, or none");
  // Before anybody hears of the port: a server that cannot be stopped must not begin.
  asio::posix::stream_descriptor stop(context);
  int stop_fd = ::fcntl(options.stop, F_DUPFD_CLOEXEC, 0);
  if (stop_fd < 0)
    return fail_errno("watch for the end", "gyges view", errno,
                      "raise the limit of open files (ulimit -n)");
  if (stop.assign(stop_fd, error); error) {
    ::close(stop_fd);
    return fail_errno("watch for the end", "gyges view", error.value(),
                      "raise the limit of open files (ulimit -n)");
  }
  stop.async_wait(asio::posix::stream_descriptor::wait_read, [&](ErrorCode stopped) {
    if (!stopped) context.stop();
  });
  if (options.listening) options.listening(acceptor.local_endpoint().port());
  std::function<void()> accept = [&] {
    acceptor.async_accept([&](ErrorCode failed, tcp::socket socket) {
      if (failed == asio::error::operation_aborted) return;
      if (failed) {
        pause.expires_after(accept_pause);
        pause.async_wait([&](ErrorCode ended) {
          if (!ended) accept();
        });
        return;
      }
      // One too many is closed at once.
      if (state.connections < connections_at_most)
        std::make_shared<ViewConnection>(std::move(socket), state)->read();
      accept();
    });
  };
  accept();
  context.run();
  return ok();
}

}  // namespace gyges::cli
