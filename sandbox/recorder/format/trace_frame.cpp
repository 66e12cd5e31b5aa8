#include "sandbox/recorder/format/trace_frame.h"

#include <bit>
#include <cstring>

#include "sandbox/recorder/format/block_tables.h"

namespace gyges::recorder {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

namespace {

// zstd's own bound on what incompressible input can grow to is below one part in 128.
constexpr std::uint32_t max_stored_bytes = max_block_bytes + max_block_bytes / 128 + 1024;
// Three full lists of ten-byte numbers stay below.
constexpr std::uint32_t max_summary_bytes = 16U << 10U;
constexpr std::uint32_t max_text_bytes = 1U << 20U;

template <class T>
void put(FrameHeadBytes& bytes, std::size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

template <class T>
T get(std::string_view bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

}  // namespace

FrameHeadBytes encode_frame_head(const FrameHead& head) {
  FrameHeadBytes bytes{};
  std::memcpy(bytes.data(), frame_mark.data(), frame_mark.size());
  put(bytes, 4, static_cast<std::uint8_t>(head.kind));
  put(bytes, 5, static_cast<std::uint8_t>(head.fresh ? 1 : 0));
  put(bytes, 8, head.stored_bytes);
  put(bytes, 12, head.raw_bytes);
  put(bytes, 16, head.events);
  put(bytes, 20, head.summary_bytes);
  put(bytes, 24, head.first_sequence);
  put(bytes, 32, head.first_time_ns);
  put(bytes, 40, head.last_time_ns);
  put(bytes, 48, head.counters.enters);
  put(bytes, 56, head.counters.exits);
  put(bytes, 64, head.counters.recorded_enters);
  put(bytes, 72, head.counters.recorded_exits);
  put(bytes, 80, head.counters.lost);
  put(bytes, 88, head.counters.waits);
  return bytes;
}

std::string_view decode_frame_head(std::string_view bytes, FrameHead& head) {
  if (bytes.size() < frame_head_bytes) return "cut off";
  if (!bytes.starts_with(frame_mark)) return "no frame begins here";
  auto kind = get<std::uint8_t>(bytes, 4);
  auto flags = get<std::uint8_t>(bytes, 5);
  if (kind < 1 || kind > 3 || flags > 1 || get<std::uint16_t>(bytes, 6) != 0)
    return "the frame is of no known kind";
  head.kind = static_cast<FrameKind>(kind);
  head.fresh = flags == 1;
  head.stored_bytes = get<std::uint32_t>(bytes, 8);
  head.raw_bytes = get<std::uint32_t>(bytes, 12);
  head.events = get<std::uint32_t>(bytes, 16);
  head.summary_bytes = get<std::uint32_t>(bytes, 20);
  head.first_sequence = get<std::uint64_t>(bytes, 24);
  head.first_time_ns = get<std::uint64_t>(bytes, 32);
  head.last_time_ns = get<std::uint64_t>(bytes, 40);
  head.counters = {get<std::uint64_t>(bytes, 48), get<std::uint64_t>(bytes, 56),
                   get<std::uint64_t>(bytes, 64), get<std::uint64_t>(bytes, 72),
                   get<std::uint64_t>(bytes, 80), get<std::uint64_t>(bytes, 88)};
  if (head.kind == FrameKind::block) {
    if (head.events == 0 || head.events > max_block_events) return "its event count is impossible";
    if (head.raw_bytes > max_block_bytes || head.summary_bytes > max_summary_bytes ||
        head.stored_bytes > max_stored_bytes + head.summary_bytes ||
        head.summary_bytes > head.stored_bytes)
      return "its size is impossible";
  } else if (head.events != 0 || head.summary_bytes != 0 || head.stored_bytes != head.raw_bytes ||
             head.raw_bytes > max_text_bytes) {
    return "its size is impossible";
  }
  return {};
}

Sha256 frame_hash(const Sha256& previous, std::string_view head, std::string_view payload) {
  Sha256Hasher hasher;
  hasher.update({reinterpret_cast<const char*>(previous.data()), previous.size()});
  hasher.update(head);
  hasher.update(payload);
  return hasher.finish();
}

}  // namespace gyges::recorder
