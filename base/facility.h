// One thing this host may or may not offer, for `gyges doctor`.
#pragma once

#include <string>

namespace gyges {

struct Facility {
  std::string name;  // "bpf_programs", "user_namespaces"
  bool available = false;
  std::string reason;  // what was found, or why not
  std::string cure;    // how to get it; empty when available
};

}  // namespace gyges
