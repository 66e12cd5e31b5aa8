// Event streams of an HttpConnection: those of calls, that of the server's own messages (GET), and
// what is left of one whose connection broke (GET with Last-Event-ID).
#include <algorithm>
#include <cstdio>

#include "tools/mcp/http_link.h"

namespace gyges::mcp {
namespace {

constexpr std::chrono::seconds begin_stream_after{1};
constexpr std::chrono::seconds comment_every{15};
constexpr int retry_ms = 500;  // what a client is asked to wait before it comes back

std::string chunk(const std::string& text) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", text.size());
  return size + text + "\r\n";
}

}  // namespace

void HttpLink::deliver(std::string message) {
  auto session = session_.lock();
  if (!events_) {
    auto connection = connection_.lock();
    if (!connection || !connection->answers(*this)) return;
    if (!session) return connection->stream(message);  // nothing is kept
    events_ = session->streams.add();
    connection->begin_stream(events_);
  }
  deliver_event(session.get(), *events_, std::move(message));
}

void HttpLink::finish(std::string message, unsigned plain_status) {
  // Before the answer: with it the client may use the id again.
  auto session = session_.lock();
  if (session) session->running.erase(id);
  if (events_) {
    events_->ended = true;
    deliver_event(session.get(), *events_, std::move(message));
    if (auto reader = events_->reader.lock()) reader->end_stream();
    return;
  }
  auto connection = connection_.lock();
  if (connection && connection->answers(*this))
    connection->finish_call(std::move(message), plain_status);
}

void HttpLink::begin_early(bool end) {
  auto connection = connection_.lock();
  auto session = session_.lock();
  if (!session || !connection || !connection->answers(*this)) return;
  if (!events_) {
    events_ = session->streams.add();
    connection->begin_stream(events_);
    connection->stream_comment("id: " + events_->id_of(0) + "\nretry: " + std::to_string(retry_ms) +
                               "\ndata: \n\n");
  }
  if (end) connection->end_stream();
}

void deliver_event(HttpSession* session, EventStream& stream, std::string message) {
  if (session != nullptr)
    session->streams.keep(stream, message);
  else
    ++stream.last;
  auto reader = stream.reader.lock();
  if (!reader) return;
  stream.sent = stream.last;
  reader->stream(message, stream.id_of(stream.last));
}

bool HttpConnection::answers(const HttpLink& link) const {
  return !closed_ && !complete_ && running_.get() == &link;
}

void HttpConnection::begin_stream(const std::shared_ptr<EventStream>& events) {
  if (auto before = events->reader.lock(); before && before.get() != this) before->end_stream();
  events->reader = weak_from_this();
  events_ = events;
}

// Only one connection reads a stream: where events_ is set it is this one.
void HttpConnection::leave_stream() {
  if (events_) events_->reader.reset();
  events_.reset();
}

void HttpConnection::stream(const std::string& message, const std::string& id) {
  stream_comment((id.empty() ? "" : "id: " + id + "\n") + "event: message\ndata: " + message +
                 "\n\n");
}

// Event stream text, which need not be an event.
void HttpConnection::stream_comment(const std::string& text) {
  if (closed_ || complete_) return;
  std::string bytes;
  if (!streaming_) {
    streaming_ = true;
    bytes = stream_header(keep_);
  }
  last_streamed_ = std::chrono::steady_clock::now();
  send(bytes + chunk(text), false);
}

void HttpConnection::end_stream() {
  if (closed_ || complete_) return;
  leave_stream();
  end_call();
  complete_ = true;
  send(streaming_ ? "0\r\n\r\n" : stream_header(keep_) + "0\r\n\r\n", true);
}

// Of a call without events that are kept.
void HttpConnection::finish_call(std::string message, unsigned status) {
  if (closed_ || complete_) return;
  if (!streaming_) return answer(status, std::move(message));
  stream(message);
  end_stream();
}

void HttpConnection::take_get() {
  auto facts = headers();
  if (facts.version && *facts.version == name_of(Revision::r2026_07_28))
    return refuse(405, "This protocol version has no streams of the server's own.");
  if (!takes_streams()) return refuse(406, "What GET answers is text/event-stream.");
  auto id = header("Mcp-Session-Id");
  if (!id) return refuse(400, "The header Mcp-Session-Id is missing.");
  auto session = state_->sessions.find(*id);
  if (!session) return refuse(404, "There is no such session.");
  EventStreams::Place place{session->streams.own(), session->streams.own()->sent};
  if (auto last = header("Last-Event-ID")) {
    place = session->streams.find(*last);
    if (!place.stream)
      return refuse(400, "There is no such event, or what came after it is kept no more.");
  }
  held_ = shared_from_this();
  EventStream& events = *place.stream;
  begin_stream(place.stream);
  stream_comment(": \n\n");
  for (const EventStream::Event& event : events.kept) {
    if (event.number <= place.after) continue;
    events.sent = std::max(events.sent, event.number);
    stream(event.message, events.id_of(event.number));
  }
  if (closed_) return;
  if (events.ended) return end_stream();
  stream_.expires_never();
  watch_for_hangup();
}

void HttpConnection::look(std::chrono::steady_clock::time_point now) {
  if (closed_ || complete_) return;
  if (running_ && running_->may_begin_early && !streaming_ &&
      now - running_->begun >= begin_stream_after)
    running_->begin_early();
  // What stands between lets go of connections that say nothing.
  if (streaming_ && now - last_streamed_ >= comment_every) stream_comment(": \n\n");
}

}  // namespace gyges::mcp
