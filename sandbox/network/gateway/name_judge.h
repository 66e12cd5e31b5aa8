// Whether a connection is meant for the name that a rule relays: what the client says first, the
// SNI of TLS or the Host of HTTP, must be a name that the rule names and whose look-up gave the
// very address. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sandbox/network/network_policy.h"

namespace gyges::network {

inline constexpr std::size_t most_judged_bytes = 32768;

struct NameJudgement {
  enum class State { wait, pass, refuse };
  State state = State::wait;
  std::string reason;  // of a refusal
  std::string sni;     // of TLS, canonical
  std::string alpn;    // the first one offered
  std::string tls;     // the highest version offered
};

// `first` is everything that the client has sent; `names` what the sandbox was told that its
// destination is, canonical.
NameJudgement judge_name(const NetworkRule& rule, const std::vector<std::string>& names,
                         std::string_view first);

}  // namespace gyges::network
