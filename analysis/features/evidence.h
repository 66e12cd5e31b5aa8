// What shows that a check or a feature holds: a system call of the trace, a change to a file, or a
// tool call of the transcript.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gyges::analysis {

struct Evidence {
  std::string source;                     // "trace", "files", "transcript"
  std::optional<std::uint64_t> sequence;  // of the event, for source trace
  std::uint64_t time_ns = 0;              // CLOCK_MONOTONIC; 0 where unknown
  std::int32_t pid = 0;                   // as the host sees it; 0 where unknown
  std::uint32_t call = 0;                 // tool call; 0: none
  std::string text;                       // in words, or the system call; printable
};

// Keeps the first few pieces, because they come in trace order and one agent can make millions, and
// counts all.
class EvidenceList {
 public:
  static constexpr std::size_t kept_at_most = 20;

  EvidenceList() = default;
  // As it was kept; `total` is at least kept.size().
  EvidenceList(std::vector<Evidence> kept, std::uint64_t total)
      : kept_(std::move(kept)), total_(total) {}

  void add(Evidence evidence) {
    ++total_;
    if (kept_.size() < kept_at_most) kept_.push_back(std::move(evidence));
  }
  // As add(make()), but nothing is made where there is no more room: text costs more than counting.
  template <class Make>
  void add_made(Make make) {
    ++total_;
    if (kept_.size() < kept_at_most) kept_.push_back(make());
  }
  // Takes at most `share` pieces of the other, so that one part of a proof does not crowd out the
  // next.
  void add_all(const EvidenceList& other, std::size_t share = kept_at_most) {
    total_ += other.total_;
    for (std::size_t i = 0; i < other.kept_.size() && i < share; ++i)
      if (kept_.size() < kept_at_most) kept_.push_back(other.kept_[i]);
  }
  [[nodiscard]] const std::vector<Evidence>& kept() const { return kept_; }
  [[nodiscard]] std::uint64_t total() const { return total_; }

 private:
  std::vector<Evidence> kept_;
  std::uint64_t total_ = 0;
};

}  // namespace gyges::analysis
