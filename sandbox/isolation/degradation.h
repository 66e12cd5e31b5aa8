// What a caller may accept when this host cannot enforce all of a policy. Each is named one by one
// (`--allow-degraded=memory_cgroup`); what is not named is an error at start, and what came to pass
// stands in the record.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::isolation {

enum class Degradation {
  memory_cgroup,   // limits.memory_of is sandbox: the limit counts each process instead
  process_cgroup,  // limits.processes_of is sandbox: all processes of the user on the host count
  time_namespace,  // cues.uptime_seconds: the uptime stays the host's
  landlock,        // the policy's Landlock rules: those that the kernel cannot hold are missing
  packet_rules,    // network.capture is all: TCP connections are let in on listed ports alone
};

std::string_view degradation_name(Degradation degradation);
std::vector<std::string> degradation_names();

bool accepted_degradation(Degradation degradation, const std::vector<std::string>& accepted);

// Notes the degradation where it is accepted; otherwise the error that says what this host lacks,
// and the cures.
Status accept_or_fail(Degradation degradation, const std::vector<std::string>& accepted,
                      std::vector<std::string>& degraded);

// What an accepted degradation means, for the record.
std::string degradation_words(std::string_view name);

// An error for a name that is none.
Status check_degradations(const std::vector<std::string>& accepted);

}  // namespace gyges::isolation
