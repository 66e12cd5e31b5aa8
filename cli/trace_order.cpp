#include "cli/trace_order.h"

#include <algorithm>
#include <utility>

namespace gyges::cli {
using namespace recorder;
namespace {

constexpr std::uint64_t window_events = 65536;
// Bounds memory; later ones are printed where they stand.
constexpr std::size_t max_late = 500'000;

struct TimedLine {
  std::uint64_t time_ns = 0;
  std::uint64_t sequence = 0;
  std::string text;
  bool operator<(const TimedLine& other) const {
    return time_ns != other.time_ns ? time_ns < other.time_ns : sequence < other.sequence;
  }
};

// Calls `visit(event, late)`; late: an earlier window holds an event that was entered after it.
Status walk(TraceReader& reader, const BlockQuery& blocks,
            const std::function<bool(const Event&, bool late)>& visit) {
  std::uint64_t latest_before = 0;
  std::uint64_t latest = 0;
  std::uint64_t window = 0;
  return reader.for_each_in(blocks, [&](const Event& event) {
    if (std::exchange(window, event.sequence / window_events) != event.sequence / window_events)
      latest_before = latest;
    latest = std::max(latest, event.time_ns);
    return visit(event, event.time_ns < latest_before);
  });
}

}  // namespace

Status for_each_line_by_entry(TraceReader& reader, const BlockQuery& blocks, const MakeLine& make,
                              const TakeLine& take) {
  std::vector<TimedLine> late_lines;
  std::uint64_t last_late = 0;  // sequence up to which all late events are in late_lines
  if (reader.extent().events > window_events) {
    PathResolver names;
    Status read = walk(reader, blocks, [&](const Event& event, bool late) {
      std::vector<ResolvedPath> paths = names.paths_of(event);
      if (!late) return true;
      std::string text = make(event, paths, names);
      last_late = event.sequence;
      if (!text.empty()) late_lines.push_back({event.time_ns, event.sequence, std::move(text)});
      return late_lines.size() < max_late;
    });
    (void)read;  // the second reading meets the same damage and reports it
    std::sort(late_lines.begin(), late_lines.end());
  }

  std::size_t next_late = 0;
  bool go_on = true;
  std::vector<TimedLine> window;
  auto print_window = [&] {
    std::sort(window.begin(), window.end());
    for (const TimedLine& line : window) {
      while (go_on && next_late < late_lines.size() && late_lines[next_late] < line)
        go_on = take(late_lines[next_late++].text);
      if (go_on) go_on = take(line.text);
    }
    window.clear();
  };
  PathResolver names;
  std::uint64_t last_window = 0;
  Status read = walk(reader, blocks, [&](const Event& event, bool late) {
    std::uint64_t at = event.sequence / window_events;
    if (std::exchange(last_window, at) != at) print_window();
    std::vector<ResolvedPath> paths = names.paths_of(event);
    if (!late || event.sequence > last_late) {
      std::string text = make(event, paths, names);
      if (!text.empty()) window.push_back({event.time_ns, event.sequence, std::move(text)});
    }
    return go_on;
  });
  print_window();
  while (go_on && next_late < late_lines.size()) go_on = take(late_lines[next_late++].text);
  if (!go_on) return ok();
  return read;
}

}  // namespace gyges::cli
