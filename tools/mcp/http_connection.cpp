#include "tools/mcp/http_connection.h"

#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <cctype>
#include <cerrno>

#include "tools/mcp/http_link.h"

namespace gyges::mcp {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

constexpr std::uint32_t header_bytes = 32U << 10U;
constexpr std::chrono::seconds longest_linger{2};
constexpr int max_linger_reads = 256;

std::string_view reason_of(unsigned status) {
  auto text = http::obsolete_reason(static_cast<http::status>(status));
  return {text.data(), text.size()};
}

std::string status_line(unsigned status) {
  return "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason_of(status)) + "\r\n";
}

bool contains_type(const std::optional<std::string>& accept, std::string_view type) {
  return accept && accept->find(type) != std::string::npos;
}

}  // namespace

std::string stream_header(bool keep_connection) {
  return status_line(200) +
         "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
         "X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n" +
         (keep_connection ? "" : "Connection: close\r\n") + "\r\n";
}

HttpConnection::HttpConnection(asio::ip::tcp::socket socket, std::shared_ptr<HttpState> state)
    : stream_(std::move(socket)), state_(std::move(state)) {
  ++state_->connections;
  Error ignored;
  stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  auto endpoint = stream_.socket().remote_endpoint(ignored);
  if (!ignored) address_ = endpoint.address().to_string();
}

HttpConnection::~HttpConnection() {
  --state_->connections;
}

void HttpConnection::close() {
  if (closed_) return;
  closed_ = true;
  if (running_ && cancel_on_hangup_) running_->cancel();
  leave_stream();
  end_call();
  Error ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.close();
}

void HttpConnection::read_header() {
  if (state_->stopping) return close();
  parser_.emplace();
  parser_->header_limit(header_bytes);
  parser_->body_limit(state_->options.body_bytes);
  streaming_ = complete_ = cancel_on_hangup_ = false;
  session_header_.clear();
  stream_.expires_after(state_->options.keep_alive);
  http::async_read_header(
      stream_, buffer_, *parser_, [self = shared_from_this()](Error error, std::size_t) {
        if (error == http::error::header_limit) {
          self->refuse(431, "The header is too long.", false);
        } else if (error == http::error::body_limit) {
          self->refuse(413, "The body is too long.", false);
        } else if (error.category() ==
                       http::make_error_code(http::error::end_of_stream).category() &&
                   error != http::error::end_of_stream && error != http::error::partial_message) {
          self->refuse(400, "This is not HTTP/1.1.", false);
        } else if (error) {
          self->close();
        } else {
          self->check_header();
        }
      });
}

std::optional<std::string> HttpConnection::header(std::string_view name) const {
  auto found = parser_->get().find(boost::beast::string_view(name.data(), name.size()));
  if (found == parser_->get().end()) return std::nullopt;
  return std::string(found->value().data(), found->value().size());
}

Headers HttpConnection::headers() const {
  Headers result;
  result.http = true;
  result.version = header("MCP-Protocol-Version");
  result.method = header("Mcp-Method");
  result.name = header("Mcp-Name");
  constexpr std::string_view prefix = "mcp-param-";
  for (const auto& field : parser_->get()) {
    std::string name(field.name_string().data(), field.name_string().size());
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (name.starts_with(prefix))
      result.parameters[name.substr(prefix.size())] =
          std::string(field.value().data(), field.value().size());
  }
  return result;
}

bool HttpConnection::takes_streams() const {
  return parser_->get().version() >= 11 && contains_type(header("Accept"), "text/event-stream");
}

