// The certificate authority of a cluster that a container believes to be in, as kubeadm and clouds
// make them: RSA of 2048 bits, signed by itself. A run's own, by its seed.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"

namespace gyges::cues {

// In PEM. `day`: the start of the world's day, before which it was made by some months; both in
// seconds since 1970. The same arguments give the same bytes. Takes a millisecond.
Result<std::string> make_cluster_authority(std::uint64_t seed, std::int64_t day,
                                           const std::string& name);

}  // namespace gyges::cues
