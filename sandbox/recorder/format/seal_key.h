// The Ed25519 key that seals run bundles, and where a user keeps it.
//
// The key shows who sealed a run: whoever can read the key can seal in its name. It is read when a
// bundle is finished and not held while agents run.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::recorder {

inline constexpr std::size_t public_key_bytes = 32;
inline constexpr std::size_t signature_bytes = 64;
using PublicKey = std::array<std::uint8_t, public_key_bytes>;

// Thread-safe once loaded; movable.
class SealKey {
 public:
  // Reads an unencrypted PEM private key. Fails for keys that others may read.
  static Result<SealKey> load(const std::filesystem::path& path);
  // As load(); makes the key and the directories above it, mode 0700, when there is none. Of
  // several processes that make it at once one wins and all read the winner's.
  static Result<SealKey> load_or_create(const std::filesystem::path& path);

  SealKey(SealKey&&) noexcept;
  SealKey& operator=(SealKey&&) noexcept;
  ~SealKey();

  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }
  // The signature in 128 hexadecimal digits.
  [[nodiscard]] Result<std::string> sign(std::string_view bytes) const;

 private:
  struct Pair;
  explicit SealKey(std::unique_ptr<Pair> pair);
  std::unique_ptr<Pair> pair_;
  PublicKey public_key_{};
};

bool signature_is_good(const PublicKey& key, std::string_view bytes, std::string_view signature);

std::string public_key_text(const PublicKey& key);  // 64 hexadecimal digits
Result<PublicKey> parse_public_key(std::string_view text);
// The first 32 hexadecimal digits of the SHA-256 of the public key: enough for people to compare.
std::string key_fingerprint(const PublicKey& key);

// Which key somebody means: 64 digits of a public key, 32 of a fingerprint, or a PEM file with a
// public or private key. Returns the fingerprint.
Result<std::string> fingerprint_of_named_key(std::string_view name);

}  // namespace gyges::recorder
