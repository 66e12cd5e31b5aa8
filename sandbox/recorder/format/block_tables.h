// What encoder and decoder of a trace block share (docs/trace_format.md, "Blocks"): limits,
// columns, and the tables that both carry from block to block: kept literals and what predictions
// rest on.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/byte_arena.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/successions.h"
#include "sandbox/recorder/format/zeroed_array.h"

namespace gyges::recorder {

inline constexpr std::size_t max_block_events = 65536;
inline constexpr std::size_t soft_block_bytes = 8U << 20U;  // a block is finished beyond this
inline constexpr std::size_t max_block_bytes = 32U << 20U;  // no block may be larger
inline constexpr std::size_t max_captures = 320;            // of one event
inline constexpr std::size_t max_capture_bytes = 65535;     // longer ones are cut and marked
inline constexpr std::size_t max_kept_literals = 131072;
inline constexpr std::size_t max_kept_bytes = 16U << 20U;
inline constexpr std::size_t max_kept_literal_bytes = 1024;
// What strings have of the one before them takes no room in a block and some to unpack: the writer
// finishes a block beyond the first, a reader takes what one more event can add.
inline constexpr std::size_t soft_prefix_bytes = 32U << 20U;
inline constexpr std::size_t max_prefix_bytes =
    soft_prefix_bytes + max_captures * max_capture_bytes;
// Shapes and contexts the writer keeps; a reader must hold those of one further block.
inline constexpr std::size_t max_table_entries = 65536;

enum Column : std::size_t {
  column_definitions,
  column_shape,
  column_context,
  column_beside,  // of format 7: what times are beside the steps of the clock
  column_prefix,  // of format 7: how much of a string is that of the last one
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
  // Of format 3: times split into their lowest byte, which is noise, and the rest, which is not.
  column_time_low,
  column_time_high,
  column_duration_low,
  column_duration_high,
  column_clock,  // of format 7: the step of the clock, and which shapes have times of their own
  column_count,
};
// Of formats 1 and 2, which have each time in one column.
inline constexpr std::size_t column_time = column_beside;
inline constexpr std::size_t column_duration = column_prefix;
inline constexpr std::size_t old_column_count = column_time_low;     // of formats 1 and 2
inline constexpr std::size_t lanes_column_count = column_clock;      // of formats 3 to 6
inline constexpr std::size_t first_number_column = column_time_low;  // packed apart, see finish()

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
  // What the thread did last; empty for one that is new.
  Trail& trail(std::int32_t tid);
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
    Trail trail;
  };
  ZeroedArray<Slot> slots_;
  ZeroedArray<Expected> by_number_;
  ZeroedArray<ThreadSlot> threads_;
  std::uint64_t last_exit_ns_ = 0;
  bool clean_ = true;  // nothing was learned since it was cleared
};

// A word that is now what the word so many before it in the same structure is (the seconds of two
// times, mostly) is stored as no difference, which a changed word cannot have.
inline constexpr std::size_t word_repeat_distance = 2;

// The words of the last structure of each call and argument; the next one is stored as differences
// to it, or as it is where differences are no shorter.
class StructureMemory {
 public:
  static constexpr std::size_t max_words = 32;
  using Words = std::array<std::uint64_t, max_words>;
  struct Last {
    Words words;
    // Above 0 where differences were the shorter of late.
    std::array<std::int8_t, max_words> trust;
    std::uint32_t size;
  };

  void clear() { slots_.clear(); }
  Last& last(std::uint32_t number, std::uint8_t argument) {
    return slots_[(number * 7 + argument) % slot_count];
  }
  // How many leading 64-bit words of a capture of this kind are stored so.
  static std::size_t words_in(CaptureKind kind, std::size_t size);
  // Takes in that a word became `value`.
  static void learn(Last& last, std::size_t place, std::uint64_t value);

 private:
  static constexpr std::size_t slot_count = 509;
  ZeroedArray<Last> slots_{slot_count};
};

// A word that is not what it was, as a number above 0.
inline std::uint64_t code_of_changed(std::uint64_t value, std::uint64_t last) {
  return value < last ? value + 1 : value;
}
inline std::uint64_t changed_of_code(std::uint64_t code, std::uint64_t last) {
  return code <= last ? code - 1 : code;
}