// All that can be refused without the body is refused before it is read; the connection ends then.
void HttpConnection::check_header() {
  const auto& request = parser_->get();
  keep_ = request.keep_alive();
  bool whole = parser_->is_done();
  auto count = request.count(http::field::host);
  if (count != 1 || !state_->guard.host_allowed(header("Host").value_or("")))
    return refuse(403, "This host name is not served here.", whole);
  auto origin = header("Origin");
  if (!state_->guard.origin_allowed(origin ? std::optional<std::string_view>(*origin)
                                           : std::nullopt))
    return refuse(403, "Pages of this origin are not served.", whole);
  auto authorization = header("Authorization");
  if (!state_->guard.token_allowed(authorization ? std::optional<std::string_view>(*authorization)
                                                 : std::nullopt))
    return refuse(401, "A bearer token is missing or wrong.", whole);
  std::string_view target(request.target().data(), request.target().size());
  if (!shared_session_name(target)) return refuse(404, "Only /mcp is served.", whole);
  if (!state_->sessions.within_rate(address_, HttpSessions::Clock::now()))
    return refuse(429, "Too many requests.", whole);
  if (request.method() == http::verb::delete_ && whole) return take_delete();
  if (request.method() == http::verb::get && whole) return take_get();
  if (request.method() != http::verb::post)
    return refuse(405, "Only POST, GET and DELETE are served.", whole);
  std::string type = header("Content-Type").value_or("");
  for (char& c : type) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (!type.starts_with("application/json"))
    return refuse(415, "The body must be application/json.", whole);
  auto accept = header("Accept");
  if (accept && !contains_type(accept, "application/json") && !contains_type(accept, "*/*") &&
      !contains_type(accept, "application/*") && !contains_type(accept, "text/event-stream"))
    return refuse(406, "Answers are application/json or text/event-stream.", whole);
  auto expect = header("Expect");
  if (!expect || whole) return read_body();
  unsent_.push_back("HTTP/1.1 100 Continue\r\n\r\n");
  asio::async_write(stream_, asio::buffer(unsent_.front()),
                    [self = shared_from_this()](Error error, std::size_t) {
                      self->unsent_.clear();
                      if (error)
                        self->close();
                      else
                        self->read_body();
                    });
}

void HttpConnection::read_body() {
  if (parser_->is_done()) return take_post();
  stream_.expires_after(state_->options.request_time);
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](Error error, std::size_t) {
                     if (error == http::error::body_limit)
                       self->refuse(413, "The body is too long.", false);
                     else if (error)
                       self->close();
                     else
                       self->take_post();
                   });
}

void HttpConnection::take_delete() {
  auto id = header("Mcp-Session-Id");
  if (!id) return refuse(400, "The header Mcp-Session-Id is missing.");
  if (!state_->sessions.end(*id)) return refuse(404, "There is no such session.");
  answer(204, "");
}

void HttpConnection::take_post() {
  auto message = read_message(parser_->get().body(), state_->bounds);
  if (!message) return act(nullptr, state_->protocol.refuse(message.error()));
  Headers facts = headers();
  if (Protocol::is_stateless(*message, facts)) return take_stateless(*message, facts);
  auto id = header("Mcp-Session-Id");
  if (!id && message->kind == Message::Kind::request && message->method == "initialize")
    return take_initialize(*message, facts);
  if (!id) return refuse(400, "The header Mcp-Session-Id is missing.");
  auto session = state_->sessions.find(*id);
  if (!session) return refuse(404, "There is no such session.");
  act(session, state_->protocol.handle(session->peer, *message, facts));
}

void HttpConnection::take_stateless(const Message& message, const Headers& facts) {
  Peer nobody;
  Step step = state_->protocol.handle(nobody, message, facts);
  if (step.kind != Step::Kind::call) return act(nullptr, std::move(step));
  std::string_view target(parser_->get().target().data(), parser_->get().target().size());
  auto session = state_->sessions.shared(*shared_session_name(target), step.client);
  cancel_on_hangup_ = true;
  if (session) return act(session, std::move(step));
  answer(429, error_text(step.request.id, {Code::busy, "Too many sessions are open.", {}}));
}

void HttpConnection::take_initialize(const Message& message, const Headers& facts) {
  Peer peer;
  Step step = state_->protocol.handle(peer, message, facts);
  if (step.initialized) {
    auto session = state_->sessions.create();
    if (!session)
      return answer(429, error_text(message.id, {Code::busy, "Too many sessions are open.", {}}));
    session->peer = std::move(peer);
    session_header_ = "Mcp-Session-Id: " + session->id + "\r\n";
  }
  act(nullptr, std::move(step));
}

void HttpConnection::act(const std::shared_ptr<HttpSession>& session, Step step) {
  switch (step.kind) {
    case Step::Kind::reply:
      return answer(static_cast<unsigned>(step.http_status), std::move(step.text));
    case Step::Kind::call:
      return begin_call(session, std::move(step));
    case Step::Kind::cancel:
      if (session) {
        auto found = session->running.find(step.text);
        if (found != session->running.end())
          if (auto link = found->second.lock()) link->cancel();
        if (session->calls) session->calls->drop_cancelled();
      }
      break;
    case Step::Kind::answer:
      if (session) session->questions->answer(step.text, std::move(step.response));
      break;
    case Step::Kind::none:
      break;
  }
  answer(202, "");
}

