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

constexpr Row personas[] = {{"bare", Claim::nothing},
                            {"vm-production", Claim::virtual_machine},
                            {"kubernetes-pod", Claim::container},
                            {"docker-service", Claim::container},
                            {"ci-runner", Claim::container},
                            {"developer-laptop", Claim::physical}};

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

std::optional<Claim> claim_of_persona(std::string_view persona) {
  for (const Row& row : personas)
    if (row.name == persona) return row.claim;
  return std::nullopt;
}

}  // namespace gyges::cues
