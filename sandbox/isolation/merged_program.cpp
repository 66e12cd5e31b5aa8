#include "sandbox/isolation/merged_program.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/seccomp_program.h"

namespace gyges::isolation {
namespace {

constexpr std::size_t longest_program = 4096;  // BPF_MAXINSNS
constexpr std::size_t farthest = 255;          // of a conditional jump
// Rules with many conditions on one call have more ways through them than can be followed.
constexpr std::size_t most_steps = 1U << 20U;
constexpr std::uint32_t most_ranges_of_bits = 4;
constexpr std::uint32_t all_bits = ~0U;

// A word of seccomp_data, as far as a program looks at it.
struct Word {
  std::uint32_t offset = 0;
  std::uint32_t mask = all_bits;

  auto operator<=>(const Word&) const = default;
};

struct Range {
  std::uint32_t low = 0;
  std::uint32_t high = all_bits;

  auto operator<=>(const Range&) const = default;
};

using NodeId = std::size_t;

// What is answered for the values from `low` to before the next piece's.
struct Piece {
  std::uint32_t low = 0;
  NodeId node = 0;

  auto operator<=>(const Piece&) const = default;
};

// A verdict, or a question about one word: a piece for each of its ranges, the first from 0.
struct Node {
  std::uint32_t action = 0;  // where there are no pieces
  Word word;
  std::vector<Piece> pieces;

  auto operator<=>(const Node&) const = default;
};

// Equal questions are one node, so that what looks different and answers alike becomes one piece.
class Diagram {
 public:
  [[nodiscard]] const Node& at(NodeId id) const { return nodes_[id]; }

  NodeId verdict(std::uint32_t action) { return intern({action, {}, {}}); }

  NodeId question(Word word, const std::vector<Piece>& wanted) {
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < wanted.size(); ++i)
      append(word, wanted[i], i + 1 < wanted.size() ? wanted[i + 1].low - 1 : all_bits, pieces);
    if (pieces.size() == 1) return pieces[0].node;
    // Of a single bit, every value that is not 0 is the other one.
    if (std::has_single_bit(word.mask) && pieces.size() == 2) pieces[1].low = 1;
    join_bits(word, pieces);
    return intern({0, word, std::move(pieces)});
  }

 private:
  NodeId intern(Node node) {
    auto [found, fresh] = known_.emplace(std::move(node), nodes_.size());
    if (fresh) nodes_.push_back(found->first);
    return found->second;
  }

  // A further question about the same word becomes part of this one.
  void append(Word word, Piece piece, std::uint32_t high, std::vector<Piece>& pieces) const {
    auto add = [&](Piece one) {
      if (pieces.empty() || pieces.back().node != one.node) pieces.push_back(one);
    };
    const Node& inner = nodes_[piece.node];
    if (inner.pieces.empty() || inner.word != word) return add(piece);
    for (std::size_t i = 0; i < inner.pieces.size(); ++i) {
      std::uint32_t last = i + 1 < inner.pieces.size() ? inner.pieces[i + 1].low - 1 : all_bits;
      if (last < piece.low || inner.pieces[i].low > high) continue;
      add({std::max(piece.low, inner.pieces[i].low), inner.pieces[i].node});
    }
  }

  // "No bit of these, and no bit of those" is a single question.
  void join_bits(Word& word, std::vector<Piece>& pieces) const {
    if (pieces.size() != 2 || pieces[1].low != 1) return;
    const Node& rest = nodes_[pieces[0].node];
    if (rest.pieces.size() != 2 || rest.pieces[1].low != 1 || rest.word.offset != word.offset ||
        rest.pieces[1].node != pieces[1].node)
      return;
    word.mask |= rest.word.mask;
    pieces[0].node = rest.pieces[0].node;
  }

  std::vector<Node> nodes_;
  std::map<Node, NodeId> known_;
};

// Follows all ways through the programs, the last one first.
class Follower {
 public:
  Follower(const std::vector<std::string>& programs, Diagram& diagram) : diagram_(diagram) {
    for (auto program = programs.rbegin(); program != programs.rend(); ++program) {
      std::vector<sock_filter> steps(program->size() / sizeof(sock_filter));
      std::memcpy(steps.data(), program->data(), steps.size() * sizeof(sock_filter));
      programs_.push_back(std::move(steps));
    }
  }

  // None: see merge_programs().
  std::optional<NodeId> follow() {
    NodeId root = next_program(0, SECCOMP_RET_ALLOW);
    return given_up_ ? std::nullopt : std::optional(root);
  }

 private:
  // The register that programs compare: a word under a mask, or a value that is known.
  struct Register {
    bool known = true;
    std::uint32_t value = 0;
    Word word;
  };

  NodeId give_up() {
    given_up_ = true;
    return diagram_.verdict(SECCOMP_RET_KILL_PROCESS);
  }

