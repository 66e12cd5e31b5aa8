// Records that are no part of a call: operations of io_uring, and pieces of what a call moved.
#include "sandbox/recorder/capture/contents.h"
#include "sandbox/recorder/capture/event_joiner.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t most_operations = 65536;

}  // namespace

Status EventJoiner::uring(const wire::uring_record& record) {
  const auto tid = static_cast<std::int32_t>(record.head.tid);
  const auto pending = operations_.find(record.request);
  if (record.head.kind == wire::record_uring_submit) {
    // Requests of the kernel are used again; one without a completion was told to have none.
    if (pending != operations_.end()) {
      GYGES_CHECK(sink_.append(pending->second));
      operations_.erase(pending);
    }
    Event event;
    event.kind = EventKind::io_uring;
    thread_of(tid).facts.put_into(event);
    event.time_ns = record.head.time;
    event.args = {record.opcode, static_cast<std::uint64_t>(static_cast<std::int64_t>(record.fd)),
                  record.user_data, record.flags};
    event.has_exit = false;
    if (operations_.size() >= most_operations) {  // hostile: each submission is still an event
      GYGES_CHECK(sink_.append(event));
      return ok();
    }
    operations_.emplace(record.request, event);
    return ok();
  }
  // Of operations that complete several times, each further completion is an event of its own.
  Event event;
  event.kind = EventKind::io_uring;
  if (pending != operations_.end() && pending->second.args[2] == record.user_data) {
    event = pending->second;
    event.duration_ns = record.head.time - event.time_ns;
    operations_.erase(pending);
  } else {
    thread_of(tid).facts.put_into(event);
    event.time_ns = record.head.time;
    event.args = {~std::uint64_t{0}, ~std::uint64_t{0}, record.user_data, 0};
    event.has_enter = false;
  }
  event.has_exit = true;
  event.result = record.result;
  return sink_.append(event);
}

Status EventJoiner::content(const wire::content_record& record) {
  ContentPiece piece;
  piece.offset = record.offset;
  piece.total = record.total;
  piece.length = record.length;
  piece.missing = record.missing != 0;
  piece.last = record.last != 0;
  piece.argument = static_cast<std::uint8_t>(record.argument);
  piece.kind = static_cast<CaptureKind>(record.kind);
  if (!piece.missing) piece.bytes.assign(reinterpret_cast<const char*>(&record + 1), record.length);
  Event call;
  thread_of(static_cast<std::int32_t>(record.head.tid)).facts.put_into(call);
  call.abi = static_cast<Abi>(record.head.abi);
  call.number = record.number;
  call.time_ns = record.head.time;
  call.args[0] = static_cast<std::uint64_t>(static_cast<std::int64_t>(record.fd));
  Capture capture;
  return sink_.append(content_event(call, piece, capture));
}

}  // namespace gyges::recorder
