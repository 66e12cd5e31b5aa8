#include "sandbox/network/exfiltration/canary_search.h"

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.h"
#include "sandbox/network/exfiltration/expansion.h"

namespace gyges::network {
namespace {

constexpr std::size_t evidence_before = 24;
constexpr std::size_t evidence_after = 8;
constexpr std::size_t most_trails = 256;
constexpr unsigned most_unpacked_runs = 4096;
constexpr std::string_view separated = "with separators";

// The last bytes of a text that is read in pieces.
class Tail {
 public:
  static constexpr std::size_t kept = CanarySet::longest_token * 2 + evidence_before;
  void append(std::string_view bytes) {
    if (bytes.size() >= kept) {
      text_ = bytes.substr(bytes.size() - kept);
      return;
    }
    text_ += bytes;
    if (text_.size() > 2 * kept) text_.erase(0, text_.size() - kept);
  }
  [[nodiscard]] std::string_view text() const { return text_; }

 private:
  std::string text_;
};

// Bytes around a hit that ends `end` bytes into `bytes`, which follow on `before`.
std::string evidence(std::string_view before, std::string_view bytes, std::size_t end,
                     std::size_t length, std::uint64_t offset) {
  std::size_t wanted = length + evidence_before;
  std::string around;
  if (end < wanted) {
    std::size_t missing = std::min(wanted - end, before.size());
    around = before.substr(before.size() - missing);
  }
  std::size_t start = end < wanted ? 0 : end - wanted;
  around += bytes.substr(start, end - start + evidence_after);
  return "at byte " + std::to_string(offset) + ": " + printable(around);
}

// One reading of a stream: the bytes as they are, or what they are without an encoding.
struct Reading {
  std::string wrapped;  // "", "percent-encoded", "gzip", "base64, gzip", ...
  std::uint32_t state = 0;
  std::uint64_t offset = 0;
  Tail tail;
};

}  // namespace

struct CanaryStream::State {
  const CanarySet& set;
  std::string place;
  std::set<std::pair<std::uint32_t, std::string>> seen;
  Reading raw;
  PercentDecoder percent, percent_again;
  Reading decoded, decoded_again;
  Squeezer squeezer;
  Reading squeezed{std::string(separated)};
  std::optional<Decompressor> decompressor;
  Reading inflated;
  Base64Runs runs;
  unsigned unpacked_runs = 0;  // there is no end of short ones in a large upload
  Reading run{"base64"};
  std::optional<Decompressor> run_decompressor;
  Reading run_inflated;

  // Whether another reading has shown the same.
  [[nodiscard]] bool repeats(const Reading& reading, const CanarySet::Pattern& pattern) const {
    if (&reading == &decoded || &reading == &squeezed || &reading == &decoded_again)
      return seen.contains({pattern.canary, pattern.encoding});
    return &reading == &run && pattern.encoding == std::string_view("plain") &&
           (seen.contains({pattern.canary, "base64"}) ||
            seen.contains({pattern.canary, "base64url"}));
  }

  void read(Reading& reading, std::string_view bytes, std::vector<CanaryHit>& hits) {
    reading.state =
        set.read(reading.state, bytes, [&](const CanarySet::Pattern& pattern, std::size_t end) {
          std::string encoding = pattern.encoding;
          if (!reading.wrapped.empty()) encoding = reading.wrapped + ", " + encoding;
          if (repeats(reading, pattern)) return;
          if (!seen.emplace(pattern.canary, encoding).second) return;
          hits.push_back({set.name_of(pattern), std::move(encoding), place,
                          evidence(reading.tail.text(), bytes, end, pattern.length,
                                   reading.offset + end - pattern.length)});
        });
    reading.offset += bytes.size();
    reading.tail.append(bytes);
  }

