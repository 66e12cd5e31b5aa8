// What encoder and decoder of a trace block share (docs/trace_format.md, "Blocks"): limits,
// columns, and the tables that both carry from block to block: kept literals and what predictions
// rest on.
#pragma once

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

inline constexpr std::size_t max_block_events = 65536;
inline constexpr std::size_t soft_block_bytes = 8U << 20U;  // a block is finished beyond this
inline constexpr std::size_t max_block_bytes = 32U << 20U;  // no block may be larger
inline constexpr std::size_t max_captures = 320;            // of one event
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
  // Of format 3, which leaves column_time and column_duration empty: times split into their lowest
  // byte, which is noise, and the rest, which is not.
  column_time_low,
  column_time_high,
  column_duration_low,
  column_duration_high,
  column_count,
};
inline constexpr std::size_t old_column_count = column_time_low;     // of formats 1 and 2
inline constexpr std::size_t first_number_column = column_time_low;  // packed apart, see finish()

// How many of the six argument registers a call takes; the others hold what the program left there.
// Six for calls the table does not know and for events that are no calls.
std::size_t stored_arguments(EventKind kind, Abi abi, std::uint32_t number);

// As many T as its constructor says, all bytes zero, in memory that costs nothing before it is
// used: most traces are short and touch little of these tables.
template <class T>
class ZeroedArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit ZeroedArray(std::size_t count)
      : bytes_(count * sizeof(T)), items_(static_cast<T*>(std::calloc(count, sizeof(T)))) {
    if (!items_) throw std::bad_alloc();
  }
  void clear() { std::memset(static_cast<void*>(items_.get()), 0, bytes_); }
  T& operator[](std::size_t at) { return items_.get()[at]; }
  const T& operator[](std::size_t at) const { return items_.get()[at]; }

 private:
  struct Free {
    void operator()(T* items) const { std::free(items); }
  };
  std::size_t bytes_;
  std::unique_ptr<T, Free> items_;
};

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
  ZeroedArray<Slot> slots_;
  ZeroedArray<Expected> by_number_;
  ZeroedArray<ThreadSlot> threads_;
  std::uint64_t last_exit_ns_ = 0;
  bool clean_ = true;  // nothing was learned since it was cleared
};

// A word that is now what the word so many before it in the same structure is (the seconds of two
// times, mostly) is stored as no difference, which a changed word cannot have.
inline constexpr std::size_t word_repeat_distance = 2;

// The words of the last structure of each call and argument; the next one is stored as differences.
class StructureMemory {
 public:
  static constexpr std::size_t max_words = 32;
  using Words = std::array<std::uint64_t, max_words>;

  void clear() { slots_.clear(); }
  Words& last(std::uint32_t number, std::uint8_t argument) {
    return slots_[(number * 7 + argument) % slot_count];
  }
  // How many leading 64-bit words of a capture of this kind are stored so.
  static std::size_t words_in(CaptureKind kind, std::size_t size);

 private:
  static constexpr std::size_t slot_count = 509;
  ZeroedArray<Words> slots_{slot_count};
};

// Strings, or bytes of some other kind: they compress better apart.
Column literal_column(CaptureKind kind);

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
  void clear();

 private:
  struct Entry {
    std::uint64_t hash = 0;
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
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
  std::string arena_;
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

}  // namespace gyges::recorder
