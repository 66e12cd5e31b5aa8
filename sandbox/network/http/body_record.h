// What is kept of a body while it passes: its first bytes, its length and hash, and the canaries in
// it. Bounded whatever its length: past most_in_memory, for all records of the process together,
// the first bytes go to a file. Large pieces are hashed aside (aside_hashing.h).
//
// Thread-safety: all records of a process are used by one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/hash.h"
#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/flow.h"

namespace gyges::network {

class MovedPages;

class BodyRecord {
 public:
  static constexpr std::size_t most_in_memory = 2U << 20U;

  // Where the first bytes go when there are many. Without a file, or when it cannot be written, a
  // record then keeps no more of them. Its records have room for `most_kept` bytes each.
  static void spill_to(UniqueFd file, std::uint64_t most_kept, std::uint32_t most_records);

  enum class Hash { yes, no };
  // `canaries` outlives the record; null: nothing is searched for.
  BodyRecord(std::uint64_t most_kept, const CanarySet* canaries, std::string place,
             Hash hash = Hash::yes);

  void feed(std::string_view bytes, std::vector<CanaryHit>& hits);
  [[nodiscard]] bool hashes() const { return hashes_; }
  // Whether it is only to count and hash what comes.
  [[nodiscard]] bool has_seen_enough() const { return !search_ && (size_ >= most_kept_ || full_); }
  // feed() for what was just taken, of a record that has seen enough.
  void feed_moved(MovedPages& pages, std::size_t bytes);
  [[nodiscard]] std::string head() const;
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // With `whole` false the body was cut short and has no hash. The record is spent.
  FlowBody finish(bool whole);

  ~BodyRecord() { drop(); }
  BodyRecord(BodyRecord&& other) noexcept;
  BodyRecord& operator=(BodyRecord&&) = delete;

 private:
  static constexpr std::uint32_t no_slot = ~0U;
  void keep(std::string_view bytes);
  bool spill(std::string_view bytes);
  void settle();
  void drop();

  std::uint64_t most_kept_;
  bool hashes_;
  std::string head_;              // empty once it is in the file
  std::size_t counted_ = 0;       // of head_, in memory
  std::uint32_t slot_ = no_slot;  // in the file
  std::uint64_t spilled_ = 0;     // bytes there
  bool full_ = false;             // keeps no more
  std::uint64_t size_ = 0;
  std::optional<Sha256Hasher> hasher_;  // made with the first byte: most bodies are empty
  std::uint64_t job_ = 0;               // the last that is hashed aside
  std::optional<CanaryStream> search_;
};

}  // namespace gyges::network
