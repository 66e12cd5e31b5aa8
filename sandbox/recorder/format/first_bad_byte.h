// Which byte of a damaged trace is the first bad one. Opening a trace tells the frame; this is the
// slow search inside it, for `gyges verify`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/hash.h"

namespace gyges::recorder {

// The first bad byte is one of [from, to], places in the file: at `from` if both are the same.
struct BadByte {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::string how;  // what it is known by, in words

  [[nodiscard]] bool exact() const { return from == to; }
};

// "the first bad byte is byte 600 (0x21, was 0x7f)", "... one of bytes 256 to 383 (...)"
std::string bad_byte_text(const BadByte& bad);

// `frame` is where the first bad frame begins (TraceDamage::offset) and `before` the hash of the
// one before it (TraceReader::chain_head()); `sealed_head` is the chain head that a seal states, in
// hexadecimal digits, empty without one.
//
// Where there are no check values each value of each byte is tried, which hashes at most
// `most_hashed` bytes: some four seconds.
//
// What it says of one byte, or of a stretch no longer than a piece of the block's check values, is
// proven where the frame's hash is undamaged: with those bytes put right the frame has it. Where
// that cannot be it gives the narrowest range that the check values, the file's end and the format
// leave.
Result<BadByte> find_first_bad_byte(const std::filesystem::path& path, std::uint64_t frame,
                                    const Sha256& before, const std::string& sealed_head,
                                    std::uint64_t most_hashed = std::uint64_t{1} << 32U);

// The same of a trace whose header cannot be used. None: the header's bytes are as they were
// written, or it is no trace at all.
Result<std::optional<BadByte>> find_bad_header_byte(const std::filesystem::path& path);

}  // namespace gyges::recorder
