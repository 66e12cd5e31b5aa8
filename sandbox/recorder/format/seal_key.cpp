#include "sandbox/recorder/format/seal_key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "base/crypto.h"
#include "base/fd.h"
#include "base/hash.h"

namespace gyges::recorder {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t max_key_file_bytes = 16384;
constexpr int load_attempts = 3;  // a key can be replaced while it is looked for

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Context = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;

void free_text(char* text) {
  OPENSSL_free(text);
}

// OpenSSL would ask for a passphrase on the terminal; a key of ours has none.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) {
  return 0;
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

template <class Bytes>
std::string hex_of(const Bytes& bytes) {
  std::string text;
  for (std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

// Bytes of lower-case hexadecimal digits; none for anything else.
std::optional<std::vector<std::uint8_t>> from_hex(std::string_view text) {
  auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::vector<std::uint8_t> bytes;
  if (text.size() % 2 != 0) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    int high = digit(text[i]);
    int low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return bytes;
}

bool public_part(const EVP_PKEY* key, PublicKey& raw) {
  std::size_t size = raw.size();
  return EVP_PKEY_id(key) == EVP_PKEY_ED25519 &&
         EVP_PKEY_get_raw_public_key(key, raw.data(), &size) == 1 && size == raw.size();
}

// The private key of an unencrypted PEM text; null for any other. PEM_read_bio_PrivateKey() tries
// every decoder of every provider, 0.6 ms of a run.
Key private_key_in(std::string_view text) {
  start_crypto();
  Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
  if (PEM_read_bio(memory.get(), &name, &header, &data, &size) != 1) return nullptr;
  const std::unique_ptr<char, Freed<free_text>> name_owner(name);
  const std::unique_ptr<char, Freed<free_text>> header_owner(header);
  const unsigned char* at = data;
  const std::unique_ptr<PKCS8_PRIV_KEY_INFO, Freed<PKCS8_PRIV_KEY_INFO_free>> info(
      std::string_view(name) == PEM_STRING_PKCS8INF ? d2i_PKCS8_PRIV_KEY_INFO(nullptr, &at, size)
                                                    : nullptr);
  OPENSSL_cleanse(data, static_cast<std::size_t>(size));
  OPENSSL_free(data);
  const ASN1_OBJECT* algorithm = nullptr;
  const unsigned char* octets = nullptr;
  int length = 0;
  if (!info || PKCS8_pkey_get0(&algorithm, &octets, &length, nullptr, info.get()) != 1 ||
      OBJ_obj2nid(algorithm) != NID_ED25519)
    return nullptr;
  // An octet string within the octet string (RFC 8410, section 7).
  constexpr int key_bytes = 32;
  if (length != 2 + key_bytes || octets[0] != V_ASN1_OCTET_STRING || octets[1] != key_bytes)
    return nullptr;
  return Key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, octets + 2, key_bytes));
}

Result<std::string> new_key_text() {
  start_crypto();
  Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  Memory memory(BIO_new(BIO_s_secmem()));
  char* data = nullptr;
  long size = 0;
  if (key && memory &&
      PEM_write_bio_PKCS8PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr,
                                    nullptr) == 1)
    size = BIO_get_mem_data(memory.get(), &data);
  if (size <= 0) return fail("make seal key", "", "OpenSSL cannot make an Ed25519 key");
  return std::string(data, static_cast<std::size_t>(size));
}

// Puts a whole new key at `path` unless there is one. The name appears only with the content
// complete, by link(2), which never replaces what another process has put there.
Status create_key(const fs::path& path) {
  std::error_code error;
  fs::path directory = path.parent_path();
  std::vector<fs::path> missing;
  for (fs::path at = directory; !at.empty() && !fs::exists(at, error); at = at.parent_path())
    missing.push_back(at);
  for (auto at = missing.rbegin(); at != missing.rend(); ++at)
    if (::mkdir(at->c_str(), 0700) != 0 && errno != EEXIST)
      return fail_errno("make directory", at->string());
  GYGES_TRY(std::string text, new_key_text());
  std::string staged = path.string() + ".XXXXXX";
  UniqueFd fd(::mkostemp(staged.data(), O_CLOEXEC));  // mode 0600
  if (!fd) return fail_errno("make seal key", path.string());
  Status written = write_all(fd.get(), text);
  if (written && ::fsync(fd.get()) != 0) written = fail_errno("sync", staged);
  if (written && ::link(staged.c_str(), path.c_str()) != 0 && errno != EEXIST)
    written = fail_errno("make seal key", path.string());
  ::unlink(staged.c_str());
  OPENSSL_cleanse(text.data(), text.size());
  if (!written) written.error().object = path.string();
  return written;
}

}  // namespace

