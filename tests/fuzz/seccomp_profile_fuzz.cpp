// A seccomp file of a stranger, of our own form or Docker's: refused with a reason, or read into
// rules that name calls and arguments that exist.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "sandbox/isolation/seccomp_profile.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges::isolation;
  std::string text(reinterpret_cast<const char*>(data), size);
  // The capabilities decide which rules of a Docker file hold.
  for (const std::vector<std::string>& capabilities :
       {std::vector<std::string>{}, std::vector<std::string>{"CAP_SYS_ADMIN", "CAP_NET_RAW"}}) {
    auto profile = read_seccomp_profile(text, "fuzz", capabilities);
    if (!profile) {
      if (profile.error().reason.empty()) std::abort();
      continue;
    }
    for (const SeccompRule& rule : profile->rules) {
      if (!syscall_number(rule.name)) std::abort();
      for (const SeccompCondition& condition : rule.conditions)
        if (condition.argument > 5) std::abort();
      if (rule.action.words().empty()) std::abort();
    }
    for (const auto& [name, refusal] : profile->refused)
      if (refusal.code <= 0 || refusal.code > 4095) std::abort();
  }
  return 0;
}
