// Events to the columns of a trace block and back (docs/trace_format.md, "Blocks").
//
// Encoder and decoder carry the same tables from block to block: shapes, contexts, kept literals
// and what predictions rest on. Measured with bench/trace on real traces: 2.5 to 5 million events a
// second are encoded, compressed and hashed on one core, 4 to 20 million are read.
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
  column_words_changed,
  column_words,
  column_strings,
  column_bytes,
  column_count,
};

// How many of the six argument registers a call takes; the others hold what the program left there.
// Six for calls the table does not know and for events that are no calls.
std::size_t stored_arguments(EventKind kind, Abi abi, std::uint32_t number);

// What both sides expect of the next event, from those before it: its arguments and result from the
// thread's last event of the same number (of any thread, if the thread had none), its time from the
// thread's last exit.
class Predictor {
 public:
  struct Expected {
    std::array<std::uint64_t, 6> args{};
    std::int64_t result = 0;
  };

  Predictor();
  void clear();
  // The expectation for the next event of this thread and number, to be set to what it really was.
  Expected& expect(std::int32_t tid, std::uint32_t number);
  [[nodiscard]] std::uint64_t expected_time(std::int32_t tid) const;
  // Takes in the event whose expectation was last asked for.
  void learn(std::int32_t tid, std::uint32_t number, const Expected& now, std::uint64_t time_ns,
             std::uint64_t duration_ns);

 private:
  struct Slot {
    std::int32_t tid = 0;
    std::uint32_t number = 0;
    bool used = false;
    Expected last;
  };
  struct ThreadSlot {
    std::int32_t tid = 0;
    std::uint64_t exit_ns = 0;
  };
  std::vector<Slot> slots_;
  std::vector<Expected> by_number_;
  std::vector<ThreadSlot> threads_;
  std::uint64_t last_exit_ns_ = 0;
};

// The words of the last structure of each call and argument; the next one is stored as differences.
class StructureMemory {
 public:
  static constexpr std::size_t max_words = 32;
  using Words = std::array<std::uint64_t, max_words>;

  StructureMemory() { clear(); }
  void clear() { slots_.assign(slot_count, {}); }
  Words& last(std::uint32_t number, std::uint8_t argument) {
    return slots_[(number * 7 + argument) % slot_count];
  }
  // How many leading 64-bit words of a capture of this kind are stored so.
  static std::size_t words_in(CaptureKind kind, std::size_t size);

 private:
  static constexpr std::size_t slot_count = 509;
  std::vector<Words> slots_;
};

// Strings, or bytes of some other kind: they compress better apart.
Column literal_column(CaptureKind kind);

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
  [[nodiscard]] std::size_t literal_bytes() const {
    return columns_[column_strings].used + columns_[column_bytes].used;
  }
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
  void add_literal(std::uint32_t number, const Capture& capture, std::string_view bytes);

  std::array<Stream, column_count> columns_;
  std::vector<std::uint8_t> payload_;
  Predictor predictor_;
  StringTable shapes_;
  StringTable contexts_;
  StringTable literals_;
  StructureMemory structures_;
  std::uint32_t next_literal_ = 0;
  std::uint32_t last_literal_ = 0;
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
  bool read_literal(std::uint32_t number, Capture& capture);

  std::array<Cursor, column_count> columns_{};
  Predictor predictor_;
  std::deque<Shape> shapes_;
  std::deque<Context> contexts_;
  std::deque<std::string> literals_;  // a deque, so that views stay valid while it grows
  std::size_t literal_bytes_ = 0;
  StructureMemory structures_;
  std::uint64_t last_literal_ = 0;
  std::deque<std::string> rebuilt_;  // literals of the current event that are not kept
  std::vector<Capture> captures_;
};

}  // namespace gyges::recorder
