// A policy of a stranger: refused with a reason, or taken and written out as one that is taken.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/isolation/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges;
  std::string text(reinterpret_cast<const char*>(data), size);
  auto json = parse_json(text, "fuzz");
  if (!json) return 0;
  auto policy = isolation::policy_from_json(*json, "fuzz");
  if (!policy) {
    if (policy.error().reason.empty()) std::abort();
    return 0;
  }
  nlohmann::json written = isolation::policy_to_json(*policy);
  auto again = isolation::policy_from_json(written, "again");
  if (!again || isolation::policy_to_json(*again) != written) std::abort();
  return 0;
}
