// The seccomp programs that a traced thread carries, and what they say of its calls.
//
// A tracer stops a call before seccomp sees it and after its answer is there; from the answer alone
// a refusal cannot be told from a failure. The programs can: they depend on the call's number, ABI
// and arguments only, all of which the tracer has. Programs that a thread loads later are read from
// its memory when it loads them, so a sibling thread that changes the memory meanwhile can falsify
// the verdict in the record, though not the call or its result.
#pragma once

#include <linux/seccomp.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// Immutable as seen from outside: threads share a chain, and loading makes a new one. Not
// thread-safe: a cache inside.
class SeccompChain {
 public:
  // `older` may be null: no programs. `program` is an array of struct sock_filter, as bytes.
  static std::shared_ptr<const SeccompChain> with(const std::shared_ptr<const SeccompChain>& older,
                                                  std::string program);

  // SECCOMP_RET_* with its data, for a call of `abi`.
  [[nodiscard]] std::uint32_t action(Abi abi, const seccomp_data& call) const;

  // The verdict on a call that came back with `result`. A call that a supervisor answered looks
  // the same whether it was executed after all (SECCOMP_USER_NOTIF_FLAG_CONTINUE) or not; it counts
  // as emulated, or, because answers refuse nothing, as allowed if it failed.
  [[nodiscard]] Verdict verdict(Abi abi, const seccomp_data& call, std::int64_t result) const;

 private:
  std::vector<std::shared_ptr<const std::string>> programs_;  // oldest first
  // By ABI and number, what does not depend on arguments; 1 (which no action is) where unknown.
  mutable std::vector<std::uint32_t> known_;
};

// Which program a call loads, if it is one that loads a program or begins strict mode.
struct SeccompLoad {
  std::uint64_t program = 0;  // address of a struct sock_fprog
  bool all_threads = false;   // SECCOMP_FILTER_FLAG_TSYNC
  bool listener = false;      // a positive result is a success too
  bool strict = false;        // no program, but strict mode

  [[nodiscard]] bool succeeded(std::int64_t result) const {
    return result == 0 || (listener && result > 0);
  }
};

// False for any other call. `args` are those of seccomp(2) or prctl(2).
bool loads_seccomp_program(Abi abi, std::uint32_t number, const std::array<std::uint64_t, 6>& args,
                           SeccompLoad& load);

// Whether strict mode leaves a call to the kernel; for all others it kills with SIGKILL.
bool is_allowed_by_strict_mode(Abi abi, std::uint32_t number);

}  // namespace gyges::recorder
