// Check values inside a block, by which a reader finds which of its bytes are bad and what they
// were (docs/trace_format.md, "Check values"). The block's hash tells only that one is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::recorder {

struct BlockChecks {
  std::size_t piece_bytes = 0;      // a power of two
  std::vector<std::uint32_t> sums;  // CRC-32C of each piece of so many bytes
  // Twice as long as a piece: each byte is the exclusive or of all that stand at its place modulo
  // this length. Damage that lies in two neighbouring pieces can be computed from it.
  std::string parity;

  bool operator==(const BlockChecks&) const = default;
};

// Of a block's bytes without the checks themselves and without its hash.
BlockChecks checks_of(std::string_view covered);

// As they stand in the file: a skippable frame of zstd, which decompressors pass over.
std::string encode_checks(const BlockChecks& checks);
// How long that is for so many covered bytes.
std::size_t checks_size(std::size_t covered_bytes);
// How many bytes are covered where these and their checks take `bytes` together; none if no number
// of them does.
std::optional<std::size_t> covered_bytes_of(std::size_t bytes);

// Whether checks begin here, good or not.
bool checks_begin(std::string_view bytes);
// None where they are damaged, which they tell by a check value of their own.
std::optional<BlockChecks> decode_checks(std::string_view bytes, std::size_t covered_bytes);

}  // namespace gyges::recorder
