// The columns of a trace block back to events. Takes hostile bytes: an inconsistency is an error,
// never a crash, and memory is bounded by the limits of block_tables.h. Measured with bench/trace
// on real traces: 4 to 20 million events a second on one core.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/format/block_tables.h"
#include "sandbox/recorder/format/byte_arena.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/trace_frame.h"

namespace gyges::recorder {

class BlockDecoder {
 public:
  // `version`: of the trace that the blocks are of.
  explicit BlockDecoder(std::uint32_t version = trace_version);

  // Decodes one payload and calls `visit` for each event, with sequence numbers from
  // `first_sequence`, until it returns false (then `stopped` is set). The error names what is
  // inconsistent; the tables are unusable after it.
  Status decode(std::string_view payload, std::uint32_t events, bool fresh,
                std::uint64_t first_sequence, const std::function<bool(const Event&)>& visit,
                bool& stopped);

 private:
  struct CaptureShape {
    std::uint8_t argument = 0;
    CaptureKind kind = CaptureKind::text;
    Provenance provenance = Provenance::enter;
    bool truncated = false;
  };
  struct Shape {
    EventKind kind = EventKind::syscall;
    Abi abi = Abi::x86_64;
    Verdict verdict = Verdict::allowed;
    bool has_enter = false;
    bool has_exit = false;
    std::uint8_t arguments = 6;  // how many of the six mean something
    std::uint32_t number = 0;
    std::vector<CaptureShape> captures;
  };
  struct Context {
    std::int32_t pid = 0, tid = 0, inside_pid = 0, inside_tid = 0;
    std::uint32_t origin_call = 0, active_call = 0;
  };
  struct Cursor {
    const std::uint8_t* at = nullptr;
    const std::uint8_t* end = nullptr;
    // Nearly all numbers are below 128.
    bool varint(std::uint64_t& value) {
      if (at == end || *at >= 0x80) return long_varint(value);
      value = *at++;
      return true;
    }
    bool zigzag(std::int64_t& value) {
      std::uint64_t raw = 0;
      if (!varint(raw)) return false;
      value = static_cast<std::int64_t>((raw >> 1U) ^ (~(raw & 1U) + 1));
      return true;
    }
    bool byte(std::uint8_t& value) {
      if (at == end) return false;
      value = *at++;
      return true;
    }
    bool take(std::size_t count, std::string_view& bytes);
    bool long_varint(std::uint64_t& value);
  };
  bool split_columns(std::string_view payload);
  bool split_words();
  bool read_word(std::size_t place, StructureMemory::Words& last);
  bool define(std::string_view& bytes);
  const Shape* read_shape();
  const Context* read_context();
  static bool parse_shape(std::string_view bytes, Shape& shape);
  static bool parse_capture(std::string_view bytes, CaptureShape& capture);
  bool read_times(Event& event);
  bool read_event(Event& event);
  bool read_capture(const Event& event, Capture& capture);
  bool read_literal(std::uint32_t number, Capture& capture);

  std::size_t used_columns_;
  bool has_lanes_;
  std::array<Cursor, column_count> columns_{};
  std::array<Cursor, StructureMemory::max_words> lanes_{};  // of column_words
  Predictor predictor_;
  std::vector<Shape> shapes_;
  std::vector<Context> contexts_;
  std::vector<std::string_view> literals_;  // in kept_
  ByteArena kept_;
  std::size_t literal_bytes_ = 0;
  StructureMemory structures_;
  std::uint64_t last_literal_ = 0;
  ByteArena rebuilt_;  // structures of the current event
  std::vector<Capture> captures_;
};

}  // namespace gyges::recorder
