// The event streams of one session over HTTP: one for each call that has something to say before
// its answer, and one of the server's own (GET). What was sent is kept for a while, so that a
// client whose connection broke gets the rest over another one: it names the last event it has
// (Last-Event-ID). Used by the thread of the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace gyges::mcp {

class HttpConnection;

struct EventStream {
  struct Event {
    std::uint64_t number = 0;
    std::string message;
  };
  std::uint64_t number = 0;   // within the session; 0: the server's own
  std::uint64_t last = 0;     // number of the last event
  std::uint64_t sent = 0;     // ... of the last one handed to a connection
  std::uint64_t dropped = 0;  // ... of the last one that is kept no more
  bool ended = false;         // the answer is among the events
  std::deque<Event> kept;
  std::weak_ptr<HttpConnection> reader;

  // As the client is told it, and gives it back: "3-17".
  [[nodiscard]] std::string id_of(std::uint64_t event) const;
};

class EventStreams {
 public:
  // Of messages that are kept, over all streams. Those of streams that have ended go first, the
  // oldest of them before the others.
  static constexpr std::size_t max_bytes = 1U << 20U;
  static constexpr std::size_t max_streams = 64;

  EventStreams();

  // Of a call.
  std::shared_ptr<EventStream> add();
  [[nodiscard]] const std::shared_ptr<EventStream>& own() const { return own_; }

  // Adds a message as the stream's next event.
  void keep(EventStream& stream, std::string message);

  struct Place {
    std::shared_ptr<EventStream> stream;
    std::uint64_t after = 0;  // the client has the events up to here
  };
  // Null stream where there is no such event, or one after it is kept no more.
  [[nodiscard]] Place find(std::string_view last_event_id) const;

  [[nodiscard]] std::size_t size() const { return streams_.size(); }

 private:
  bool drop_one(bool ended);
  std::map<std::uint64_t, std::shared_ptr<EventStream>> streams_;  // by number
  std::shared_ptr<EventStream> own_;
  std::uint64_t last_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace gyges::mcp
