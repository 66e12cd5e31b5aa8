// Events to the columns of a trace block and back (docs/trace_format.md, "Blocks").
//
// Encoder and decoder carry the same tables from block to block: shapes, contexts, kept literals
// and the last arguments of each slot. Measured on synthetic but lifelike events: see
// bench/trace_bench.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

inline constexpr std::size_t max_block_events = 65536;
inline constexpr std::size_t soft_block_bytes = 8U << 20U;  // a block is finished beyond this
inline constexpr std::size_t max_block_bytes = 32U << 20U;  // no block may be larger
inline constexpr std::size_t max_captures = 64;             // of one event
inline constexpr std::size_t max_capture_bytes = 65535;     // longer ones are cut and marked
inline constexpr std::size_t max_kept_literals = 65536;
inline constexpr std::size_t max_kept_bytes = 8U << 20U;
inline constexpr std::size_t max_kept_literal_bytes = 1024;
// Shapes and contexts the writer keeps; a reader must hold those of one further block.
inline constexpr std::size_t max_table_entries = 65536;

enum Column : std::size_t {
  column_definitions,
  column_shape,
  column_context,
  column_time,
  column_duration,
  column_mask,
  column_argument,  // six of them
  column_result = column_argument + 6,
  column_capture,
  column_length,
  column_literal_size,
  column_literals,
  column_count,
};

// What was last seen for a thread and call; both sides predict from it.
struct PredictionSlot {
  std::array<std::uint64_t, 6> args{};
  std::int64_t result = 0;
};
inline constexpr std::size_t slot_count = 4096;

inline std::size_t slot_of(std::int32_t tid, std::uint32_t number) {
  return ((static_cast<std::uint32_t>(tid) * 0x9E3779B1U) ^ (number * 0x85EBCA6BU)) >> 20U;
}

// Byte strings to numbers in order of first appearance. Open addressing with a random seed, because
// what is hashed comes from inside a sandbox.
class StringTable {
 public:
  StringTable(std::size_t max_entries, std::size_t max_bytes);

  static constexpr std::uint32_t none = ~std::uint32_t{0};
  // Index of `bytes`, or none and then, if there was room, it is added and `added` is true.
  std::uint32_t find_or_add(std::string_view bytes, bool& added);
  [[nodiscard]] bool full() const { return full_; }
  void clear();

 private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
  };
  void grow();

  std::size_t max_entries_;
  std::size_t max_bytes_;
  std::uint64_t seed_;
  bool full_ = false;
  std::string arena_;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> slots_;  // 1 + index into entries_, 0 for free; a power of two
};

class BlockEncoder {
 public:
  BlockEncoder();

  // Starts the next block; true if its tables are empty.
  bool begin();
  // Fails for events that have more captures than the format holds.
  Status add(const Event& event);
  [[nodiscard]] std::size_t event_count() const { return events_; }
  [[nodiscard]] std::size_t raw_bytes() const;
  [[nodiscard]] std::size_t literal_bytes() const { return columns_[column_literals].used; }
  // The raw payload; valid until the next begin().
  const std::vector<std::uint8_t>& finish();

 private:
  struct Stream {
    std::vector<std::uint8_t> bytes;
    std::size_t used = 0;
    std::uint8_t* room(std::size_t count) {
      if (bytes.size() - used < count) bytes.resize(bytes.size() * 2 + count);
      return bytes.data() + used;
    }
    void varint(std::uint64_t value);
    void zigzag(std::int64_t value);
    void append(std::string_view text);
  };
  void add_definition(std::string_view bytes);
  void add_capture(const Event& event, const Capture& capture);

  std::array<Stream, column_count> columns_;
  std::vector<std::uint8_t> payload_;
  std::vector<PredictionSlot> slots_;
  StringTable shapes_;
  StringTable contexts_;
  StringTable literals_;
  std::uint64_t last_time_ = 0;
  std::size_t events_ = 0;
  bool fresh_ = true;
};

class BlockDecoder {
 public:
  BlockDecoder();

  // Decodes one payload and calls `visit` for each event, with sequence numbers from
  // `first_sequence`, until it returns false (then `stopped` is set). The error names what is
  // inconsistent; the tables are unusable after it.
  Status decode(std::string_view payload, std::uint32_t events, bool fresh,
                std::uint64_t first_sequence, const std::function<bool(const Event&)>& visit,
                bool& stopped);

 private:
  struct Shape {
    EventKind kind = EventKind::syscall;
    Abi abi = Abi::x86_64;
    Verdict verdict = Verdict::allowed;
    bool has_enter = false;
    bool has_exit = false;
    std::uint32_t number = 0;
    std::string captures;  // argument, kind, provenance with truncation: three bytes each
  };
  struct Context {
    std::int32_t pid = 0, tid = 0, inside_pid = 0, inside_tid = 0;
    std::uint32_t origin_call = 0, active_call = 0;
  };
  struct Cursor {
    const std::uint8_t* at = nullptr;
    const std::uint8_t* end = nullptr;
    bool varint(std::uint64_t& value);
    bool zigzag(std::int64_t& value);
    bool take(std::size_t count, std::string_view& bytes);
  };
  bool split_columns(std::string_view payload);
  bool define(std::string_view& bytes);
  const Shape* read_shape();
  const Context* read_context();
  static bool parse_shape(std::string_view bytes, Shape& shape);
  static bool parse_capture(std::string_view bytes, Capture& capture);
  bool read_event(Event& event);
  bool read_capture(const Event& event, Capture& capture);

  std::array<Cursor, column_count> columns_{};
  std::vector<PredictionSlot> slots_;
  std::deque<Shape> shapes_;
  std::deque<Context> contexts_;
  std::deque<std::string> literals_;  // a deque, so that views stay valid while it grows
  std::size_t literal_bytes_ = 0;
  std::uint64_t last_time_ = 0;
  std::vector<Capture> captures_;
};

}  // namespace gyges::recorder
