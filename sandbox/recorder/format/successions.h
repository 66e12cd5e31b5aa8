// What followed what: programs do the same again and again, so the event that came after the last
// few of a thread is likely to come after them again (docs/trace_format.md, "Successions"). Writer
// and reader keep the same memory of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace gyges::recorder {

inline constexpr std::uint32_t no_literal = ~std::uint32_t{0};

// An event as it followed on others: how it differed from the thread's last of the same number.
struct Succession {
  static constexpr std::size_t kept_steps = 5;
  static constexpr std::size_t result_step = 4;  // those before it are of arguments
  static constexpr std::size_t kept_literals = 3;

  // Handed on also where nothing is foreseen, so it must have a value.
  std::uint32_t shape = 0;
  std::array<std::uint32_t, kept_literals> literals;  // no_literal where it has none that is kept
  std::array<std::uint64_t, kept_steps> steps;

  bool operator==(const Succession&) const = default;
};

// The last three events of a thread, as a number.
class Trail {
 public:
  void add(std::uint32_t event) {
    before_ = last_ * 0x9E3779B1U + (before_ >> 16U);
    last_ = event;
  }
  [[nodiscard]] std::uint32_t number() const {
    const std::uint64_t number = (std::uint64_t{last_} << 32U | before_) * 0x9E3779B97F4A7C15U;
    return static_cast<std::uint32_t>(number >> 32U);
  }

 private:
  std::uint32_t last_ = 0;
  std::uint32_t before_ = 0;
};

// Grows with what it is told, up to a bound; then some of what is old is forgotten. What it knows
// does not depend on the machine.
class Successions {
 public:
  static constexpr std::size_t max_places = std::size_t{1} << 18U;
  static constexpr std::size_t max_words = std::size_t{1} << 22U;

  Successions();
  void clear();
  // What came after such a trail; false: nothing yet.
  bool find(std::uint32_t trail, Succession& found) {
    std::size_t at = next_;
    if (at >= used_ || words_at(at)[0] != trail) {
      at = lookup(trail);
      if (at == nowhere) return false;
    }
    next_ = after(at + unpack(words_at(at), found));
    return true;
  }
  void prefetch(std::uint32_t trail) const { __builtin_prefetch(&tags_[first_place(trail)]); }
  void put(std::uint32_t trail, const Succession& now);

 private:
  static constexpr std::size_t nowhere = ~std::size_t{0};
  static constexpr std::size_t chunk_words = 16384;
  static constexpr std::size_t longest = 3 + Succession::kept_literals + 2 * Succession::kept_steps;

  // Two places beside each other belong to each trail.
  [[nodiscard]] std::size_t first_place(std::uint32_t trail) const {
    return trail >> shift_ & ~std::uint32_t{1};
  }
  // Not 0, which is a free place; most strangers are told by it, in memory that the cache holds.
  static std::uint16_t tag_of(std::uint32_t trail) {
    return static_cast<std::uint16_t>(trail | 1U);
  }
  [[nodiscard]] std::uint32_t* words_at(std::size_t at) const {
    return &chunks_[at / chunk_words][at % chunk_words];
  }
  // Where the words begin that follow those that end there: none goes over the end of a chunk.
  static std::size_t after(std::size_t end) {
    const std::size_t left = chunk_words - end % chunk_words;
    return left < longest ? end + left : end;
  }
  [[nodiscard]] std::size_t lookup(std::uint32_t trail) const;
  void note(std::uint32_t trail, std::size_t at);
  // How many words they are.
  static std::size_t unpack(const std::uint32_t* words, Succession& found);
  void grow();

  std::vector<std::uint16_t> tags_;
  std::vector<std::uint32_t> places_;  // as many: where in the words
  unsigned shift_ = 0;                 // from a trail to its places
  // Each trail and what came after it, in order of their coming. What came after the one before
  // stands there next to it, so what is done again is read in a row.
  std::vector<std::unique_ptr<std::uint32_t[]>> chunks_;
  std::size_t used_ = 0;  // words
  std::size_t next_ = nowhere;
  std::size_t count_ = 0;
};

}  // namespace gyges::recorder
