#include "sandbox/recorder/capture/seccomp_chain.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <iterator>

#include "base/seccomp_program.h"
#include "sandbox/recorder/capture/kernel/record.h"

namespace gyges::recorder {
namespace {

constexpr std::uint32_t unknown = 1;
constexpr std::uint32_t i386_prctl = 172;
constexpr std::uint32_t i386_seccomp = 354;
constexpr std::uint64_t listener_flag = 8;  // SECCOMP_FILTER_FLAG_NEW_LISTENER

}  // namespace

std::shared_ptr<const SeccompChain> SeccompChain::with(
    const std::shared_ptr<const SeccompChain>& older, std::string program) {
  auto chain = std::make_shared<SeccompChain>();
  if (older != nullptr) chain->programs_ = older->programs_;
  chain->programs_.push_back(std::make_shared<const std::string>(std::move(program)));
  return chain;
}

std::uint32_t SeccompChain::action(Abi abi, const seccomp_data& call) const {
  const auto number = static_cast<std::uint32_t>(call.nr);
  const bool kept = abi != Abi::x32 && number < wire::plan_numbers;
  const std::size_t place = (abi == Abi::i386 ? std::size_t{wire::plan_numbers} : 0U) + number;
  if (kept) {
    if (known_.empty()) known_.assign(2 * std::size_t{wire::plan_numbers}, unknown);
    if (known_[place] != unknown) return known_[place];
  }
  ProgramVerdict verdict;
  for (auto program = programs_.rbegin(); program != programs_.rend(); ++program) {
    // A program that cannot be run was changed while it was loaded: nothing is known of it.
    if (const auto one = run_seccomp_program(**program, call)) verdict = stricter(verdict, *one);
  }
  if (kept && verdict.by_number) known_[place] = verdict.action;
  return verdict.action;
}

Verdict SeccompChain::verdict(Abi abi, const seccomp_data& call, std::int64_t result) const {
  const bool failed = result < 0 && result >= -4095;
  switch (action(abi, call) & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG:
      return Verdict::allowed;
    case SECCOMP_RET_USER_NOTIF:
      return failed ? Verdict::allowed : Verdict::emulated;
    default:
      return failed ? Verdict::refused : Verdict::emulated;
  }
}

bool loads_seccomp_program(Abi abi, std::uint32_t number, const std::array<std::uint64_t, 6>& args,
                           SeccompLoad& load) {
  const bool i386 = abi == Abi::i386;
  load = {};
  if (abi == Abi::x32) return false;
  if (number == (i386 ? i386_seccomp : SYS_seccomp)) {
    load.strict = args[0] == SECCOMP_SET_MODE_STRICT;
    if (load.strict) return true;
    if (args[0] != SECCOMP_SET_MODE_FILTER) return false;
    load.all_threads = (args[1] & SECCOMP_FILTER_FLAG_TSYNC) != 0;
    load.listener = (args[1] & listener_flag) != 0;
    load.program = args[2];
    return true;
  }
  if (number != (i386 ? i386_prctl : SYS_prctl)) return false;
  if (args[0] != PR_SET_SECCOMP) return false;
  load.strict = args[1] == SECCOMP_MODE_STRICT;
  if (load.strict) return true;
  if (args[1] != SECCOMP_MODE_FILTER) return false;
  load.program = args[2];
  return true;
}

bool is_allowed_by_strict_mode(Abi abi, std::uint32_t number) {
  // read, write, exit, and the return from a handler.
  static constexpr std::uint32_t of_x86_64[] = {SYS_read, SYS_write, SYS_exit, SYS_rt_sigreturn};
  static constexpr std::uint32_t of_i386[] = {3, 4, 1, 119};
  const auto& allowed = abi == Abi::i386 ? of_i386 : of_x86_64;
  return abi != Abi::x32 &&
         std::find(std::begin(allowed), std::end(allowed), number) != std::end(allowed);
}

}  // namespace gyges::recorder
