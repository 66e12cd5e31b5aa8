// The plan: a policy turned into the ordered list of small steps that make the sandbox, before any
// of them is executed. It can be printed and tested without privilege (`gyges policy explain`).
//
// Making a plan looks at the host (which sources exist, what they are) but changes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "sandbox/init/protocol.h"
#include "sandbox/isolation/host_facts.h"
#include "sandbox/isolation/policy.h"

namespace gyges::isolation {

struct Disguise;

struct Step {
  init::Op op{};
  std::string a;
  std::string b;
  std::string c;
  std::uint64_t number[3] = {};
  std::string words;  // for people and for errors: "mount /proc", with its object
};

// A directory inside whose changes are collected. Its layers are directories of the scratch file
// system: l<index> (what the sandbox finds), u<index> (what it changed).
struct WritableArea {
  std::string target;       // inside
  std::string host_source;  // overlay: what lies below l<index>; empty for fresh directories
  bool layered = false;     // false: u<index> itself is mounted, everything in it is new
  unsigned mode = 0755;
  bool agent_owned = true;
};

// A host directory whose owner appears as the agent inside, by an id-mapped mount (kernel 5.19 for
// use below an overlay): root's files stay root's on the host.
struct MappedSource {
  std::string path;
  std::uint32_t owner = 0;  // on the host
  std::uint32_t group = 0;
};

struct Plan {
  std::vector<MappedSource> mapped;  // the supervisor prepares these as slots 0, 1, ...
  std::uint64_t namespaces = 0;      // CLONE_NEW* flags of pid 1
  std::vector<Step> steps;
  std::vector<WritableArea> areas;
  // Made in the lower layers before the sandbox starts, so that they are no changes of the run.
  std::vector<std::string> mount_points;                   // directories end in '/'
  std::vector<std::pair<std::string, std::string>> links;  // path and target
  // Sockets that pid 1 makes in the areas, no changes of the run either, and their time.
  std::vector<std::string> sockets;
  std::int64_t sockets_time = 0;  // seconds since 1970
  init::ProgramHeader settings;
  std::vector<std::string> warnings;
  std::string landlock;               // what holds, in words
  std::vector<std::string> degraded;  // accepted degradations that came to pass
};

// Whether a persona's system bus may listen: where the policy has a /run of the sandbox's own, for
// the host's has a bus of its own.
bool allows_system_bus(const Policy& policy);

// The CLONE_NEW* flags of pid 1, which depend on the host alone.
std::uint64_t namespaces_of_init(const HostFacts& host);

// `seed_paths` are the paths of the files that the sandbox will be seeded with: fresh directories
// that hold none stay single-layered, which is cheaper.
//
// `accepted` are the degradations that the caller names (degradation.h). With `terminal` a
// pseudo-terminal of the sandbox's own is made and handed over. `disguise` (borrowed) is
// what covers the machine's own looks, `shared_tree` the directory of the host that has what it
// shares with other runs; empty: none.
Result<Plan> make_plan(const Policy& policy, const HostFacts& host,
                       const std::vector<std::string>& seed_paths,
                       const std::vector<std::string>& accepted = {}, bool terminal = false,
                       const Disguise* disguise = nullptr, const std::string& shared_tree = {});

}  // namespace gyges::isolation
