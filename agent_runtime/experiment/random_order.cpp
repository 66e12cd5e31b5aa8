#include "agent_runtime/experiment/random_order.h"

#include "base/hash.h"

namespace gyges::experiment {

std::uint64_t RandomOrder::next() {
  if (left_ == 0) {
    Sha256 hash =
        sha256("gyges order 1\n" + std::to_string(seed_) + "\n" + std::to_string(block_++) + "\n");
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      numbers_[i] = 0;
      for (std::size_t byte = 0; byte < 8; ++byte)
        numbers_[i] = numbers_[i] << 8U | hash[8 * i + byte];
    }
    left_ = numbers_.size();
  }
  return numbers_[numbers_.size() - left_--];
}

std::uint64_t RandomOrder::below(std::uint64_t bound) {
  const std::uint64_t rejected = (0 - bound) % bound;  // 2^64 mod bound
  std::uint64_t number = next();
  while (number > UINT64_MAX - rejected) number = next();
  return number % bound;
}

}  // namespace gyges::experiment
