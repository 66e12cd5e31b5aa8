// What a run did on the network, summed up from flows.jsonl.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "analysis/features/evidence.h"
#include "base/error.h"

namespace gyges::analysis {

struct FlowSummary {
  std::uint64_t destinations = 0;  // distinct address, port and transport, refused ones as well
  std::uint64_t names = 0;         // distinct names that were asked for
  std::uint64_t refused = 0;       // attempts that the policy refused
  std::uint64_t sent_bytes = 0;    // by the sandbox, over all connections
  // The first flow of each destination, each name and each refusal.
  EvidenceList destination_evidence;
  EvidenceList name_evidence;
  EvidenceList refused_evidence;
  EvidenceList sent_evidence;  // flows that sent more than nothing
};

// Reads the file once; fails where a line is no flow.
Result<FlowSummary> load_flow_summary(const std::filesystem::path& file);

}  // namespace gyges::analysis
