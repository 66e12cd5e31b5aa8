// Numbers that depend on a seed and a name only: the same on every machine and library, and one
// name draws the same numbers whatever other names have drawn. Paired runs share their seed, so
// that two conditions differ in what was declared and not in luck.
//
// The stream named N under seed S is std::mt19937_64 seeded with the first eight bytes, big-endian,
// of SHA-256("S/N") with S in decimal. uniform() is the top 53 bits of one output times 2^-53. The
// distributions of the standard library are not used: they may differ between libraries.
//
// Not thread-safe; one owner.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace gyges::cues {

class SeededStream {
 public:
  SeededStream(std::uint64_t seed, std::string_view name);

  double uniform();                                           // [0, 1)
  std::uint64_t below(std::uint64_t bound);                   // [0, bound); 0 when bound is 0
  std::int64_t between(std::int64_t low, std::int64_t high);  // [low, high], in either order
  double normal(double mean, double spread);  // sum of twelve uniforms: bounded, no outliers past 6
  std::string hex(std::size_t digits);

 private:
  std::mt19937_64 engine_;
};

}  // namespace gyges::cues
