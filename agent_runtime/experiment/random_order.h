// Random order that is the same on every host: the standard library's shuffle and distributions are
// not specified to the bit.
//
// Generator: block i is SHA-256 over "gyges order 1\n<seed>\n<i>\n" (decimal, i from 0), read as
// four big-endian 64-bit numbers. A number below n is drawn by rejection of the highest incomplete
// range, then modulo n. The shuffle is that of Fisher and Yates, from the last place down.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace gyges::experiment {

class RandomOrder {
 public:
  explicit RandomOrder(std::uint64_t seed) : seed_(seed) {}

  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound);  // bound > 0

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint64_t seed_;
  std::uint64_t block_ = 0;
  std::array<std::uint64_t, 4> numbers_{};
  std::size_t left_ = 0;
};

}  // namespace gyges::experiment