  void inflate(Decompressor& from, Reading& reading, const std::string& around,
               std::string_view bytes, std::vector<CanaryHit>& hits) {
    from.feed(bytes, [&](const char* format, std::string_view out) {
      if (std::string wrapped = around + format; reading.wrapped != wrapped) {
        reading = {};
        reading.wrapped = std::move(wrapped);
      }
      read(reading, out, hits);
    });
  }
};

CanaryStream::CanaryStream(const CanarySet& set, std::string place, bool look_inside)
    : state_(set.empty() ? nullptr : std::unique_ptr<State>(new State{set, std::move(place)})) {
  if (!state_) return;
  if (look_inside) state_->decompressor.emplace();
}
CanaryStream::~CanaryStream() = default;
CanaryStream::CanaryStream(CanaryStream&&) noexcept = default;
CanaryStream& CanaryStream::operator=(CanaryStream&&) noexcept = default;

void CanaryStream::feed(std::string_view bytes, std::vector<CanaryHit>& hits) {
  if (!state_ || bytes.empty()) return;
  State& state = *state_;
  // Up to the first escape the decoded text is the text.
  if (state.percent.starts_with(bytes)) {
    state.decoded = state.raw;
    state.decoded.wrapped = "percent-encoded";
  }
  state.read(state.raw, bytes, hits);
  if (std::string text = state.percent.feed(bytes); !text.empty()) {
    if (state.percent_again.starts_with(text)) {
      state.decoded_again = state.decoded;
      state.decoded_again.wrapped = "percent-encoded twice";
    }
    state.read(state.decoded, text, hits);
    if (std::string again = state.percent_again.feed(text); !again.empty())
      state.read(state.decoded_again, again, hits);
  }
  if (std::string text = state.squeezer.feed(bytes); !text.empty())
    state.read(state.squeezed, text, hits);
  if (state.decompressor) state.inflate(*state.decompressor, state.inflated, "", bytes, hits);
  state.runs.feed(bytes, [&](std::string_view out, bool first) {
    if (first) {
      state.run = {"base64"};
      state.run_decompressor.reset();
      bool unpack = state.decompressor ? state.unpacked_runs < most_unpacked_runs : is_packed(out);
      if (unpack) {
        ++state.unpacked_runs;
        state.run_decompressor.emplace();
      }
    }
    state.read(state.run, out, hits);
    if (state.run_decompressor)
      state.inflate(*state.run_decompressor, state.run_inflated, "base64, ", out, hits);
  });
}

void find_canaries(const CanarySet& set, std::string_view bytes, std::string_view place,
                   std::vector<CanaryHit>& hits) {
  if (set.empty() || bytes.size() < CanarySet::shortest_token) return;
  CanaryStream(set, std::string(place), false).feed(bytes, hits);
}

void SplitCanaries::feed(std::string_view key, std::string_view piece, std::string_view place,
                         std::vector<CanaryHit>& hits) {
  if (set_->empty() || piece.empty()) return;
  auto found = trails_.find(key);
  if (found == trails_.end()) {
    if (trails_.size() >= most_trails)
      trails_.erase(std::min_element(trails_.begin(), trails_.end(), [](auto& a, auto& b) {
        return a.second.used < b.second.used;
      }));
    found = trails_.emplace(std::string(key), Trail{}).first;
  }
  Trail& trail = found->second;
  trail.used = ++clock_;
  if (trail.last == piece) return;
  trail.last = piece;
  trail.state =
      set_->read(trail.state, piece, [&](const CanarySet::Pattern& pattern, std::size_t end) {
        // A whole one in one piece is found by the search over that piece.
        if (end >= pattern.length) return;
        hits.push_back(
            {set_->name_of(pattern), std::string("split, ") + pattern.encoding, std::string(place),
             "over pieces to " + printable(key) + ": " +
                 printable(trail.tail.substr(trail.tail.size() -
                                             std::min(trail.tail.size(), pattern.length - end)) +
                           std::string(piece.substr(0, end)))});
      });
  trail.tail += piece;
  constexpr std::size_t kept = CanarySet::longest_token * 2;
  if (trail.tail.size() > kept) trail.tail.erase(0, trail.tail.size() - kept);
}

void DnsNameCanaries::scan(std::string_view name, std::vector<CanaryHit>& hits) {
  if (set_->empty()) return;
  std::size_t before = hits.size();
  find_canaries(*set_, name, "dns name", hits);
  for (std::size_t i = before; i < hits.size(); ++i)  // its dots
    if (std::string& encoding = hits[i].encoding; encoding.starts_with(separated))
      encoding.replace(0, separated.size(), "split over labels");
  // The domain that was bought; what stands before it is the asker's to choose.
  std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return;
  std::size_t start = name.rfind('.', dot - 1);
  if (start == std::string_view::npos) return;
  std::string_view domain = name.substr(start + 1);
  std::string joined;
  std::string_view longest;
  for (std::string_view rest = name.substr(0, start); !rest.empty();) {
    std::string_view label = rest.substr(0, rest.find('.'));
    joined += label;
    if (label.size() > longest.size()) longest = label;
    rest.remove_prefix(std::min(rest.size(), label.size() + 1));
  }
  if (hits.size() > before) return;
  // Counters and random labels stand between the pieces: the longest label of each is tried too.
  split_.feed(domain, joined, "dns names", hits);
  if (hits.size() == before && longest.size() < joined.size())
    split_.feed("longest label below " + std::string(domain), longest, "dns names", hits);
}

}  // namespace gyges::network
