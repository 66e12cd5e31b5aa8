// Events as text in the manner of strace, and as JSON.
//
// Nothing that comes from inside a sandbox reaches the output unescaped: strings pass through
// quoted() or printable(), so that they can neither drive a terminal nor forge a line.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/event.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

// One line without its end:
//   openat(AT_FDCWD, "/etc/motd", O_RDONLY|O_CLOEXEC) = 3</etc/motd>
//   unlink("/etc/motd") = -1 EPERM (Operation not permitted) [refused by filter]
//   --- SIGCHLD {si_code=CLD} ---
// With `names`, descriptors that the trace itself does not name are named from what was seen
// before.
std::string format_event(const Event& event, const PathResolver* names = nullptr);

// "3</etc/motd>": a descriptor with what is known of it. The kernel's name of the object (often
// only its last part) comes from the event's captures for `argument`; where it disagrees with the
// path that was opened, both are shown: "3</bin/sh=>dash>" for a link, or for a path that changed
// between being read by the recorder and by the kernel.
std::string descriptor_text(const Event& event, std::size_t argument, std::int32_t fd,
                            const PathResolver* names);

// One argument of a call as it stands in that line.
std::string argument_text(const Event& event, const SyscallSpec& spec, std::size_t index,
                          const PathResolver* names = nullptr);

std::string_view event_kind_name(EventKind kind);  // "syscall", "process_start", ...
std::string_view abi_name(Abi abi);                // "x86_64", "i386", "x32"
std::string_view verdict_name(Verdict verdict);    // "allowed", "refused", "emulated", "killed"
std::string_view provenance_name(Provenance provenance);  // "enter", "exit_retry", ...

// The tool call an event belongs to: the active one, else the one that started the process tree;
// 0 for none.
inline std::uint32_t tool_call_of(const Event& event) {
  return event.active_call != 0 ? event.active_call : event.origin_call;
}

// seq, time_ns, kind, pid, tid, inside_pid, inside_tid, syscall, number, abi, args, result, errno,
// duration_ns, verdict, tool_call, origin_call, paths, text. `paths` are those of paths_of().
// args: name and value (decimal for numbers, "0x..." for addresses, text where it is one).
nlohmann::json event_to_json(const Event& event, const std::vector<ResolvedPath>& paths,
                             const PathResolver* names = nullptr);

}  // namespace gyges::recorder