inline constexpr std::size_t capture_kind_count =
    static_cast<std::size_t>(CaptureKind::absolute_path) + 1;

inline bool is_structure(CaptureKind kind) {
  return kind == CaptureKind::structure_in || kind == CaptureKind::structure_out;
}

// Strings, or bytes of some other kind: they compress better apart.
Column literal_column(CaptureKind kind);

// What a trail (successions.h) remembers of an event: its shape and the literals it has kept.
inline std::uint32_t trail_of_shape(std::uint32_t shape) {
  return (shape + 1) * 0x85EBCA6BU;
}
inline std::uint32_t trail_with_literal(std::uint32_t trail, std::uint32_t literal) {
  trail = (trail ^ (literal + 1)) * 0xC2B2AE35U;
  return trail ^ trail >> 15U;
}

// A hash of bytes that come from inside a sandbox: not cryptographic, a random seed keeps
// collisions unpredictable.
std::uint64_t byte_hash(std::string_view bytes, std::uint64_t seed);
std::uint64_t random_hash_seed();

// Byte strings to numbers in order of first appearance. Open addressing with a random seed, because
// what is hashed comes from inside a sandbox.
class StringTable {
 public:
  StringTable(std::size_t max_entries, std::size_t max_bytes);

  static constexpr std::uint32_t none = ~std::uint32_t{0};
  // Index of `bytes`, or none and then, if there was room, it is added and `added` is true.
  std::uint32_t find_or_add(std::string_view bytes, bool& added) {
    return find_or_add(bytes, hash(bytes), added);
  }
  // The same in two steps, so that other work hides the latency of memory.
  [[nodiscard]] std::uint64_t hash(std::string_view bytes) const;
  void prefetch(std::uint64_t hash) const {
    __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]);
  }
  std::uint32_t find_or_add(std::string_view bytes, std::uint64_t hash, bool& added);
  [[nodiscard]] bool full() const { return full_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  std::string_view operator[](std::uint32_t index) const {
    return {entries_[index].bytes, entries_[index].size};
  }
  void clear();

 private:
  struct Entry {
    const char* bytes = nullptr;  // in arena_
    std::uint32_t size = 0;
    std::uint32_t hash = 0;  // its lower half
  };
  struct Slot {
    std::uint32_t entry = 0;  // 1 + index into entries_, 0 for free
    std::uint32_t tag = 0;    // upper half of the hash: most strangers are told by it alone
  };
  void grow();

  std::size_t max_entries_;
  std::size_t max_bytes_;
  std::uint64_t seed_;
  bool full_ = false;
  ByteArena arena_;
  std::size_t arena_bytes_ = 0;
  std::vector<Entry> entries_;
  std::vector<Slot> slots_;  // a power of two
};

// The bytes of a shape: kind, ABI, verdict, whether there is enter and exit, number; and for each
// capture argument, kind, provenance.
inline constexpr std::uint8_t shape_has_enter = 1;
inline constexpr std::uint8_t shape_has_exit = 2;
inline constexpr std::uint8_t capture_truncated = 0x80;  // beside the provenance
inline constexpr std::size_t shape_head_bytes = 8;
inline constexpr std::size_t shape_capture_bytes = 3;
inline constexpr std::size_t context_bytes = 24;
inline constexpr std::uint8_t mask_result = 0x40;  // in the column of masks
// In the column of shapes: it follows in the definitions, it is the one foreseen, or which it is.
inline constexpr std::uint64_t shape_new = 0;
inline constexpr std::uint64_t shape_foreseen = 1;
inline constexpr std::uint64_t first_shape = 2;
// In the column of captures: a literal, to be kept or not, what was foreseen, or a kept literal.
inline constexpr std::uint64_t capture_kept_literal = 0;
inline constexpr std::uint64_t capture_literal = 1;
inline constexpr std::uint64_t capture_foreseen = 2;
inline constexpr std::uint64_t first_capture = 3;

}  // namespace gyges::recorder
