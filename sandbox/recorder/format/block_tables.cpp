#include "sandbox/recorder/format/block_tables.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "sandbox/recorder/format/column_stream.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

std::uint64_t load64(const char* at) {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

}  // namespace

// Multiply-and-fold over 8-byte words, long inputs in two lanes.
std::uint64_t byte_hash(std::string_view bytes, std::uint64_t seed) {
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t hash = seed ^ (left * 0x9E3779B97F4A7C15U);
  if (left >= 32) {
    std::uint64_t other = ~seed;
    for (; left >= 32; at += 32, left -= 32) {
      hash = mix(hash ^ load64(at), load64(at + 8) ^ 0xD6E8FEB86659FD93U);
      other = mix(other ^ load64(at + 16), load64(at + 24) ^ 0xA0761D6478BD642FU);
    }
    hash = mix(hash ^ other, 0xE7037ED1A0B428DBU);
  }
  for (; left >= 8; at += 8, left -= 8) hash = mix(hash ^ load64(at), 0xD6E8FEB86659FD93U);
  std::uint64_t tail = 0;
  if (left > 0) std::memcpy(&tail, at, left);
  return mix(hash ^ tail, seed | 1U);
}

std::uint64_t random_hash_seed() {
  std::uint64_t seed = 0;
  if (::getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != static_cast<ssize_t>(sizeof(seed)))
    seed = reinterpret_cast<std::uintptr_t>(&seed);  // early boot: address randomisation
  return seed;
}

std::size_t stored_arguments(EventKind kind, Abi abi, std::uint32_t number) {
  const SyscallSpec* spec = kind == EventKind::syscall ? find_syscall(abi, number) : nullptr;
  return spec != nullptr ? spec->argument_count : 6;
}

namespace {
constexpr std::size_t slot_count = 4096;
constexpr std::size_t number_count = 1024;
constexpr std::size_t thread_count = 1024;

std::size_t slot_of(std::int32_t tid, std::uint32_t number) {
  return ((static_cast<std::uint32_t>(tid) * 0x9E3779B1U) ^ (number * 0x85EBCA6BU)) >> 20U;
}
std::size_t thread_of(std::int32_t tid) {
  return static_cast<std::uint32_t>(tid) % thread_count;
}
}  // namespace

Predictor::Predictor() : slots_(slot_count), by_number_(number_count), threads_(thread_count) {}

void Predictor::clear() {
  if (clean_) return;
  clean_ = true;
  slots_.clear();
  by_number_.clear();
  threads_.clear();
  last_exit_ns_ = 0;
}

Predictor::Expected& Predictor::expect(std::int32_t tid, std::uint32_t number) {
  clean_ = false;
  Slot& slot = slots_[slot_of(tid, number)];
  if (!slot.used || slot.tid != tid || slot.number != number)
    slot = {tid, number, true, by_number_[number % number_count]};
  return slot.last;
}

std::uint64_t Predictor::expected_time(std::int32_t tid) const {
  const ThreadSlot& thread = threads_[thread_of(tid)];
  return thread.tid == tid && thread.exit_ns != 0 ? thread.exit_ns : last_exit_ns_;
}

void Predictor::learn(std::int32_t tid, std::uint32_t number, const Expected& now,
                      std::uint64_t time_ns, std::uint64_t duration_ns) {
  clean_ = false;
  by_number_[number % number_count] = now;
  last_exit_ns_ = time_ns + duration_ns;
  ThreadSlot& thread = threads_[thread_of(tid)];
  if (thread.tid != tid) thread = {tid, 0, {}};
  thread.exit_ns = last_exit_ns_;
}

Trail& Predictor::trail(std::int32_t tid) {
  clean_ = false;
  ThreadSlot& thread = threads_[thread_of(tid)];
  if (thread.tid != tid) thread = {tid, 0, {}};
  return thread.trail;
}

StringTable::StringTable(std::size_t max_entries, std::size_t max_bytes)
    : max_entries_(max_entries), max_bytes_(max_bytes), seed_(random_hash_seed()), slots_(1024) {}

void StringTable::clear() {
  arena_.clear();
  arena_bytes_ = 0;
  entries_.clear();
  slots_.assign(1024, {});
  full_ = false;
}

void StringTable::grow() {
  std::vector<Slot> old(slots_.size() * 4);
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.entry == 0) continue;
    std::size_t at = entries_[slot.entry - 1].hash & mask;
    while (slots_[at].entry != 0) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

std::uint64_t StringTable::hash(std::string_view bytes) const {
  return byte_hash(bytes, seed_);
}

std::uint32_t StringTable::find_or_add(std::string_view bytes, std::uint64_t hash, bool& added) {
  added = false;
  const auto tag = static_cast<std::uint32_t>(hash >> 32U);
  std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  for (; slots_[at].entry != 0; at = (at + 1) & mask) {
    if (slots_[at].tag != tag) continue;
    const Entry& entry = entries_[slots_[at].entry - 1];
    if (entry.hash == static_cast<std::uint32_t>(hash) &&
        std::string_view(entry.bytes, entry.size) == bytes)
      return slots_[at].entry - 1;
  }
  if (entries_.size() >= max_entries_ || arena_bytes_ + bytes.size() > max_bytes_) {
    full_ = true;
    return none;
  }
  added = true;
  entries_.push_back({arena_.keep(bytes).data(), static_cast<std::uint32_t>(bytes.size()),
                      static_cast<std::uint32_t>(hash)});
  arena_bytes_ += bytes.size();
  slots_[at] = {static_cast<std::uint32_t>(entries_.size()), tag};
  if (entries_.size() * 2 > slots_.size()) grow();
  return none;
}

std::size_t StructureMemory::words_in(CaptureKind kind, std::size_t size) {
  switch (kind) {
    case CaptureKind::structure_in:
    case CaptureKind::structure_out:
      return std::min(size / sizeof(std::uint64_t), max_words);
    case CaptureKind::file_identity:
      return size >= sizeof(FileIdentity) ? sizeof(FileIdentity) / sizeof(std::uint64_t) : 0;
    default:
      return 0;
  }
}

void StructureMemory::learn(Last& last, std::size_t place, std::uint64_t value) {
  const std::uint64_t difference = zigzag_of(static_cast<std::int64_t>(value - last.words[place]));
  const bool shorter = std::bit_width(difference) + 6 < std::bit_width(value);
  std::int8_t& trust = last.trust[place];
  trust = static_cast<std::int8_t>(shorter ? std::min(trust + 1, 8) : std::max(trust - 1, -8));
  last.words[place] = value;
}

Column literal_column(CaptureKind kind) {
  switch (kind) {
    case CaptureKind::path:
    case CaptureKind::text:
    case CaptureKind::argv:
    case CaptureKind::envp:
    case CaptureKind::file_identity:
    case CaptureKind::absolute_path:
      return column_strings;
    default:
      return column_bytes;
  }
}

}  // namespace gyges::recorder
