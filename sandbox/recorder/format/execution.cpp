#include "sandbox/recorder/format/execution.h"

#include <algorithm>
#include <string_view>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

bool is_execution(const Event& event) {
  if (event.kind != EventKind::syscall || event.result != 0 || !event.has_exit) return false;
  for (const char* name : {"execve", "execveat"})
    if (const auto* spec = find_syscall(event.abi, name);
        spec != nullptr && spec->number == event.number)
      return true;
  return false;
}

ExecutedProgram execution_of(const Event& event) {
  ExecutedProgram program;
  program.time_ns = event.time_ns;
  for (const Capture& capture : event.captures) {
    if (capture.kind != CaptureKind::argv) continue;
    std::string_view rest = capture.bytes;
    while (!rest.empty() && program.argv.size() < 4096) {
      std::string_view one = rest.substr(0, rest.find('\0'));
      program.argv.emplace_back(one);
      rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    }
    program.truncated = capture.truncated;
  }
  return program;
}

}  // namespace gyges::recorder