void HttpConnection::begin_call(const std::shared_ptr<HttpSession>& session, Step step) {
  Request request = std::move(step.request);
  bool by_id = !stateless(request.revision);
  auto link = std::make_shared<HttpLink>(session->questions, weak_from_this(),
                                         by_id ? session : nullptr, stream_.get_executor());
  link->id = request.id;
  link->streams = takes_streams();
  // Clients of older revisions take an event without data for a broken one.
  link->may_begin_early = link->streams && request.revision == Revision::r2025_11_25;
  std::erase_if(session->running, [](const auto& one) { return one.second.expired(); });
  if (by_id && !session->running.emplace(request.id, link).second)
    return answer(400,
                  error_text(request.id,
                             {Code::invalid_request, "A request with this id is under way.", {}}));
  // Nothing is said of a cancelled request, but HTTP wants an end.
  auto done = [state = state_, link, executor = stream_.get_executor(), request](Answer given) {
    asio::post(executor, [state, link, request, given = std::move(given)] {
      link->finish(state->protocol.reply_text(request, given),
                   static_cast<unsigned>(Protocol::http_status(request, given)));
    });
  };
  running_ = link;
  held_ = shared_from_this();
  stream_.expires_never();
  SessionCalls* calls = state_->sessions.calls_of(session, step.client);
  if (calls != nullptr && calls->submit(request, link, std::move(done))) return watch_for_hangup();
  end_call();
  if (by_id) session->running.erase(request.id);
  answer(429, error_text(request.id, {Code::busy, "Too many calls wait for their turn.", {}}));
}

// The socket polls readable when the client closes it; that it sends its next request early is no
// such sign, and ends the watch.
void HttpConnection::watch_for_hangup() {
  stream_.socket().async_wait(
      asio::ip::tcp::socket::wait_read, [self = shared_from_this()](const Error& error) {
        if (error || self->closed_ || self->complete_) return;
        char byte = 0;
        ssize_t n =
            ::recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) self->close();
      });
}

// Whoever calls a method here holds the connection, so that it outlives this.
void HttpConnection::end_call() {
  running_.reset();
  held_.reset();
}

void HttpConnection::refuse(unsigned status, std::string_view why, bool keep) {
  keep_ = keep_ && keep;
  answer(status, error_text("", {Code::invalid_request, std::string(why), {}}),
         status == 405   ? "Allow: POST, GET, DELETE\r\n"
         : status == 401 ? "WWW-Authenticate: Bearer\r\n"
                         : "");
}

void HttpConnection::answer(unsigned status, std::string body, const std::string& more_headers) {
  std::string head = status_line(status) + session_header_ + more_headers;
  if (!body.empty()) head += "Content-Type: application/json\r\n";
  if (status != 204) head += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  if (!keep_) head += "Connection: close\r\n";
  complete_ = true;
  end_call();
  send(head + "\r\n" + body, true);
}

void HttpConnection::send(std::string bytes, bool last) {
  if (closed_) return;
  unsent_bytes_ += bytes.size();
  // A client that asks and does not read: a whole answer it may have, a stream ends here.
  if (!last && unsent_bytes_ > state_->options.unsent_bytes) {
    cancel_on_hangup_ = true;
    return close();
  }
  unsent_.push_back(std::move(bytes));
  if (!writing_) write_next();
}

void HttpConnection::write_next() {
  writing_ = true;
  stream_.expires_after(state_->options.request_time);
  asio::async_write(stream_, asio::buffer(unsent_.front()),
                    [self = shared_from_this()](Error error, std::size_t) {
                      self->writing_ = false;
                      if (error) return self->close();
                      self->written();
                    });
}

void HttpConnection::written() {
  unsent_bytes_ -= unsent_.front().size();
  unsent_.pop_front();
  if (closed_) return;
  if (!unsent_.empty()) return write_next();
  stream_.expires_never();
  if (!complete_) return;
  if (keep_) return read_header();
  // Unread bytes of the client would make the kernel reset the connection and take the answer with
  // it; the half close lets it be read first.
  Error ignored;
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  stream_.expires_after(longest_linger);
  linger(max_linger_reads);
}

void HttpConnection::linger(int reads) {
  unsent_.assign(1, std::string(65536, '\0'));
  stream_.async_read_some(asio::buffer(unsent_.front()),
                          [self = shared_from_this(), reads](Error error, std::size_t) {
                            if (error || reads == 0)
                              self->close();
                            else
                              self->linger(reads - 1);
                          });
}

}  // namespace gyges::mcp
