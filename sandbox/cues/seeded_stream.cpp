#include "sandbox/cues/seeded_stream.h"

#include <algorithm>

#include "base/hash.h"

namespace gyges::cues {
namespace {

std::uint64_t engine_seed(std::uint64_t seed, std::string_view name) {
  Sha256 hash = sha256(std::to_string(seed) + "/" + std::string(name));
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) value = (value << 8U) | hash[i];
  return value;
}

}  // namespace

SeededStream::SeededStream(std::uint64_t seed, std::string_view name)
    : engine_(engine_seed(seed, name)) {}

double SeededStream::uniform() {
  return static_cast<double>(engine_() >> 11U) * 0x1p-53;
}

std::uint64_t SeededStream::below(std::uint64_t bound) {
  if (bound == 0) return 0;
  return std::min(bound - 1, static_cast<std::uint64_t>(uniform() * static_cast<double>(bound)));
}

std::int64_t SeededStream::between(std::int64_t low, std::int64_t high) {
  if (low > high) std::swap(low, high);
  return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
}

double SeededStream::normal(double mean, double spread) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += uniform();
  return mean + spread * sum;
}

std::string SeededStream::hex(std::size_t digits) {
  static constexpr char alphabet[] = "0123456789abcdef";
  std::string text;
  text.reserve(digits);
  while (text.size() < digits) {
    std::uint64_t word = engine_();
    for (int i = 0; i < 16 && text.size() < digits; ++i, word >>= 4U) text += alphabet[word & 15U];
  }
  return text;
}

}  // namespace gyges::cues
