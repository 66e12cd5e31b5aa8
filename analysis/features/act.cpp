#include "analysis/features/act.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "base/text.h"
#include "sandbox/recorder/format/event_text.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::analysis {
namespace {

using recorder::Capture;
using recorder::CaptureKind;
using recorder::Event;

std::vector<std::string> strings_of(const Event& event, CaptureKind kind) {
  for (const Capture& capture : event.captures) {
    if (capture.kind != kind) continue;
    std::vector<std::string> strings = split(capture.bytes, '\0');
    if (!strings.empty() && strings.back().empty()) strings.pop_back();
    return strings;
  }
  return {};
}

// Flags of the open family; openat2 takes them as the first 64 bits of struct open_how.
std::uint64_t open_flags(const Act& act) {
  const Event& event = *act.event;
  if (act.name() == "creat") return O_CREAT | O_WRONLY | O_TRUNC;
  if (act.name() == "open") return event.args[1];
  if (act.name() == "openat") return event.args[2];
  std::uint64_t flags = 0;
  for (const Capture& capture : event.captures)
    if (capture.kind == CaptureKind::structure_in && capture.bytes.size() >= sizeof flags)
      std::memcpy(&flags, capture.bytes.data(), sizeof flags);
  return flags;
}

void add_kind_of_change(Act& act) {
  act.truncates = act.does.truncates;
  act.overwrites = false;
  if (!act.is_open()) return;
  std::uint64_t flags = open_flags(act);
  act.truncates = (flags & O_TRUNC) != 0;
  bool for_writing = (flags & O_ACCMODE) != O_RDONLY;
  act.overwrites = act.truncates || (for_writing && (flags & O_APPEND) == 0);
}

}  // namespace

bool Act::changes_any() const {
  return succeeded &&
         std::any_of(paths.begin(), paths.end(), [](const ActPath& path) { return path.changes; });
}

Evidence Act::evidence() const {
  return {"trace",        event->sequence,
          event->time_ns, event->pid,
          call,           recorder::format_event(*event, names)};
}

TraceFacts for_each_act(const std::filesystem::path& trace,
                        const std::function<void(const Act&)>& visit) {
  TraceFacts facts;
  std::error_code error;
  if (!std::filesystem::exists(trace, error)) return facts;
  facts.present = true;
  Result<recorder::TraceReader> reader = recorder::TraceReader::open(trace);
  if (!reader) {
    facts.problem = reader.error().line();
    return facts;
  }
  recorder::PathResolver resolver;
  Act act;  // one for all, so that its lists keep their room
  act.names = &resolver;
  Status read = reader->for_each([&](const Event& event) {
    if (facts.start_ns == 0) facts.start_ns = event.time_ns;
    facts.end_ns = std::max(facts.end_ns, event.time_ns + event.duration_ns);
    act.event = &event;
    act.call = recorder::tool_call_of(event);
    act.paths.clear();
    // Every event, because forks and execs move working directories and descriptors.
    std::vector<recorder::ResolvedPath> resolved = resolver.paths_of(event);
    if (event.kind == recorder::EventKind::syscall) {
      act.does = traits_of_call(event.abi, event.number);
      act.succeeded = event.verdict == recorder::Verdict::allowed && event.result >= 0;
      for (recorder::ResolvedPath& path : resolved)
        act.paths.push_back({std::move(path.path), path.mutation});
      add_kind_of_change(act);
    } else {
      act.does = {};
      act.succeeded = act.truncates = act.overwrites = false;
    }
    if (act.is_exec()) {
      act.argv = strings_of(event, CaptureKind::argv);
      act.envp = strings_of(event, CaptureKind::envp);
    } else {
      act.argv.clear();
      act.envp.clear();
    }
    visit(act);
    return true;
  });
  if (!read) facts.problem = read.error().line();
  return facts;
}

}  // namespace gyges::analysis
