#include "analysis/features/call_traits.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "analysis/features/probing.h"
#include "base/text.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::analysis {
namespace {

using recorder::Abi;

struct NamedTrait {
  bool CallTraits::*trait;
  std::vector<std::string_view> names;
};

const std::vector<NamedTrait>& named_traits() {
  static const std::vector<NamedTrait> rows = {
      {&CallTraits::opens, {"open", "openat", "openat2", "creat"}},
      {&CallTraits::executes, {"execve", "execveat"}},
      {&CallTraits::removes, {"unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2"}},
      {&CallTraits::truncates, {"truncate", "ftruncate"}},
      {&CallTraits::writes_bytes,
       {"write", "writev", "pwrite64", "pwritev", "pwritev2", "splice", "copy_file_range",
        "sendfile", "vmsplice", "sendfile64"}},
      {&CallTraits::looks,
       {"getdents64", "getdents", "readlink", "readlinkat", "access", "faccessat", "faccessat2",
        "stat", "lstat", "statx", "statfs", "newfstatat", "fstatat64", "connect"}},
      {&CallTraits::sends, {"connect", "sendto", "sendmsg"}},
  };
  return rows;
}

CallTraits worked_out(std::string_view name) {
  CallTraits traits;
  traits.name = name;
  for (const NamedTrait& row : named_traits())
    traits.*row.trait = std::find(row.names.begin(), row.names.end(), name) != row.names.end();
  for (const CueMatcher& matcher : cue_matchers())
    for (const std::string& call : split(matcher.calls, ' ')) traits.asks |= call == name;
  traits.matters =
      traits.asks || std::any_of(named_traits().begin(), named_traits().end(),
                                 [&](const NamedTrait& row) { return traits.*row.trait; });
  return traits;
}

std::vector<CallTraits> of_abi(Abi abi) {
  std::vector<CallTraits> all;
  std::size_t place = 1;
  if (abi == Abi::i386) place += recorder::syscalls(Abi::x86_64).size();
  for (const recorder::SyscallSpec& spec : recorder::syscalls(abi)) {
    all.push_back(worked_out(spec.name));
    all.back().place = static_cast<std::uint16_t>(std::min(place++, call_places - 1));
  }
  return all;
}

// In the order of recorder::syscalls().
const std::vector<CallTraits>& table_of_traits(Abi abi) {
  static const std::array<std::vector<CallTraits>, 2> tables = {of_abi(Abi::x86_64),
                                                                of_abi(Abi::i386)};
  return tables[abi == Abi::i386 ? 1 : 0];
}

}  // namespace

const CallTraits& traits_of_call(std::string_view name) {
  static const CallTraits none;
  for (Abi abi : {Abi::x86_64, Abi::i386}) {
    const recorder::SyscallSpec* spec = recorder::find_syscall(abi, name);
    if (spec != nullptr) return traits_of_call(abi, spec->number);
  }
  return none;
}

const CallTraits& traits_of_call(Abi abi, std::uint32_t number) {
  static const CallTraits none;
  const recorder::SyscallSpec* spec = recorder::find_syscall(abi, number);
  if (spec == nullptr) return none;
  // x32 shares the table of x86-64.
  Abi table = abi == Abi::i386 ? Abi::i386 : Abi::x86_64;
  return table_of_traits(table)[static_cast<std::size_t>(spec - recorder::syscalls(table).data())];
}

}  // namespace gyges::analysis
