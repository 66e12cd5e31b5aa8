#include "sandbox/recorder/format/block_checks.h"

#include <cstring>

#include "base/crc32c.h"

namespace gyges::recorder {
namespace {

constexpr std::uint32_t skippable_mark = 0x184D2A57;  // the eighth of zstd's sixteen
constexpr std::size_t mark_and_size_bytes = 8;
constexpr std::size_t sum_bytes = 4;
constexpr std::size_t smallest_piece = 32;

// Sums are the fewer and parity the longer, the longer pieces are: both are about alike when a
// piece is the square root of the whole.
std::size_t piece_bytes_for(std::size_t covered_bytes) {
  std::size_t piece = smallest_piece;
  while (piece * piece < covered_bytes) piece *= 2;
  return piece;
}

void append_number(std::string& bytes, std::uint32_t value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof(value));
  return value;
}

}  // namespace

BlockChecks checks_of(std::string_view covered) {
  BlockChecks checks;
  checks.piece_bytes = piece_bytes_for(covered.size());
  for (std::size_t at = 0; at < covered.size(); at += checks.piece_bytes)
    checks.sums.push_back(crc32c(covered.substr(at, checks.piece_bytes)));
  checks.parity.assign(2 * checks.piece_bytes, '\0');
  for (std::size_t at = 0; at < covered.size(); at += checks.parity.size()) {
    const std::string_view stretch = covered.substr(at, checks.parity.size());
    for (std::size_t i = 0; i < stretch.size(); ++i)
      checks.parity[i] = static_cast<char>(checks.parity[i] ^ stretch[i]);
  }
  return checks;
}

std::size_t checks_size(std::size_t covered_bytes) {
  const std::size_t piece = piece_bytes_for(covered_bytes);
  const std::size_t pieces = (covered_bytes + piece - 1) / piece;
  return mark_and_size_bytes + 2 * piece + (pieces + 1) * sum_bytes;
}

std::string encode_checks(const BlockChecks& checks) {
  std::string bytes;
  append_number(bytes, skippable_mark);
  append_number(bytes, static_cast<std::uint32_t>(checks.parity.size() +
                                                  (checks.sums.size() + 1) * sum_bytes));
  bytes += checks.parity;
  for (std::uint32_t sum : checks.sums) append_number(bytes, sum);
  append_number(bytes, crc32c(bytes));
  return bytes;
}

std::optional<std::size_t> covered_bytes_of(std::size_t bytes) {
  std::size_t low = 0;
  std::size_t high = bytes;
  while (low < high) {  // checks never become shorter as what they cover grows
    const std::size_t middle = low + (high - low) / 2;
    if (middle + checks_size(middle) < bytes)
      low = middle + 1;
    else
      high = middle;
  }
  if (low + checks_size(low) != bytes) return std::nullopt;
  return low;
}

bool checks_begin(std::string_view bytes) {
  return bytes.size() >= mark_and_size_bytes && number_at(bytes, 0) == skippable_mark;
}

std::optional<BlockChecks> decode_checks(std::string_view bytes, std::size_t covered_bytes) {
  if (!checks_begin(bytes) || bytes.size() != checks_size(covered_bytes) ||
      number_at(bytes, 4) != bytes.size() - mark_and_size_bytes ||
      number_at(bytes, bytes.size() - sum_bytes) !=
          crc32c(bytes.substr(0, bytes.size() - sum_bytes)))
    return std::nullopt;
  BlockChecks checks;
  checks.piece_bytes = piece_bytes_for(covered_bytes);
  checks.parity = bytes.substr(mark_and_size_bytes, 2 * checks.piece_bytes);
  for (std::size_t at = mark_and_size_bytes + checks.parity.size(); at + sum_bytes < bytes.size();
       at += sum_bytes)
    checks.sums.push_back(number_at(bytes, at));
  return checks;
}

}  // namespace gyges::recorder
