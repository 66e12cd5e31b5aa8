// SHA-256 and SHA-1: of streams through OpenSSL, an eighth quicker on long ones; of what lies in
// memory through Nettle, which is linked in. Loading libcrypto takes a millisecond, more than all
// hashes of a persona's start.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges {

using Sha256 = std::array<std::uint8_t, 32>;

// Incremental hash. Not thread-safe; one owner.
class Sha256Hasher {
 public:
  Sha256Hasher();
  ~Sha256Hasher();
  Sha256Hasher(Sha256Hasher&&) noexcept;
  Sha256Hasher& operator=(Sha256Hasher&&) noexcept;

  void update(std::string_view bytes);
  // The hash of all bytes so far; the hasher starts anew.
  Sha256 finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Sha256 sha256(std::string_view bytes);
// Hash of the file behind `fd` from its current offset to its end.
Result<Sha256> sha256_of_fd(int fd);
Result<Sha256> sha256_of_file(const std::filesystem::path& path);

// For names that others give by it (Git's of objects); it secures nothing.
using Sha1 = std::array<std::uint8_t, 20>;
Sha1 sha1(std::string_view bytes);

std::string to_hex(const Sha256& hash);

}  // namespace gyges
