#include "sandbox/isolation/filter_evaluator.h"

#include <linux/audit.h>

#include "base/seccomp_program.h"

namespace gyges::isolation {

Result<std::uint32_t> evaluate_program(std::string_view program, const seccomp_data& call) {
  GYGES_TRY(const ProgramVerdict verdict, run_seccomp_program(program, call));
  return verdict.action;
}

Result<std::uint32_t> evaluate_filter(const SeccompFilter& filter, const seccomp_data& call) {
  ProgramVerdict verdict;
  for (auto program = filter.programs.rbegin(); program != filter.programs.rend(); ++program) {
    GYGES_TRY(const ProgramVerdict one, run_seccomp_program(*program, call));
    verdict = stricter(verdict, one);
  }
  return verdict.action;
}

seccomp_data x86_64_call(int number, const std::vector<std::uint64_t>& arguments) {
  seccomp_data call{};
  call.nr = number;
  call.arch = AUDIT_ARCH_X86_64;
  for (std::size_t i = 0; i < arguments.size() && i < 6; ++i) call.args[i] = arguments[i];
  return call;
}

}  // namespace gyges::isolation