  NodeId next_program(std::size_t program, std::uint32_t verdict) {
    // Nothing is stricter.
    if (program == programs_.size() ||
        (verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_KILL_PROCESS)
      return diagram_.verdict(verdict);
    return run(program, 0, {}, verdict);
  }

  NodeId run(std::size_t program, std::size_t at, Register a, std::uint32_t verdict) {
    const std::vector<sock_filter>& steps = programs_[program];
    while (!given_up_ && at < steps.size() && ++taken_ < most_steps) {
      const sock_filter& step = steps[at];
      switch (step.code) {
        case BPF_LD | BPF_W | BPF_ABS:
          a = {false, 0, {step.k, all_bits}};
          ++at;
          break;
        case BPF_ALU | BPF_AND | BPF_K:
          if (a.known)
            a.value &= step.k;
          else
            a.word.mask &= step.k;
          ++at;
          break;
        case BPF_JMP | BPF_JA:
          at += step.k + 1UL;
          break;
        case BPF_RET | BPF_K:
          // As stricter() has it for a program and the ones loaded after it.
          return next_program(program + 1, stricter({verdict}, {step.k}).action);
        case BPF_JMP | BPF_JEQ | BPF_K:
        case BPF_JMP | BPF_JGT | BPF_K:
        case BPF_JMP | BPF_JGE | BPF_K:
        case BPF_JMP | BPF_JSET | BPF_K: {
          auto go = [&](bool holds, Register then) {
            return run(program, at + 1 + (holds ? step.jt : step.jf), then, verdict);
          };
          return branch(step, a, go);
        }
        default:
          return give_up();
      }
    }
    return give_up();
  }

  template <typename Go>
  NodeId branch(const sock_filter& step, Register a, const Go& go) {
    Word word = a.word;
    if (BPF_OP(step.code) == BPF_JSET) word.mask &= step.k;
    if (!a.known && word.mask == 0) return go(compare(step, 0), a);
    if (a.known) return go(compare(step, a.value), a);
    Range range = range_of(word);
    if (range.low == range.high) return go(compare(step, range.low), a);
    // Ranges of the whole word where there are few, as for x32's bit in a call's number.
    const Word all{word.offset, all_bits};
    const Range whole = range_of(all);
    const auto shift = static_cast<unsigned>(std::countr_zero(word.mask));
    if (word.offset == offsetof(seccomp_data, nr) && word.mask != all_bits &&
        (whole.high >> shift) - (whole.low >> shift) < most_ranges_of_bits)
      return split(all, multiples(1U << shift, whole), whole.high,
                   [&](std::uint32_t low) { return go(compare(step, low & word.mask), a); });
    std::vector<std::uint32_t> lows{range.low};
    auto cut = [&](std::uint64_t low) {
      if (low > range.low && low <= range.high) lows.push_back(static_cast<std::uint32_t>(low));
    };
    const std::uint64_t k = step.k;
    if (BPF_OP(step.code) == BPF_JSET)
      cut(1);
    else if (BPF_OP(step.code) != BPF_JGT)
      cut(k);
    if (BPF_OP(step.code) == BPF_JEQ || BPF_OP(step.code) == BPF_JGT) cut(k + 1);
    return split(word, lows, range.high, [&](std::uint32_t low) {
      // Of some bits the lower end need not be a value that there can be.
      return go(BPF_OP(step.code) == BPF_JSET ? low != 0 : compare(step, low), a);
    });
  }

  // Goes on once for each of the ranges that begin at `lows`, the last of which ends at `high`.
  template <typename GoOn>
  NodeId split(Word word, const std::vector<std::uint32_t>& lows, std::uint32_t high,
               const GoOn& go_on) {
    std::vector<Piece> pieces;
    const std::optional<Range> before = take(word);
    for (std::size_t i = 0; i < lows.size(); ++i) {
      ranges_[word] = {lows[i], i + 1 < lows.size() ? lows[i + 1] - 1 : high};
      pieces.push_back({i == 0 ? 0 : lows[i], go_on(lows[i])});
    }
    ranges_.erase(word);
    if (before) ranges_[word] = *before;
    return diagram_.question(word, pieces);
  }

  [[nodiscard]] std::optional<Range> take(Word word) const {
    auto found = ranges_.find(word);
    return found == ranges_.end() ? std::nullopt : std::optional(found->second);
  }

  static std::vector<std::uint32_t> multiples(std::uint32_t size, Range within) {
    std::vector<std::uint32_t> lows{within.low};
    for (std::uint64_t low = (std::uint64_t{within.low} / size + 1) * size; low <= within.high;
         low += size)
      lows.push_back(static_cast<std::uint32_t>(low));
    return lows;
  }

  static bool compare(const sock_filter& step, std::uint32_t value) {
    switch (BPF_OP(step.code)) {
      case BPF_JEQ:
        return value == step.k;
      case BPF_JGT:
        return value > step.k;
      case BPF_JGE:
        return value >= step.k;
      default:
        return (value & step.k) != 0;
    }
  }

  // Where the word can lie, by what has been asked on the way.
  [[nodiscard]] Range range_of(Word word) const {
    Range whole;
    if (auto found = ranges_.find({word.offset, all_bits}); found != ranges_.end())
      whole = found->second;
    if (word.mask == all_bits) return whole;
    // Bits above those in which the range's ends differ are the same in all of it.
    const auto shift = static_cast<unsigned>(std::countr_zero(word.mask));
    if (whole.low >> shift == whole.high >> shift)
      return {whole.low & word.mask, whole.low & word.mask};
    if (auto found = ranges_.find(word); found != ranges_.end()) return found->second;
    return {0, word.mask};
  }

  std::vector<std::vector<sock_filter>> programs_;
  Diagram& diagram_;
  std::map<Word, Range> ranges_;  // on the way that is being followed
  std::size_t taken_ = 0;
  bool given_up_ = false;
};

// Writes the program from its end, so that every target of a jump has its place already.
class Writer {
 public:
  explicit Writer(const Diagram& diagram) : diagram_(diagram) {}

