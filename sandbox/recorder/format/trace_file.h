// The bytes of a trace file: frames, copied and checked one after the other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "base/hash.h"
#include "sandbox/recorder/format/trace_frame.h"

namespace gyges::recorder {

// Not thread-safe.
struct TraceFile {
  UniqueFd fd;
  std::string path;   // for errors
  std::string frame;  // the one being read; grows only

  // The bytes at `offset`, copied to `frame` from `at` on; fewer when the file ends before.
  Result<std::size_t> read_into_frame(std::uint64_t offset, std::size_t at, std::size_t size);

  static constexpr std::string_view cut_off = "cut off";
  // Copies the frame at `offset` and checks it against the hash of the one before; `whole` and
  // `hash` are then set. An empty reason means it is good. Always a copy: a mapped file that
  // somebody cuts off kills its reader, and zstd does not promise to survive bytes that change.
  Result<std::string_view> read_frame(std::uint64_t offset, const Sha256& before, FrameHead& head,
                                      std::string_view& whole, Sha256& hash);

  enum class Writer : std::uint8_t { none, unknown, at_work };
  // Whether somebody has the file open for writing.
  [[nodiscard]] Writer writer() const;
};

}  // namespace gyges::recorder
