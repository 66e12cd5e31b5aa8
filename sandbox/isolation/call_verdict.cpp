#include "sandbox/isolation/call_verdict.h"

#include <algorithm>

#include "base/text.h"
#include "sandbox/isolation/filter_evaluator.h"
#include "sandbox/isolation/seccomp_profile.h"
#include "sandbox/isolation/syscall_rule.h"

namespace gyges::isolation {
namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::string_view name_part(std::string_view call) {
  return trimmed(call.substr(0, call.find('(')));
}

std::string words_of(std::uint32_t value) {
  using Kind = SeccompAction::Kind;
  SeccompAction action;
  switch (value & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
      action.kind = Kind::allow;
      break;
    case SECCOMP_RET_LOG:
      action.kind = Kind::log;
      break;
    case SECCOMP_RET_ERRNO:
      action = {Kind::refuse, static_cast<int>(value & SECCOMP_RET_DATA)};
      break;
    case SECCOMP_RET_TRAP:
      action.kind = Kind::trap;
      break;
    case SECCOMP_RET_KILL_THREAD:
      action.kind = Kind::kill_thread;
      break;
    default:
      action.kind = Kind::kill_process;
  }
  return action.words();
}

}  // namespace

bool is_call(std::string_view text) {
  return syscall_number(name_part(text)).has_value();
}

Result<CallVerdict> verdict_of_call(const SeccompFilter& filter, std::string_view call) {
  CallVerdict result;
  result.text = std::string(call);
  std::string name(name_part(call));
  GYGES_TRY(int number, syscall_number(name));
  auto found = std::find_if(filter.verdicts.begin(), filter.verdicts.end(),
                            [&](const SyscallVerdict& row) { return row.number == number; });
  if (number < 0 || found == filter.verdicts.end()) {
    result.rule.name = name;
    result.rule.number = number;
    result.verdict = result.rule.verdict = "ENOSYS";
    result.rule.why = "it does not exist on x86-64";
    return result;
  }
  result.rule = *found;
  result.verdict = found->verdict;
  auto open = call.find('(');
  if (open == std::string_view::npos) return result;
  std::string_view list = trimmed(call.substr(open + 1));
  if (!list.ends_with(')'))
    return fail("read call", quoted(call), "has no closing parenthesis",
                "write for example 'socket(AF_NETLINK, 3, 0)', in quotes for the shell");
  list.remove_suffix(1);
  if (trimmed(list).empty()) return result;
  for (const std::string& word : split(std::string(list), ',')) {
    if (result.arguments.size() == 6)
      return fail("read call", quoted(call), "has more than six arguments", "remove some");
    GYGES_TRY(std::uint64_t value,
              argument_value(trimmed(word), name, static_cast<unsigned>(result.arguments.size())));
    result.arguments.push_back(value);
  }
  GYGES_TRY(std::uint32_t value, evaluate_filter(filter, x86_64_call(number, result.arguments)));
  result.verdict = words_of(value);
  return result;
}

}  // namespace gyges::isolation
