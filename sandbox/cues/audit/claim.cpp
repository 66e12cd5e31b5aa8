#include "sandbox/cues/audit/claim.h"

namespace gyges::cues {
namespace {

struct Row {
  std::string_view name;
  Claim claim;
};

constexpr Row names[] = {{"nothing", Claim::nothing},
                         {"container", Claim::container},
                         {"vm", Claim::virtual_machine},
                         {"physical", Claim::physical}};

}  // namespace

std::string_view claim_name(Claim claim) {
  for (const Row& row : names)
    if (row.claim == claim) return row.name;
  return "";
}

std::optional<Claim> claim_from_name(std::string_view name) {
  for (const Row& row : names)
    if (row.name == name) return row.claim;
  return std::nullopt;
}

Claim claim_from_detectors(std::string_view vm, std::string_view container) {
  if (container != "none") return Claim::container;
  return vm != "none" ? Claim::virtual_machine : Claim::physical;
}

}  // namespace gyges::cues