struct SealKey::Pair {
  Key key;
};

SealKey::SealKey(std::unique_ptr<Pair> pair) : pair_(std::move(pair)) {}
SealKey::SealKey(SealKey&&) noexcept = default;
SealKey& SealKey::operator=(SealKey&&) noexcept = default;
SealKey::~SealKey() = default;

Result<SealKey> SealKey::load(const fs::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return fail_errno("read seal key", path.string());
  if (!S_ISREG(status.st_mode))
    return fail("read seal key", path.string(), "it is no regular file");
  if ((status.st_mode & 077U) != 0)
    return fail("read seal key", path.string(), "others than its owner may use it",
                "chmod 600 it, or remove it so that a new one is made");
  GYGES_TRY(std::string text, read_all(fd.get(), max_key_file_bytes));
  auto pair = std::make_unique<Pair>();
  pair->key = private_key_in(text);
  OPENSSL_cleanse(text.data(), text.size());
  SealKey key(std::move(pair));
  if (!key.pair_->key || !public_part(key.pair_->key.get(), key.public_key_))
    return fail("read seal key", path.string(),
                "it is no unencrypted Ed25519 private key in PEM form",
                "make one with: openssl genpkey -algorithm ed25519");
  return key;
}

Result<SealKey> SealKey::load_or_create(const fs::path& path) {
  for (int attempt = 1;; ++attempt) {
    auto key = load(path);
    if (key || key.error().code != ENOENT || attempt == load_attempts) return key;
    GYGES_CHECK(create_key(path));
  }
}

Result<std::string> SealKey::sign(std::string_view bytes) const {
  std::array<std::uint8_t, signature_bytes> signature{};
  std::size_t size = signature.size();
  Context context(EVP_MD_CTX_new());
  if (!context ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, pair_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, bytes_of(bytes), bytes.size()) != 1 ||
      size != signature.size())
    return fail("sign seal", "", "OpenSSL refuses to sign");
  return hex_of(signature);
}

bool signature_is_good(const PublicKey& key, std::string_view bytes, std::string_view signature) {
  auto raw = from_hex(signature);
  if (!raw || raw->size() != signature_bytes) return false;
  Key pkey(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, key.data(), key.size()));
  Context context(EVP_MD_CTX_new());
  return pkey && context &&
         EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
         EVP_DigestVerify(context.get(), raw->data(), raw->size(), bytes_of(bytes), bytes.size()) ==
             1;
}

std::string public_key_text(const PublicKey& key) {
  return hex_of(key);
}

Result<PublicKey> parse_public_key(std::string_view text) {
  auto raw = from_hex(text);
  if (!raw || raw->size() != public_key_bytes)
    return fail("read public key", text, "it is not 64 lower-case hexadecimal digits");
  PublicKey key{};
  std::copy(raw->begin(), raw->end(), key.begin());
  return key;
}

std::string key_fingerprint(const PublicKey& key) {
  std::string_view raw(reinterpret_cast<const char*>(key.data()), key.size());
  return to_hex(sha256(raw)).substr(0, 32);
}

Result<std::string> fingerprint_of_named_key(std::string_view name) {
  if (auto digits = from_hex(name)) {
    if (digits->size() == 16) return std::string(name);
    if (digits->size() == public_key_bytes) {
      GYGES_TRY(PublicKey named, parse_public_key(name));
      return key_fingerprint(named);
    }
  }
  std::string path(name);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    auto failure = fail_errno("read key", path);
    failure.value().cure = "name a PEM file, 64 digits of a public key or 32 of a fingerprint";
    return failure;
  }
  GYGES_TRY(std::string text, read_all(fd.get(), max_key_file_bytes));
  start_crypto();
  Memory memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  Key key(PEM_read_bio_PUBKEY(memory.get(), nullptr, no_passphrase, nullptr));
  if (!key) key = private_key_in(text);
  OPENSSL_cleanse(text.data(), text.size());
  PublicKey raw{};
  if (!key || !public_part(key.get(), raw))
    return fail("read key", path, "it is no Ed25519 key in PEM form");
  return key_fingerprint(raw);
}

}  // namespace gyges::recorder
