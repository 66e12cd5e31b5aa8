// A streamed reply as it comes to an Endpoint. For endpoint.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent_runtime/model/delta_filter.h"
#include "agent_runtime/model/endpoint.h"
#include "agent_runtime/model/sse.h"

namespace gyges::model {

// Feeds a streamed reply to reader, builder and observer. Not thread-safe.
class ReplyStream {
 public:
  ReplyStream(const Dialect& dialect, const StreamLimits& limits, const Endpoint::Call& call,
              const std::string& key)
      : filter_(call.raw == nullptr ? key : std::string()),
        reader_(dialect.stream_reader(limits)),
        call_(call),
        array_(call.raw != nullptr && call.raw->array),
        cutter_(array_, limits.event_bytes) {}

  Status feed(std::string_view bytes) {
    if (head_.size() < longest_head) head_ += bytes.substr(0, longest_head - head_.size());
    if (call_.raw == nullptr) return read(bytes, {});
    events_.clear();
    auto cut = cutter_.feed(bytes, events_);
    for (const std::string& event : events_) GYGES_CHECK(read_event(event));
    return cut;
  }
  Status finish() {
    if (call_.raw != nullptr)
      if (std::string rest = cutter_.finish(); !rest.empty()) GYGES_CHECK(read_event(rest));
    deltas_.clear();
    auto read = reader_->finish(deltas_);
    GYGES_CHECK(hand_on({}));
    return read;
  }
  [[nodiscard]] bool observed() const { return observed_; }
  // The beginning of what came, where that is no stream of events: a page of a proxy, or a reply of
  // a server that knows no streams. Empty: it is one, or nothing came.
  [[nodiscard]] std::string_view no_stream() const {
    for (std::string_view begin :
         {"data:", "event:", "id:", "retry:", ":", "\n", "\r\n", "\xef\xbb\xbf"})
      if (head_.starts_with(begin)) return {};
    return array_ ? std::string_view() : std::string_view(head_);
  }
  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_; }
  [[nodiscard]] const std::optional<ModelError>& error() const { return error_; }
  Reply take() { return std::move(builder_).take(); }

 private:
  static constexpr std::size_t longest_head = 100;

  Status read(std::string_view bytes, std::string_view as_it_came) {
    deltas_.clear();
    auto read = reader_->feed(bytes, deltas_);
    GYGES_CHECK(hand_on(as_it_came));
    return read;
  }

  Status read_event(const std::string& event) {
    if (!array_) return read(event, event);
    std::string_view value = value_in_event(event);
    return read(value.empty() ? std::string() : sse_event({}, value), event);
  }

  Status hand_on(std::string_view as_it_came) {
    deltas_ = filter_.take(std::move(deltas_));
    for (const auto& delta : deltas_) {
      if (delta.kind == Delta::Kind::error) error_ = delta.error;
      written_bytes_ += delta.text.size();
      GYGES_CHECK(builder_.add(delta));
      if (!call_.observer || call_.raw != nullptr) continue;
      observed_ = observed_ || delta.kind == Delta::Kind::open;
      call_.observer(delta);
    }
    // An error goes to the agent once it is clear that nothing is tried again.
    if (call_.raw == nullptr || !call_.raw->event || (error_ && !observed_)) return ok();
    if (as_it_came.empty() && deltas_.empty()) return ok();
    observed_ = true;
    if (call_.raw->event(as_it_came, deltas_)) return ok();
    return fail("call model", "", "nobody listens any more");
  }

  DeltaFilter filter_;  // of what goes through as it came the bytes are filtered
  std::unique_ptr<StreamReader> reader_;
  const Endpoint::Call& call_;
  bool array_;
  EventCutter cutter_;
  std::vector<std::string> events_;
  std::vector<Delta> deltas_;
  ReplyBuilder builder_;
  std::string head_;
  bool observed_ = false;
  std::uint64_t written_bytes_ = 0;  // of words and arguments
  std::optional<ModelError> error_;
};

}  // namespace gyges::model
