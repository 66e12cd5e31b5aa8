#include "tests/fuzz/event_checks.h"

#include <cstdlib>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/recorder/format/event_text.h"

namespace gyges::recorder::fuzz {

void EventChecks::operator()(const Event& event) {
  std::vector<ResolvedPath> paths = names_.paths_of(event);
  std::string text = format_event(event, &names_);
  if (printable(text) != text) std::abort();
  // Strict: throws, and so ends the run, if a string in it is no UTF-8.
  std::string line = event_to_json(event, paths, &names_).dump();
  if (line.find('\n') != std::string::npos) std::abort();
  statistics_.add(event);
}

void EventChecks::finish() {
  std::uint64_t calls = 0;
  for (const auto& [name, counts] : statistics_.per_syscall()) calls += counts.calls;
  if (calls != statistics_.total().calls) std::abort();
  for (const ProcessCounts& process : statistics_.per_process()) (void)printable(process.program);
}

}  // namespace gyges::recorder::fuzz
