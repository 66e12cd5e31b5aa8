// Turns the syscall table into capture plans: for each argument of a call, what to copy at entry
// and at exit. Both backends follow the same plans, so that they record the same.
#pragma once

#include <array>

#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

wire::plan plan_for(Abi abi, const SyscallSpec& spec);

using CapturePlans = std::array<wire::plan, 2 * wire::plan_numbers>;  // x86-64, then i386

// Built at first use; lives for ever.
const CapturePlans& capture_plans();

// What arguments are where another one decides (`choice` lines of the table), as the kernel side
// finds it. Built at first use; lives for ever.
struct CaptureCases {
  std::uint64_t multiplier = 0;
  std::array<wire::plan_case, std::size_t{wire::bucket_cases} << wire::case_buckets_log2> cases{};
  std::array<std::uint32_t, wire::plan_choices> masks{};

  // nullptr where the value says nothing; `choice` as in wire::plan.
  [[nodiscard]] const wire::plan_argument* find(std::uint32_t choice, std::uint64_t value) const;
};
const CaptureCases& capture_cases();

// nullptr for numbers that have no plan: nothing but the raw arguments is recorded.
const wire::plan* capture_plan(Abi abi, std::uint32_t number);

}  // namespace gyges::recorder
