#include "agent_runtime/model/sse.h"

#include <cstring>

namespace gyges::model {

Status SseParser::feed(std::string_view bytes, std::vector<SseEvent>& events) {
  while (!bytes.empty()) {
    if (after_cr_) {
      after_cr_ = false;
      if (bytes.front() == '\n') {
        bytes.remove_prefix(1);
        continue;
      }
    }
    std::size_t end = end_of_line(bytes, 0);
    std::string_view piece = bytes.substr(0, end);
    if (line_.size() + event_.data.size() + piece.size() > limit_)
      return fail("read stream", "", "an event is larger than " + std::to_string(limit_) + " bytes",
                  "check the endpoint");
    line_ += piece;
    if (end == bytes.size()) break;
    after_cr_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    take_line(events);
  }
  return ok();
}

std::size_t end_of_line(std::string_view text, std::size_t from) {
  while (from < text.size() && text[from] != '\r' && text[from] != '\n') ++from;
  return from;
}

bool SseParser::in_event() const {
  return has_data_ || !line_.empty();
}

void SseParser::take_line(std::vector<SseEvent>& events) {
  std::string_view line = line_;
  if (first_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
  first_ = false;
  if (line.empty()) {
    if (has_data_) events.push_back(std::move(event_));
    event_ = {};
    has_data_ = false;
  } else if (line.front() != ':') {
    auto colon = line.find(':');
    std::string_view name = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (name == "event") event_.name = value;
    if (name == "data") {
      if (has_data_) event_.data += '\n';
      event_.data += value;
      has_data_ = true;
    }
  }
  line_.clear();
}

std::string sse_event(std::string_view name, std::string_view data) {
  std::string bytes;
  bytes.reserve(name.size() + data.size() + 24);
  if (!name.empty()) bytes.append("event: ").append(name).append("\n");
  for (;;) {
    auto end = data.find('\n');
    bytes.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) break;
    data.remove_prefix(end + 1);
  }
  return bytes + "\n";
}

std::string sse_comment(std::string_view text) {
  return ": " + std::string(text) + "\n\n";
}

}  // namespace gyges::model
