// Server-sent events (WHATWG HTML, section 9.2): the framing of all streamed replies.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::model {

struct SseEvent {
  std::string name;  // empty: none given
  std::string data;  // lines joined by \n
};

// Reads a stream in pieces of any size. Memory is bounded by max_event_bytes. Not thread-safe.
class SseParser {
 public:
  explicit SseParser(std::size_t max_event_bytes = 16U << 20U) : limit_(max_event_bytes) {}

  // Appends the events that are complete. Fails when one event, or one line, is too large; nothing
  // may be fed after that.
  Status feed(std::string_view bytes, std::vector<SseEvent>& events);
  // An event was begun and not ended.
  [[nodiscard]] bool in_event() const;

 private:
  void take_line(std::vector<SseEvent>& events);

  std::size_t limit_;
  std::string line_;
  SseEvent event_;
  bool has_data_ = false;
  bool after_cr_ = false;
  bool first_ = true;  // a byte order mark may stand before the first line
};

// Where the first CR or LF from `from` on stands, or the size. Plain on purpose: find_first_of
// looks up each byte in its set, and streams go through here byte by byte.
std::size_t end_of_line(std::string_view text, std::size_t from);

// One event as bytes. `data` may hold line breaks.
std::string sse_event(std::string_view name, std::string_view data);
std::string sse_comment(std::string_view text);

}  // namespace gyges::model
