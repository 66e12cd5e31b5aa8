// The frames a trace file consists of (docs/trace_format.md, "Frames").
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/hash.h"
#include "sandbox/recorder/format/coverage.h"

namespace gyges::recorder {

inline constexpr std::string_view trace_magic = "\x89GYT\r\n\x1a\n";
inline constexpr std::string_view frame_mark = "GYTF";
inline constexpr std::uint32_t trace_version = 7;
inline constexpr std::uint32_t foreseeing_version = 7;    // successions, clock steps, prefixes
inline constexpr std::uint32_t word_lanes_version = 6;    // words of structures apart, by place
inline constexpr std::uint32_t split_times_version = 3;   // columns of times in two parts
inline constexpr std::uint32_t oldest_trace_version = 1;  // without summaries

enum class FrameKind : std::uint8_t { header = 1, block = 2, end = 3 };

struct FrameHead {
  FrameKind kind = FrameKind::block;
  bool fresh = false;
  std::uint32_t stored_bytes = 0;
  std::uint32_t raw_bytes = 0;
  std::uint32_t events = 0;
  std::uint32_t summary_bytes =
      0;  // of the payload; a block's summary stands before its zstd frame
  std::uint64_t first_sequence = 0;
  std::uint64_t first_time_ns = 0;
  std::uint64_t last_time_ns = 0;
  Counters counters;
};

inline constexpr std::size_t frame_head_bytes = 96;
inline constexpr std::size_t frame_hash_bytes = 32;
using FrameHeadBytes = std::array<char, frame_head_bytes>;

FrameHeadBytes encode_frame_head(const FrameHead& head);
// Empty reason: good. Checks marks and bounds only, not the hash.
std::string_view decode_frame_head(std::string_view bytes, FrameHead& head);

Sha256 frame_hash(const Sha256& previous, std::string_view head, std::string_view payload);

}  // namespace gyges::recorder
