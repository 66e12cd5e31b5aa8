#include "base/hash.h"

#include <nettle/sha1.h>
#include <nettle/sha2.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/fd.h"
#include "base/regular_file.h"

// Through EVP the first hash of a process takes half a millisecond more, in which OpenSSL looks for
// providers and fills tables by name; these functions are the same code without.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace gyges {

struct Sha256Hasher::Context {
  SHA256_CTX state;
  void begin() { SHA256_Init(&state); }
};

Sha256Hasher::Sha256Hasher() : context_(std::make_unique<Context>()) {
  context_->begin();
}
Sha256Hasher::~Sha256Hasher() = default;
Sha256Hasher::Sha256Hasher(Sha256Hasher&&) noexcept = default;
Sha256Hasher& Sha256Hasher::operator=(Sha256Hasher&&) noexcept = default;

void Sha256Hasher::update(std::string_view bytes) {
  SHA256_Update(&context_->state, bytes.data(), bytes.size());
}

Sha256 Sha256Hasher::finish() {
  Sha256 hash{};
  SHA256_Final(hash.data(), &context_->state);
  context_->begin();
  return hash;
}

Sha256 sha256(std::string_view bytes) {
  Sha256 hash{};
  sha256_ctx state;
  sha256_init(&state);
  sha256_update(&state, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
  sha256_digest(&state, hash.size(), hash.data());
  return hash;
}

Result<Sha256> sha256_of_fd(int fd) {
  Sha256Hasher hasher;
  std::vector<char> chunk(1U << 18U);
  for (;;) {
    ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read", "fd " + std::to_string(fd));
    if (n == 0) return hasher.finish();
    hasher.update({chunk.data(), static_cast<std::size_t>(n)});
  }
}

Result<Sha256> sha256_of_file(const std::filesystem::path& path) {
  GYGES_TRY(UniqueFd fd, open_regular_file(path));
  auto hash = sha256_of_fd(fd.get());
  if (!hash) hash.error().object = path.string();
  return hash;
}

Sha1 sha1(std::string_view bytes) {
  Sha1 hash{};
  sha1_ctx state;
  sha1_init(&state);
  sha1_update(&state, bytes.size(), reinterpret_cast<const std::uint8_t*>(bytes.data()));
  sha1_digest(&state, hash.size(), hash.data());
  return hash;
}

std::string to_hex(const Sha256& hash) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  hex.reserve(64);
  for (std::uint8_t byte : hash) {
    hex += digits[byte >> 4U];
    hex += digits[byte & 15U];
  }
  return hex;
}

}  // namespace gyges

#pragma GCC diagnostic pop
