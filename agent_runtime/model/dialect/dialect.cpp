#include "agent_runtime/model/dialect/dialect.h"

#include "agent_runtime/model/dialect/wire.h"
#include "agent_runtime/model/sse.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::model {

std::vector<const Dialect*> dialects() {
  return {&wire::anthropic_messages(), &wire::openai_chat(), &wire::openai_responses(),
          &wire::gemini()};
}

const Dialect* find_dialect(std::string_view name) {
  for (const Dialect* dialect : dialects())
    if (dialect->name() == name) return dialect;
  return nullptr;
}

Result<Reply> read_stream(const Dialect& dialect, std::string_view bytes,
                          const StreamLimits& limits) {
  auto reader = dialect.stream_reader(limits);
  ReplyBuilder builder;
  std::vector<Delta> deltas;
  // In pieces, so that the deltas of a stream of very small ones are not all held at once.
  constexpr std::size_t piece = 64U << 10U;
  for (bool ended = false; !ended;) {
    deltas.clear();
    ended = bytes.empty();
    Status read = ended ? reader->finish(deltas) : reader->feed(bytes.substr(0, piece), deltas);
    for (const auto& delta : deltas) GYGES_CHECK(builder.add(delta));
    GYGES_CHECK(std::move(read));
    bytes = bytes.size() > piece ? bytes.substr(piece) : std::string_view();
  }
  return std::move(builder).take();
}

std::string write_stream(const Dialect& dialect, const ModelRequest& request, const Reply& reply,
                         std::size_t piece_bytes) {
  auto writer = dialect.stream_writer(request);
  std::string bytes;
  for (const auto& delta : deltas_of(reply, piece_bytes)) bytes += writer->write(delta);
  return bytes;
}

namespace wire {

struct EventReader::State {
  explicit State(const StreamLimits& given) : limits(given), parser(given.event_bytes) {}
  StreamLimits limits;
  SseParser parser;
  std::size_t total = 0;
  std::vector<SseEvent> events;
};

EventReader::EventReader(const StreamLimits& limits) : state_(std::make_unique<State>(limits)) {}
EventReader::~EventReader() = default;

Status EventReader::feed(std::string_view bytes, std::vector<Delta>& deltas) {
  state_->total += bytes.size();
  if (state_->total > state_->limits.total_bytes)
    return fail("read stream", "",
                "the reply is larger than " + std::to_string(state_->limits.total_bytes) + " bytes",
                "check the endpoint");
  state_->events.clear();
  GYGES_CHECK(state_->parser.feed(bytes, state_->events));
  for (const auto& event : state_->events) {
    if (take_word(event.data, deltas)) continue;
    if (stopped_) continue;  // what follows the end is not read
    GYGES_TRY(json value, parse_reply_json(event.data, "event of the stream"));
    if (!value.is_object()) return bad("", "an event of the stream is no object");
    GYGES_CHECK(take(event.name, value, deltas));
  }
  return ok();
}

Status EventReader::finish(std::vector<Delta>& deltas) {
  if (stopped_) return ok();
  if (state_->parser.in_event()) {
    // The last event of some servers lacks its empty line.
    GYGES_CHECK(feed("\n\n", deltas));
    if (stopped_) return ok();
  }
  return end(deltas);
}

bool EventReader::take_word(const std::string& /*word*/, std::vector<Delta>& /*deltas*/) {
  return false;
}

Status EventReader::end(std::vector<Delta>& /*deltas*/) {
  return fail("read stream", "", "the stream ended in the middle of the reply",
              "check the endpoint and the connection");
}

void EventReader::stop(Delta delta, std::vector<Delta>& deltas) {
  delta.kind = Delta::Kind::stop;
  stopped_ = true;
  deltas.push_back(std::move(delta));
}

void EventReader::fail_stream(Delta delta, std::vector<Delta>& deltas) {
  delta.kind = Delta::Kind::error;
  stopped_ = true;
  deltas.push_back(std::move(delta));
}

}  // namespace wire
}  // namespace gyges::model