  std::string write(NodeId root) {
    std::size_t start = place(root);
    if (start + 1 != code_.size()) jump_to(start);
    if (code_.size() > longest_program) return "";
    std::reverse(code_.begin(), code_.end());
    return {reinterpret_cast<const char*>(code_.data()), code_.size() * sizeof(sock_filter)};
  }

 private:
  std::size_t add(unsigned code, std::uint32_t k, std::size_t jt = 0, std::size_t jf = 0) {
    code_.push_back({static_cast<std::uint16_t>(code), static_cast<std::uint8_t>(jt),
                     static_cast<std::uint8_t>(jf), k});
    return code_.size() - 1;
  }

  [[nodiscard]] std::size_t distance(std::size_t target) const { return code_.size() - target - 1; }

  std::size_t jump_to(std::size_t target) {
    return add(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(distance(target)));
  }

  // Counted from the end. A verdict is written again where the last one is out of reach.
  std::size_t place(NodeId id) {
    const Node& node = diagram_.at(id);
    auto found = places_.find(id);
    if (found != places_.end() && (!node.pieces.empty() || distance(found->second) < farthest - 4))
      return found->second;
    std::size_t at = 0;
    if (node.pieces.empty()) {
      at = add(BPF_RET | BPF_K, node.action);
    } else {
      // First, so that they are not between the parts of this one.
      for (const Piece& piece : node.pieces)
        if (!diagram_.at(piece.node).pieces.empty()) place(piece.node);
      std::size_t tests = choose(node, 0, node.pieces.size());
      if (tests + 1 != code_.size()) jump_to(tests);
      if (node.word.mask != all_bits && !asks_bits(node))
        add(BPF_ALU | BPF_AND | BPF_K, node.word.mask);
      at = add(BPF_LD | BPF_W | BPF_ABS, node.word.offset);
    }
    places_[id] = at;
    return at;
  }

  static bool asks_bits(const Node& node) {
    return node.pieces.size() == 2 && node.pieces[1].low == 1;
  }

  std::size_t choose(const Node& node, std::size_t begin, std::size_t end) {
    const std::vector<Piece>& pieces = node.pieces;
    if (end - begin == 1) return place(pieces[begin].node);
    if (asks_bits(node)) return test(BPF_JSET, node.word.mask, pieces[1].node, pieces[0].node);
    // All but one value.
    if (end - begin == 3 && pieces[begin].node == pieces[begin + 2].node &&
        pieces[begin + 1].low + 1 == pieces[begin + 2].low)
      return test(BPF_JEQ, pieces[begin + 1].low, pieces[begin + 1].node, pieces[begin].node);
    std::size_t middle = begin + (end - begin) / 2;
    std::size_t above = choose(node, middle, end);
    std::size_t below = choose(node, begin, middle);
    // Within reach again, with room for the other one's jump.
    if (distance(above) > farthest - 1) above = jump_to(above);
    if (distance(below) > farthest) below = jump_to(below);
    return add(BPF_JMP | BPF_JGE | BPF_K, pieces[middle].low, distance(above), distance(below));
  }

  std::size_t test(unsigned compare, std::uint32_t value, NodeId yes, NodeId no) {
    std::size_t to_yes = place(yes);
    std::size_t to_no = place(no);
    if (distance(to_yes) > farthest - 1) to_yes = jump_to(to_yes);
    if (distance(to_no) > farthest) to_no = jump_to(to_no);
    return add(BPF_JMP | compare | BPF_K, value, distance(to_yes), distance(to_no));
  }

  const Diagram& diagram_;
  std::vector<sock_filter> code_;  // last instruction first
  std::map<NodeId, std::size_t> places_;
};

}  // namespace

Result<std::string> merge_programs(const std::vector<std::string>& programs) {
  // One that cannot be run at all is an error, whatever the others are.
  for (const std::string& program : programs) GYGES_CHECK(run_seccomp_program(program, {}));
  Diagram diagram;
  auto root = Follower(programs, diagram).follow();
  if (!root) return std::string();
  return Writer(diagram).write(*root);
}

}  // namespace gyges::isolation
