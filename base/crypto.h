// How OpenSSL is started in our processes.
#pragma once

#include "base/error.h"

namespace gyges {

// Whether the library can be had, where it is loaded on demand (crypto_on_demand.cpp); once it is,
// nothing below can miss it. Takes 0.7 ms the first time. From any thread.
Status load_crypto();

// To be called before the first use of OpenSSL; any number of times, from any thread.
//
// The host's openssl.cnf is not read, which could put an engine or provider of somebody's choice
// under our hashes and signatures, and nothing is taken down at the end of the process, of whose
// few milliseconds it would be a part (OPENSSL_init_crypto(3)). The tables of digests and ciphers
// by name stay allowed: OpenSSL fills them when it first needs one, and without them it verifies no
// certificate.
void start_crypto();

// Does now what the first Ed25519 signature of the process would do: OpenSSL looks for providers
// and fills tables by name, a millisecond. From any thread.
void warm_crypto();

}  // namespace gyges
