#include "base/hash.h"

#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/crypto.h"
#include "base/fd.h"
#include "base/regular_file.h"

namespace gyges {

namespace {

// Looked up once: EVP_sha256() is looked up anew at every start of a hash.
const EVP_MD* algorithm() {
  static const EVP_MD* const found = [] {
    start_crypto();
    return EVP_MD_fetch(nullptr, "SHA256", nullptr);
  }();
  return found;
}

}  // namespace

struct Sha256Hasher::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
  void begin() { EVP_DigestInit_ex(evp, algorithm(), nullptr); }
};

Sha256Hasher::Sha256Hasher() : context_(std::make_unique<Context>()) {
  context_->begin();
}
Sha256Hasher::~Sha256Hasher() = default;
Sha256Hasher::Sha256Hasher(Sha256Hasher&&) noexcept = default;
Sha256Hasher& Sha256Hasher::operator=(Sha256Hasher&&) noexcept = default;

void Sha256Hasher::update(std::string_view bytes) {
  EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size());
}

Sha256 Sha256Hasher::finish() {
  Sha256 hash{};
  EVP_DigestFinal_ex(context_->evp, hash.data(), nullptr);
  context_->begin();
  return hash;
}

Sha256 sha256(std::string_view bytes) {
  Sha256Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
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
