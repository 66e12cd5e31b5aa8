// Storage for many small byte strings that are dropped together. What it hands out stays where it
// is until clear(), which keeps the memory for the next round. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace gyges::recorder {

class ByteArena {
 public:
  char* room(std::size_t bytes) {
    while (chunk_ < chunks_.size() && chunks_[chunk_].size - used_ < bytes) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) {
      next_bytes_ = std::min(next_bytes_ * 2, largest_chunk);
      const std::size_t size = std::max(bytes, next_bytes_);
      chunks_.push_back({std::make_unique_for_overwrite<char[]>(size), size});
    }
    char* at = chunks_[chunk_].bytes.get() + used_;
    used_ += bytes;
    return at;
  }

  std::string_view keep(std::string_view bytes) {
    char* at = room(bytes.size());
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    return {at, bytes.size()};
  }

  void clear() { chunk_ = used_ = 0; }

 private:
  static constexpr std::size_t largest_chunk = std::size_t{1} << 20U;
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    std::size_t size = 0;
  };
  std::vector<Chunk> chunks_;
  std::size_t chunk_ = 0;  // the one that is being filled
  std::size_t used_ = 0;   // of it
  std::size_t next_bytes_ = 2048;
};

}  // namespace gyges::recorder
