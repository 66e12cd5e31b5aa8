// The smallest policy that would have admitted some recorded runs, below the policy that they ran
// under, with what was left out and why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/learn/observation.h"

namespace gyges::learn {

struct LeftOut {
  std::string what;  // "system call", "grant", "path", "address family", ...
  std::string name;
  std::string why;
  std::string cure;  // how to state it all the same; may be empty
};

// From what was seen to what is proposed, with the head-room between.
struct LimitChoice {
  std::string limit;
  std::uint64_t seen = 0;
  std::uint64_t proposed = 0;
  std::string rule;  // "2 x, at least 64"
};

struct Proposal {
  isolation::Policy policy;
  std::vector<LeftOut> left_out;
  std::vector<LimitChoice> limits;
  std::vector<std::string> notes;  // what the records do not show, and what follows from it
};

struct ProposalOptions {
  std::string name = "learned";
  std::vector<std::string> grants;  // dangerous permissions that the caller states
};

// `base` is the policy of the runs: nothing outside it is proposed. Looks at this host's files
// below base's read-only mounts (links, interpreters), because a mount needs them; paths that this
// host does not have are left out and listed.
Result<Proposal> propose_policy(const std::vector<Observation>& runs, const isolation::Policy& base,
                                const ProposalOptions& options);

}  // namespace gyges::learn
