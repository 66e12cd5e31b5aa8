// Searches what leaves the sandbox for planted tokens: as they are, encoded, compressed, cut into
// pieces. One automaton (Aho and Corasick 1975) holds every spelling of every token, so that the
// cost does not depend on their number and a piece may end anywhere.
//
// Spellings: plain, in either case, reversed, rot13, UTF-16; base64 and base64url at all three
// alignments; base32 at all five; hexadecimal in either case; lists of decimal codes. Each of these
// also percent-encoded once or twice, with anything between its digits (line ends, spaces, colons,
// \x), inside base64, and inside gzip, zlib, raw deflate (from the first byte), zip and zstd and
// base64 of them. A search finds what it looks for: ciphers and encodings that are not in this list
// pass.
//
// Memory: the automaton is shared; one CanaryStream has some 3 KiB, and two decompressors of at
// most 256 KiB while it reads compressed data, of which it looks at the first 16 MiB.
//
// CanarySet is immutable and may be shared between threads; streams have one owner.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/network/flow.h"

namespace gyges::network {

struct Canary {
  std::string name;
  std::string token;  // 8 to 128 bytes
};

class CanarySet {
 public:
  static constexpr std::size_t most_canaries = 64;
  static constexpr std::size_t shortest_token = 8;
  static constexpr std::size_t longest_token = 128;

  CanarySet() = default;
  // Fails for tokens outside the bounds, repeated names, and too many.
  static Result<CanarySet> compile(const std::vector<Canary>& canaries);

  [[nodiscard]] bool empty() const { return patterns_.empty(); }

  struct Pattern {
    std::uint32_t canary = 0;  // index into names
    const char* encoding = "";
    std::size_t length = 0;
  };
  [[nodiscard]] const std::string& name_of(const Pattern& pattern) const {
    return names_[pattern.canary];
  }

  // Reads on from `state` (0 at the start); `hit(pattern, bytes read including the hit)`.
  template <class F>
  std::uint32_t read(std::uint32_t state, std::string_view bytes, F&& hit) const {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      state = next_[state * classes_ + class_of_[static_cast<std::uint8_t>(bytes[i])]];
      if (first_hit_[state] == none) continue;
      for (std::uint32_t at = first_hit_[state]; at != none; at = hits_[at].next)
        hit(patterns_[hits_[at].pattern], i + 1);
    }
    return state;
  }

 private:
  static constexpr std::uint32_t none = 0xffffffff;
  struct Hit {
    std::uint32_t pattern, next;
  };
  void add(std::uint32_t canary, const char* encoding, std::string bytes);
  void build();

  std::vector<std::string> names_;
  std::vector<Pattern> patterns_;
  std::vector<std::string> spellings_;  // dropped once built
  std::uint8_t class_of_[256] = {};     // 0: in no spelling
  std::uint32_t classes_ = 1;
  std::vector<std::uint32_t> next_;       // by state and class
  std::vector<std::uint32_t> first_hit_;  // by state, into hits_
  std::vector<Hit> hits_;                 // chains, shared along suffix links
};

// One direction of one connection, or one body.
class CanaryStream {
 public:
  // `set` outlives the stream. `place` names what is searched: "http body", "tcp stream".
  // Without `look_inside` compressed data stays closed: for short texts, where the search would
  // cost less than getting ready to unpack.
  CanaryStream(const CanarySet& set, std::string place, bool look_inside = true);
  ~CanaryStream();
  CanaryStream(CanaryStream&&) noexcept;
  CanaryStream& operator=(CanaryStream&&) noexcept;

  // Appends at most one hit for each canary and spelling over the life of the stream.
  void feed(std::string_view bytes, std::vector<CanaryHit>& hits);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A whole text, without looking into compressed data: names, headers, URLs.
void find_canaries(const CanarySet& set, std::string_view bytes, std::string_view place,
                   std::vector<CanaryHit>& hits);

// Tokens that leave in pieces, each too short to be found: pieces of the same key are read as one
// text. Bounded: the last 256 keys.
class SplitCanaries {
 public:
  explicit SplitCanaries(const CanarySet& set) : set_(&set) {}
  void feed(std::string_view key, std::string_view piece, std::string_view place,
            std::vector<CanaryHit>& hits);

 private:
  struct Trail {
    std::uint32_t state = 0;
    std::uint64_t used = 0;
    std::string last;  // the last piece, which clients repeat
    std::string tail;  // the end of the text, for evidence
  };
  const CanarySet* set_;
  std::map<std::string, Trail, std::less<>> trails_;
  std::uint64_t clock_ = 0;
};

// DNS names: within one name over its labels, and over the names below one domain.
class DnsNameCanaries {
 public:
  explicit DnsNameCanaries(const CanarySet& set) : set_(&set), split_(set) {}
  // `name` in the text form of dns::Question.
  void scan(std::string_view name, std::vector<CanaryHit>& hits);

 private:
  const CanarySet* set_;
  SplitCanaries split_;
};

}  // namespace gyges::network
