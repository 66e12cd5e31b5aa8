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
  HttpState(Service& service, const HttpOptions& given, HttpGuard who, HttpSessions::Over over,
            HttpSessions::Tell tell)
      : options(given),
        guard(std::move(who)),
        protocol(service),
        sessions(service, given.sessions, std::move(over), std::move(tell)) {
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

// The beginning of an answer that is an event stream.
std::string stream_header(bool keep_connection);
// Keeps the message as the stream's next event, where the session is still there to keep it (null:
// it is not), and hands it to the connection that reads it.
void deliver_event(HttpSession* session, EventStream& stream, std::string message);

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(boost::asio::ip::tcp::socket socket, std::shared_ptr<HttpState> state);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  void start() { read_header(); }
  // All by the server's thread. Cancels what runs and closes.
  void close();
  // Once a second: says what is due on a stream.
  void look(std::chrono::steady_clock::time_point now);
  // Whether the link's answer is waited for here.
  [[nodiscard]] bool answers(const HttpLink& link) const;
  // What comes from now on is of this stream; another connection that reads it ends.
  void begin_stream(const std::shared_ptr<EventStream>& events);
  // One message; without `id` where it is not kept.
  void stream(const std::string& message, const std::string& id = {});
  void stream_comment(const std::string& text);
  void end_stream();

 private:
  friend class HttpLink;
  using Error = boost::beast::error_code;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void read_header();
  void check_header();
  void read_body();
  void take_request();
  void take_delete();
  void take_get();
  void take_post();
  void take_stateless(const Message& message, const Headers& headers);
  void take_initialize(const Message& message, const Headers& headers);
  void act(const std::shared_ptr<HttpSession>& session, Step step);
  void begin_call(const std::shared_ptr<HttpSession>& session, Step step);
  void watch_for_hangup();
  void end_call();
  void leave_stream();

  // A refusal without a message of the protocol, or a whole answer; then the next request.
  void refuse(unsigned status, std::string_view why, bool keep = true);
  void answer(unsigned status, std::string body, const std::string& more_headers = {});
  void finish_call(std::string message, unsigned status);
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
  std::chrono::steady_clock::time_point last_streamed_;
  std::shared_ptr<EventStream> events_;  // that are sent here
  std::string session_header_;           // of the answer
  std::shared_ptr<HttpLink> running_;    // the call that is being answered
  // This connection, while a call runs or a stream is open: then nothing may be read or written
  // that would hold it.
  std::shared_ptr<HttpConnection> held_;
};

}  // namespace gyges::mcp
