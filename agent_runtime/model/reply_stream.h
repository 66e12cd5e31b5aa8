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
#include "agent_runtime/model/key_watch.h"
#include "agent_runtime/model/sse.h"

namespace gyges::model {

// Feeds a streamed reply to reader, builder and observer. Not thread-safe.
class ReplyStream {
 public:
  ReplyStream(const Dialect& dialect, const StreamLimits& limits, const Endpoint::Call& call,
              const std::vector<std::string>& forms)
      : filter_(call.raw == nullptr ? forms : std::vector<std::string>()),
        watch_(call.raw != nullptr ? forms : std::vector<std::string>()),
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
    GYGES_CHECK(hand_on_held());
    return read;
  }
  [[nodiscard]] bool observed() const { return observed_; }
  // The beginning of what came, where that is no stream of events: a page of a proxy, or a reply of
  // a server that knows no streams. Empty: it is one, or nothing came.
  [[nodiscard]] std::string_view no_stream() const {
    for (std::string_view begin :
         {"data:", "event:", "id:", "retry:", ":", "\n", "\r\n", "\xef\xbb\xbf"})
      if (head_.starts_with(begin)) return {};
    return array_ ? std::string_view() : std::string_view(head_).substr(0, longest_shown);
  }
  // All of that, as far as it is kept.
  [[nodiscard]] std::string_view no_stream_text() const { return head_; }
  [[nodiscard]] std::uint64_t written_bytes() const { return written_bytes_; }
  [[nodiscard]] const std::optional<ModelError>& error() const { return error_; }
  Reply take() { return std::move(builder_).take(); }

 private:
  static constexpr std::size_t longest_head = 8192;
  static constexpr std::size_t longest_shown = 100;

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
    KeyWatch::Seen seen = watch_.take(deltas_);
    if (seen == KeyWatch::Seen::key)
      return fail("call model", "", "the reply repeats the key, in pieces",
                  "give the agent another wire format than the endpoint's, or mend the endpoint");
    if (seen == KeyWatch::Seen::beginning || !held_.empty()) {
      held_.emplace_back(as_it_came, deltas_);
      return seen == KeyWatch::Seen::beginning ? ok() : hand_on_held();
    }
    return hand_on_event(as_it_came, deltas_);
  }

  Status hand_on_held() {
    for (const auto& [bytes, deltas] : std::exchange(held_, {}))
      GYGES_CHECK(hand_on_event(bytes, deltas));
    return ok();
  }

  Status hand_on_event(std::string_view bytes, const std::vector<Delta>& deltas) {
    if (call_.raw->event(bytes, deltas)) return ok();
    return fail("call model", "", "nobody listens any more");
  }

  DeltaFilter filter_;  // of what goes through as it came the bytes are filtered
  KeyWatch watch_;      // and it is looked for in what they say
  std::vector<std::pair<std::string, std::vector<Delta>>> held_;  // until it is known for no key
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
