// The columns of a trace block back to events. Takes hostile bytes: an inconsistency is an error,
// never a crash, and memory is bounded by the limits of block_tables.h. Measured with
// bench/recorder on real traces: 8 to 12 million events a second on one core.
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
#include "sandbox/recorder/format/column_stream.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/time_columns.h"
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
  using Cursor = ColumnCursor;
  bool split_columns(std::string_view payload);
  bool split_words();
  bool begin_times(std::uint32_t events);
  bool read_word(std::size_t place, StructureMemory::Last& last);
  bool read_words(std::uint32_t number, const Capture& capture, std::size_t words,
                  std::uint64_t changed, char* bytes);
  bool define(std::string_view& bytes);
  // `foreseen` becomes false if the shape is not `next`.
  const Shape* read_shape(std::uint32_t next, bool& foreseen, std::uint32_t& index);
  const Context* read_context();
  static bool parse_shape(std::string_view bytes, Shape& shape);
  static bool parse_capture(std::string_view bytes, CaptureShape& capture);
  bool read_times(Event& event, std::uint32_t shape);
  bool read_event(Event& event);
  bool read_numbers(Event& event, const Shape& shape, const Succession* next, Succession& now);
  // `literal`: the one foreseen becomes the one that it is.
  bool read_capture(const Event& event, Capture& capture, std::uint32_t& literal);
  bool read_literal(std::uint32_t number, Capture& capture);
  bool read_string(std::uint32_t number, Capture& capture);
  bool read_structure(std::uint32_t number, Capture& capture);
  bool read_old_literal(std::uint32_t number, Capture& capture);

  std::size_t used_columns_;
  bool has_lanes_;
  bool foresees_;  // format 7
  std::array<Cursor, column_count> columns_{};
  std::array<Cursor, StructureMemory::max_words> lanes_{};  // of column_words
  Predictor predictor_;
  std::vector<Shape> shapes_;
  std::vector<Context> contexts_;
  std::vector<std::string_view> literals_;  // in kept_
  ByteArena kept_;
  std::size_t literal_bytes_ = 0;
  std::size_t prefix_bytes_ = 0;  // of this block
  StructureMemory structures_;
  Successions successions_;
  TimeColumnsDecoder times_;
  std::array<std::string, capture_kind_count> last_strings_;
  std::uint64_t last_literal_ = 0;
  ByteArena rebuilt_;  // structures of the current event
  std::vector<Capture> captures_;
};

}  // namespace gyges::recorder
