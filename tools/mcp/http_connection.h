// One connection of the HTTP server: reads requests one by one, answers each. For http_server.cpp.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "tools/mcp/http_guard.h"
#include "tools/mcp/http_server.h"

namespace gyges::mcp {

// What the connections of a server have in common. Used by the thread that runs the server.
struct HttpState {
  HttpState(Service& service, const HttpOptions& given, HttpGuard who)
      : options(given),
        guard(std::move(who)),
        protocol(service),
        sessions(service, given.sessions) {
    bounds.message_bytes = options.body_bytes;
  }
  HttpOptions options;
  HttpGuard guard;
  Protocol protocol;
  Bounds bounds;
  HttpSessions sessions;
  std::size_t connections = 0;
  bool stopping = false;
};

class HttpLink;

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(boost::asio::ip::tcp::socket socket, std::shared_ptr<HttpState> state);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void start() { read_header(); }
  // Cancels what runs and closes. By the server's thread.
  void close();

 private:
  friend class HttpLink;
  using Error = boost::beast::error_code;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void read_header();
  void check_header();
  void read_body();
  void take_request();
  void take_delete();
  void take_post();
  void take_stateless(const Message& message, const Headers& headers);
  void take_initialize(const Message& message, const Headers& headers);
  void act(const std::shared_ptr<HttpSession>& session, Step step);
  void begin_call(const std::shared_ptr<HttpSession>& session, Step step);
  void watch_for_hangup();
  void end_call();

  // A refusal without a message of the protocol, or a whole answer; then the next request.
  void refuse(unsigned status, std::string_view why, bool keep = true);
  void answer(unsigned status, std::string body, const std::string& more_headers = {});
  // From a running call; `last` ends it.
  void stream(std::string message);
  void finish_call(const Request& request, const Answer& answer);
  void send(std::string bytes, bool last);
  void write_next();
  void written();
  void linger(int reads);

  [[nodiscard]] std::optional<std::string> header(std::string_view name) const;
  [[nodiscard]] Headers headers() const;
  [[nodiscard]] bool takes_streams() const;

  boost::beast::tcp_stream stream_;
  std::shared_ptr<HttpState> state_;
  std::string address_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::deque<std::string> unsent_;
  std::size_t unsent_bytes_ = 0;
  bool writing_ = false;
  bool streaming_ = false;  // the answer is an event stream
  bool complete_ = false;   // the answer has been handed to send() whole
  bool keep_ = true;        // the connection serves another request after it
  bool closed_ = false;
  bool cancel_on_hangup_ = false;
  std::string session_header_;         // of the answer
  std::shared_ptr<HttpLink> running_;  // the call that is being answered
  // This connection, while a call runs: then nothing may be read or written that would hold it.
  std::shared_ptr<HttpConnection> held_;
};

}  // namespace gyges::mcp
