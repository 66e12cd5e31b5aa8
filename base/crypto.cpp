#include "base/crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <memory>

namespace gyges {

// Of programs that link the library.
[[gnu::weak]] Status load_crypto() {
  return ok();
}

void start_crypto() {
  static const int started =
      OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
  static_cast<void>(started);
}

void warm_crypto() {
  start_crypto();
  const std::array<unsigned char, 32> nobodys_key{1};
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, nobodys_key.data(),
                                   nobodys_key.size()),
      &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  if (key && context)
    static_cast<void>(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()));
}

}  // namespace gyges
