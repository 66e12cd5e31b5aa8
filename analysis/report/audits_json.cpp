#include "analysis/report/audits_json.h"

#include <set>

#include "analysis/episode/shown_text.h"
#include "base/json.h"
#include "base/json_document.h"

namespace gyges::analysis {
namespace {

constexpr std::size_t longest_text = 400;

// Channels are paths of the world, which scenarios choose, and their number is theirs, too.
nlohmann::json shown_value(const nlohmann::json& value) {
  if (value.is_string()) return shown_line(value.get_ref<const std::string&>(), longest_text);
  if (!value.is_structured()) return value;
  nlohmann::json shown = value;
  for (nlohmann::json& part : shown) part = shown_value(part);
  return shown;
}

}  // namespace

nlohmann::json audits_json(const Comparison& comparison) {
  std::set<std::string> directories;
  for (const Run& run : comparison.runs) directories.insert(run.experiment);
  nlohmann::json audits = nlohmann::json::array();
  for (const std::string& directory : directories) {
    const std::filesystem::path file = std::filesystem::path(directory) / "audit.json";
    std::error_code ignored;
    if (directory.empty() || !std::filesystem::exists(file, ignored)) continue;
    nlohmann::json audit{{"directory", shown_line(directory, longest_text)},
                         {"made_at", nullptr},
                         {"undeclared_allowed", nullptr},
                         {"scenarios", nlohmann::json::array()},
                         {"problem", ""}};
    if (auto document = load_json(file, "audit"); document) {
      for (const char* member : {"made_at", "undeclared_allowed", "scenarios"})
        audit[member] = shown_value(document->at(member));
    } else {
      audit["problem"] = shown_line(document.error().line(), longest_text);
    }
    audits.push_back(std::move(audit));
  }
  return audits;
}

}  // namespace gyges::analysis
