#include "base/crypto.h"

#include <openssl/crypto.h>

namespace gyges {

void start_crypto() {
  static const int started =
      OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ADD_ALL_CIPHERS |
                              OPENSSL_INIT_NO_ADD_ALL_DIGESTS | OPENSSL_INIT_NO_ATEXIT,
                          nullptr);
  static_cast<void>(started);
}

}  // namespace gyges
