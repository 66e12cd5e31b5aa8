#include "base/crypto.h"

#include <openssl/crypto.h>

namespace gyges {

void start_crypto() {
  static const int started =
      OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr);
  static_cast<void>(started);
}

}  // namespace gyges
