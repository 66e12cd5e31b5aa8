// The mounts that recorded runs needed, below those that they had.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sandbox/isolation/policy.h"
#include "sandbox/learn/host_files.h"
#include "sandbox/learn/observation.h"

namespace gyges::learn {

struct MountChoice {
  HostFiles files;                                // what of the host they read
  std::vector<std::string> writable_host_mounts;  // that became private layers
  std::vector<std::string> unknown;               // used paths that no mount here explains
};

// Puts mounts and workspace into `policy`, which has its grants already. Single files and links
// where they are few; directories whose entries were listed, and those that hold many of the
// files, as a whole.
MountChoice choose_mounts(const std::vector<Observation>& runs, const isolation::Policy& base,
                          isolation::Policy& policy);

// The same set with at most `most` members, by replacing entries with their directories, the one
// that holds most of them first. Only directories that `may_be_whole` are used.
std::vector<std::string> join_entries(std::vector<std::string> entries, std::size_t most,
                                      const std::function<bool(const std::string&)>& may_be_whole);

}  // namespace gyges::learn
