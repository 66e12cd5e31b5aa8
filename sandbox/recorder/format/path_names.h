// The names of files that a trace speaks of, each kept once and known by a number: a run names the
// same few hundred files some ten thousand times, so that comparing, joining and judging them by
// number is what makes the rest cheap.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sandbox/recorder/format/byte_arena.h"

namespace gyges::recorder {

using PathId = std::uint32_t;
inline constexpr PathId no_path = 0;  // the empty name

// Not thread-safe. Numbers count from 0 without gaps; they and the texts hold until clear().
class PathNames {
 public:
  PathNames();
  PathNames(const PathNames&) = delete;
  PathNames& operator=(const PathNames&) = delete;

  PathId id_of(std::string_view bytes);
  // join_path() of both, which is worked out once for each pair.
  PathId joined(PathId directory, PathId path);

  [[nodiscard]] std::string_view text(PathId id) const { return names_[id].text; }
  [[nodiscard]] bool is_absolute(PathId id) const { return names_[id].text.starts_with('/'); }
  [[nodiscard]] std::size_t size() const { return names_.size(); }
  // Memory that the names take, roughly; whoever feeds it hostile names clears it in time.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  // Changes with clear(), and is that of no other PathNames of this process: what somebody keeps by
  // number is void when it differs.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  void clear();

 private:
  static constexpr PathId unknown = ~PathId{0};
  struct Name {
    std::string_view text;
    std::uint64_t hash = 0;
    PathId normal = unknown;  // of an absolute name: without ".", ".." and "//"
  };
  PathId add(std::string_view bytes, std::uint64_t hash);
  void grow();

  std::uint64_t seed_;
  std::uint64_t generation_ = 0;
  std::size_t bytes_ = 0;
  ByteArena texts_;
  std::vector<Name> names_;
  std::vector<PathId> slots_;  // a power of two of them; 1 + number, 0: free
  std::unordered_map<std::uint64_t, PathId> joined_;
};

}  // namespace gyges::recorder
