// CRC-32C (Castagnoli), the check value of iSCSI and ext4: 8 bytes in three cycles where the
// processor has an instruction for it. It finds damage, it does not keep anybody from forging.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gyges {

std::uint32_t crc32c(std::string_view bytes);

// One byte that is another one than it was.
struct ByteError {
  std::size_t at = 0;
  std::uint8_t flipped = 0;  // the bits that differ
};

// Where the one wrong byte is, if one alone is wrong, in `size` bytes whose check value differs
// from the right one by `difference` (exclusive or). One of 16 million other damages looks the same
// for each byte searched: whoever uses the answer has to see whether it is true.
std::optional<ByteError> single_byte_error(std::uint32_t difference, std::size_t size);

}  // namespace gyges
