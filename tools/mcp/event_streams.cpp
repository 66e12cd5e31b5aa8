#include "tools/mcp/event_streams.h"

#include <charconv>

namespace gyges::mcp {

std::string EventStream::id_of(std::uint64_t event) const {
  return std::to_string(number) + "-" + std::to_string(event);
}

EventStreams::EventStreams() : own_(std::make_shared<EventStream>()) {
  streams_.emplace(0, own_);
}

std::shared_ptr<EventStream> EventStreams::add() {
  for (auto it = streams_.begin(); streams_.size() >= max_streams && it != streams_.end();) {
    if (!it->second->ended) {
      ++it;
      continue;
    }
    for (const EventStream::Event& event : it->second->kept) bytes_ -= event.message.size();
    it = streams_.erase(it);
  }
  auto stream = std::make_shared<EventStream>();
  stream->number = ++last_;
  streams_.emplace(stream->number, stream);
  return stream;
}

void EventStreams::keep(EventStream& stream, std::string message) {
  bytes_ += message.size();
  stream.kept.push_back({++stream.last, std::move(message)});
  while (bytes_ > max_bytes && (drop_one(true) || drop_one(false))) {
  }
}

bool EventStreams::drop_one(bool ended) {
  for (auto& [number, stream] : streams_) {
    if (stream->ended != ended || stream->kept.empty()) continue;
    EventStream::Event& oldest = stream->kept.front();
    bytes_ -= oldest.message.size();
    stream->dropped = oldest.number;
    stream->kept.pop_front();
    return true;
  }
  return false;
}

EventStreams::Place EventStreams::find(std::string_view last_event_id) const {
  std::uint64_t number = 0;
  std::uint64_t event = 0;
  const char* end = last_event_id.data() + last_event_id.size();
  auto [dash, bad_number] = std::from_chars(last_event_id.data(), end, number);
  if (bad_number != std::errc() || dash == end || *dash != '-') return {};
  auto [rest, bad_event] = std::from_chars(dash + 1, end, event);
  if (bad_event != std::errc() || rest != end) return {};
  auto found = streams_.find(number);
  if (found == streams_.end()) return {};
  const EventStream& stream = *found->second;
  if (event > stream.last || event < stream.dropped) return {};
  return {found->second, event};
}

}  // namespace gyges::mcp
