// What is kept of a body while it passes: its first bytes, its length and hash, and the canaries in
// it. Bounded whatever its length.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/flow.h"

namespace gyges::network {

class BodyRecord {
 public:
  // `canaries` outlives the record; null: nothing is searched for.
  BodyRecord(std::uint64_t most_kept, const CanarySet* canaries, std::string place);

  void feed(std::string_view bytes, std::vector<CanaryHit>& hits);
  [[nodiscard]] std::string_view head() const { return head_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // With `whole` false the body was cut short and has no hash. The record is spent.
  FlowBody finish(bool whole);

 private:
  std::uint64_t most_kept_;
  std::string head_;
  std::uint64_t size_ = 0;
  std::optional<Sha256Hasher> hasher_;  // made with the first byte: most bodies are empty
  std::optional<CanaryStream> search_;
};

}  // namespace gyges::network
