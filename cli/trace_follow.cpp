#include "cli/trace_follow.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

namespace gyges::cli {
using namespace recorder;
namespace {

// Blocks are finished once a second at the latest; looking oftener costs a stat(2) each.
constexpr auto look_again = std::chrono::milliseconds(100);
constexpr int open_attempts = 20;

// Nothing more will come: the trace has its end, or nobody writes it. The last look comes after the
// recorder was seen to be gone, or what it wrote in between would be missed.
Result<bool> wait_for_more(TraceReader& reader) {
  for (;;) {
    if (reader.coverage()) return false;
    bool growing = reader.may_grow();
    GYGES_TRY(bool more, reader.refresh());
    if (more) return true;
    if (!growing) return false;
    std::fflush(stdout);
    std::this_thread::sleep_for(look_again);
  }
}

struct Line {
  std::uint64_t time_ns = 0;
  std::string text;
};

}  // namespace

Result<TraceReader> open_live_trace(const std::function<Result<TraceReader>()>& open) {
  for (int attempt = 1;; ++attempt) {
    auto reader = open();
    if (!reader && attempt < open_attempts) {
      std::this_thread::sleep_for(look_again);
      continue;
    }
    if (reader && reader->extent().blocks == 0) {
      GYGES_TRY([[maybe_unused]] bool more, wait_for_more(*reader));
    }
    return reader;
  }
}

Status follow_lines(TraceReader& reader, const MakeLine& make, const TakeLine& take) {
  PathResolver names;
  std::vector<Line> lines;
  bool go_on = true;
  for (bool more = true; more;) {
    GYGES_CHECK(reader.for_each_new([&](const Event& event) {
      std::vector<ResolvedPath> paths = names.paths_of(event);
      std::string text = make(event, paths, names);
      if (!text.empty()) lines.push_back({event.time_ns, std::move(text)});
      return true;
    }));
    std::stable_sort(lines.begin(), lines.end(),
                     [](const Line& a, const Line& b) { return a.time_ns < b.time_ns; });
    for (const Line& line : lines)
      if (go_on) go_on = take(line.text);
    lines.clear();
    if (!go_on) return ok();
    GYGES_TRY(more, wait_for_more(reader));
  }
  if (!reader.damage()) return ok();
  return fail("follow trace", "",
              fmt::format("block {} at byte {}: {}; events from {} on are missing",
                          reader.damage()->block, reader.damage()->offset, reader.damage()->reason,
                          reader.damage()->first_missing));
}

}  // namespace gyges::cli
