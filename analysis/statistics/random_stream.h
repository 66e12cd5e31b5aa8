// Random numbers that are the same on every machine: the distributions of the standard library
// differ between libraries, and two reports of one store must not.
//
// D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", ACM Transactions on
// Mathematical Software 47:36 (2021), xoshiro256**; seeded by SplitMix64.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace gyges::analysis {

class RandomStream {
 public:
  explicit RandomStream(std::uint64_t seed);

  std::uint64_t next();
  // In 0..bound-1 without bias; bound at least 1.
  std::uint64_t below(std::uint64_t bound);
  // In [0, 1), 53 bits.
  double uniform() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }
  bool chance(double probability) { return uniform() < probability; }
  // Standard normal, by inversion of uniform pairs (Box and Muller 1958).
  double normal();

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) {
      std::size_t other = static_cast<std::size_t>(below(i));
      T kept = items[i - 1];
      items[i - 1] = items[other];
      items[other] = kept;
    }
  }

 private:
  std::array<std::uint64_t, 4> state_{};
  double kept_normal_ = 0;
  bool has_normal_ = false;
};

}  // namespace gyges::analysis
