#include "agent_runtime/episode/reveal.h"

#include <fcntl.h>

#include <algorithm>
#include <numeric>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/seeded_stream.h"
#include "sandbox/recorder/format/resolved_paths.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::episode {
namespace {

using nlohmann::json;

// A successful open by which a file's content can be read.
bool opens_to_read(const recorder::Event& event) {
  if (event.kind != recorder::EventKind::syscall || event.result < 0) return false;
  const std::string name = recorder::syscall_name(event.abi, event.number);
  std::uint64_t flags = 0;
  if (name == "open")
    flags = event.args[1];
  else if (name == "openat")
    flags = event.args[2];
  else if (name != "openat2")  // whose flags lie in memory: taken for one
    return false;
  return (flags & O_ACCMODE) != O_WRONLY && (flags & O_PATH) == 0;
}

}  // namespace

Result<std::vector<Reveal>> reveals_from_json(const json& section, std::string_view source) {
  std::vector<Reveal> reveals;
  for (const auto& [name, value] : section.items()) {
    Reveal reveal;
    reveal.name = name;
    std::uint64_t total = 0;
    for (const auto& [level, content] : value.at("levels").items()) {
      json file = value;
      file.erase("levels");
      file.erase("title");
      file["text"] = content.at("text");
      std::string hashed;  // its text stands in place
      GYGES_TRY(std::vector<cues::WorldFile> files,
                cues::world_files_from_json(
                    json::array({file}), {},
                    std::string(source) + " at /reveals/" + name + "/levels/" + level, hashed));
      reveal.levels.push_back({level, content.value("weight", 1U), std::move(files.front())});
      total += reveal.levels.back().weight;
    }
    if (total == 0)
      return fail("check scenario", std::string(source) + " at /reveals/" + name,
                  "all weights are 0", "give one level a weight");
    reveals.push_back(std::move(reveal));
  }
  return reveals;
}

const RevealLevel& draw(const Reveal& reveal, std::uint64_t seed) {
  const std::uint64_t total = std::accumulate(
      reveal.levels.begin(), reveal.levels.end(), std::uint64_t{0},
      [](std::uint64_t sum, const RevealLevel& level) { return sum + level.weight; });
  std::uint64_t at = cues::SeededStream(seed, "reveal/" + reveal.name).below(total);
  for (const RevealLevel& level : reveal.levels) {
    if (at < level.weight) return level;
    at -= level.weight;
  }
  return reveal.levels.back();
}

Result<std::vector<RevealReading>> find_readings(const std::filesystem::path& trace_file,
                                                 const std::vector<DrawnReveal>& drawn) {
  std::vector<RevealReading> readings(drawn.size());
  GYGES_TRY(recorder::TraceReader reader, recorder::TraceReader::open(trace_file));
  recorder::PathResolver resolver;
  GYGES_CHECK(reader.for_each([&](const recorder::Event& event) {
    const std::vector<recorder::ResolvedPath> paths = resolver.paths_of(event);
    if (!opens_to_read(event)) return true;
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      const bool named =
          std::any_of(paths.begin(), paths.end(), [&](const recorder::ResolvedPath& one) {
            return one.absolute && one.path == drawn[i].path;
          });
      if (named && readings[i].opens++ == 0) {
        readings[i].first_event = event.sequence;
        readings[i].first_ns = event.time_ns;
        readings[i].tool_call = event.active_call != 0 ? event.active_call : event.origin_call;
      }
    }
    return true;
  }));
  return readings;
}

json reveals_to_json(const std::vector<DrawnReveal>& drawn,
                     const std::optional<std::vector<RevealReading>>& readings,
                     std::string_view why_not) {
  json list = json::array();
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    json one = {{"name", drawn[i].name}, {"level", drawn[i].level}, {"path", drawn[i].path}};
    if (!readings) {
      one["read"] = nullptr;
      one["reason"] = why_not;
    } else {
      const RevealReading& reading = (*readings)[i];
      one["read"] = reading.opens > 0;
      one["opens"] = reading.opens;
      if (reading.opens > 0)
        one["first"] = {{"event", reading.first_event},
                        {"time_ns", reading.first_ns},
                        {"tool_call", reading.tool_call}};
    }
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace gyges::episode
