#include "analysis/features/act.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

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
  if (!act.does.opens) return;
  std::uint64_t flags = open_flags(act);
  act.truncates = (flags & O_TRUNC) != 0;
  bool for_writing = (flags & O_ACCMODE) != O_RDONLY;
  act.overwrites = act.truncates || (for_writing && (flags & O_APPEND) == 0);
}

}  // namespace

bool Act::is_quiet() const {
  if (!is_syscall() || does.matters || event->verdict != recorder::Verdict::allowed) return false;
  if (paths.empty()) return true;
  const std::int64_t result = event->result;
  return result != -EACCES && result != -EPERM && result != -EROFS && !changes_any();
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
  // Runs of one experiment name the same files again and again. Taken out for the while, because a
  // visitor may read another trace.
  constexpr std::size_t most_kept_bytes = 32U << 20U;
  thread_local std::shared_ptr<recorder::PathNames> kept;
  std::shared_ptr<recorder::PathNames> names = std::exchange(kept, nullptr);
  if (names == nullptr || names->bytes() > most_kept_bytes)
    names = std::make_shared<recorder::PathNames>();
  recorder::PathResolver resolver(names);
  Act act;  // one for all, so that its lists keep their room
  act.names = &resolver;
  Status read = recorder::TraceReader::read_through(trace, [&](const Event& event) {
    if (facts.start_ns == 0) facts.start_ns = event.time_ns;
    facts.end_ns = std::max(facts.end_ns, event.time_ns + event.duration_ns);
    act.event = &event;
    act.call = recorder::tool_call_of(event);
    act.paths.clear();
    // Every event, because forks and execs move working directories and descriptors.
    const std::span<const recorder::NamedPath> resolved = resolver.names_of(event);
    act.path_ids = names->generation();
    if (event.kind == recorder::EventKind::syscall) {
      act.does = traits_of_call(event.abi, event.number);
      act.succeeded = event.verdict == recorder::Verdict::allowed && event.result >= 0;
      for (const recorder::NamedPath& path : resolved)
        act.paths.push_back({names->text(path.name), path.mutation, path.name});
      add_kind_of_change(act);
    } else {
      act.does = {};
      act.succeeded = act.truncates = act.overwrites = false;
    }
    if (act.is_exec()) {
      act.argv = strings_of(event, CaptureKind::argv);
    } else if (!act.argv.empty()) {
      act.argv.clear();
    }
    visit(act);
    return true;
  });
  if (!read) facts.problem = read.error().line();
  kept = std::move(names);
  return facts;
}

}  // namespace gyges::analysis
