// The certificate authority of a persona's world, and the certificates it issues. Keys and
// signatures depend on the seed alone: the authority's certificate stands in the trust store, where
// two conditions with the same seed must not differ.
//
// ECDSA on P-256 with a nonce derived from key and digest, in the manner of RFC 6979: OpenSSL 3.0
// has no deterministic signature of its own. Such a key protects nothing but the illusion of a
// simulated host, and its certificate is trusted in sandboxes only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sandbox/network/world/world_data.h"

namespace gyges::network {

// `created_at` in seconds of the epoch: the authority is some three years older and lives ten.
Result<CertificateKey> make_authority(std::uint64_t seed, std::int64_t created_at,
                                      const std::string& organisation, const std::string& name);

// A certificate for a host (a name or an address), valid 90 days, some weeks old at `created_at`.
Result<CertificateKey> issue_certificate(const CertificateKey& authority, std::uint64_t seed,
                                         std::int64_t created_at, std::string_view host);

// The name under which OpenSSL looks for it in a directory: eight hexadecimal digits.
Result<std::string> subject_hash(std::string_view certificate_pem);

}  // namespace gyges::network
