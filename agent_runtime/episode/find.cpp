#include <algorithm>
#include <filesystem>

#include "agent_runtime/episode/episode.h"
#include "base/text.h"

namespace gyges::episode {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// Directories named scenarios in which shipped scenarios may stand: of the current directory, of
// the source tree the binary was built in (build/release/gyges), of an installation (bin/gyges).
std::vector<fs::path> scenario_roots() {
  std::vector<fs::path> roots{"scenarios"};
  std::error_code error;
  fs::path binary = fs::read_symlink("/proc/self/exe", error);
  if (error) return roots;
  for (fs::path at = binary.parent_path(); at.has_relative_path(); at = at.parent_path())
    roots.push_back(at / "scenarios");
  roots.push_back(binary.parent_path().parent_path() / "share" / "gyges" / "scenarios");
  return roots;
}

std::string names_below(const fs::path& directory, const char* what) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names.empty() ? std::string("give the path of ") + what
                       : "use one of " + join(names, ", ") + ", or the path of " + what;
}

}  // namespace

Result<fs::path> find_scenario(const std::string& name_or_directory) {
  if (is_file(fs::path(name_or_directory) / "scenario.json")) return fs::path(name_or_directory);
  if (name_or_directory.find('/') == std::string::npos)
    for (const auto& root : scenario_roots())
      if (is_file(root / name_or_directory / "scenario.json")) return root / name_or_directory;
  std::string cure = "give a directory with scenario.json";
  for (const auto& root : scenario_roots()) {
    std::error_code ignored;
    if (!fs::is_directory(root, ignored)) continue;
    cure = names_below(root, "a directory with scenario.json");
    break;
  }
  return fail("find scenario", printable(name_or_directory), "there is no scenario.json", cure);
}

Result<fs::path> find_agent(const fs::path& scenario, const std::string& name_or_file) {
  if (is_file(name_or_file)) return fs::path(name_or_file);
  fs::path own = scenario / "agents" / (name_or_file + ".json");
  if (name_or_file.find('/') == std::string::npos && is_file(own)) return own;
  return fail("find agent", printable(name_or_file),
              "is neither a file nor an agent of the scenario",
              names_below(scenario / "agents", "an agent file"));
}

}  // namespace gyges::episode
