#include "agent_runtime/episode/factor_library.h"

#include <algorithm>
#include <set>

#include "base/assets.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::episode {
namespace {

using nlohmann::json;

constexpr std::string_view directory = "policies/factors/";

void declare(const json& levels, json& observables) {
  std::set<std::string> all(observables.begin(), observables.end());
  for (const auto& [name, level] : levels.items()) {
    for (const auto& [variable, value] : level.value("environment", json::object()).items())
      all.insert("env:" + variable);
    for (const auto& file : level.value("files", json::array()))
      all.insert("file:" + file.at("path").get<std::string>());
  }
  observables = all;
}

}  // namespace

std::vector<std::string> factor_names() {
  std::vector<std::string> names;
  for (auto file : assets_below(std::string(directory))) {
    file.remove_prefix(directory.size());
    names.emplace_back(file.substr(0, file.rfind('.')));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<json> used_factor(const json& value, const std::string& place, std::string& hashed) {
  if (!value.contains("use")) return value;
  const auto name = value.at("use").get<std::string>();
  const std::string source = std::string(directory) + name + ".json";
  auto text = asset(source);
  if (!text)
    return fail("check scenario", place + "/use", quoted(name) + " is not a shipped factor",
                "use one of " + join(factor_names(), ", "));
  GYGES_TRY(json whole, parse_json(*text, source));
  GYGES_CHECK(validate_json(whole, "factor", source));
  hashed += source + '\0' + std::to_string(text->size()) + '\0' + std::string(*text);
  json factor = {{"title", whole.at("title")},
                 {"default", value.value("default", whole.at("default").get<std::string>())},
                 {"observables", value.value("observables", json::array())},
                 {"levels", whole.at("levels")}};
  declare(factor.at("levels"), factor.at("observables"));
  return factor;
}

}  // namespace gyges::episode
