#include "sandbox/isolation/landlock_rules.h"

#include <array>

#include "base/json.h"
#include "base/text.h"

namespace gyges::isolation {
namespace {

using nlohmann::json;

struct MountsName {
  LandlockRules::Mounts mounts;
  std::string_view name;
};
constexpr std::array mounts_names{MountsName{LandlockRules::Mounts::off, "off"},
                                  MountsName{LandlockRules::Mounts::if_available, "if_available"},
                                  MountsName{LandlockRules::Mounts::required, "required"}};

Result<LandlockPath> read_path(const json& item, std::string_view source, std::size_t index) {
  LandlockPath rule;
  rule.path = item.at("path").get<std::string>();
  if (rule.path.find('\0') != std::string::npos)
    return fail("check policy",
                std::string(source) + " at /landlock/paths/" + std::to_string(index),
                "a path contains a NUL byte", "remove it");
  for (const json& access : item.at("access")) {
    rule.read |= access == "read";
    rule.write |= access == "write";
    rule.execute |= access == "execute";
  }
  return rule;
}

}  // namespace

Result<LandlockRules> read_landlock_rules(const json& section, std::string_view source) {
  LandlockRules rules;
  if (section.contains("mounts"))
    for (const MountsName& row : mounts_names)
      if (section.at("mounts") == row.name) rules.mounts = row.mounts;
  if (section.contains("paths")) {
    rules.paths.emplace();
    for (const json& item : section.at("paths")) {
      GYGES_TRY(LandlockPath path, read_path(item, source, rules.paths->size()));
      rules.paths->push_back(std::move(path));
    }
  }
  if (section.contains("tcp_bind"))
    rules.tcp_bind = section.at("tcp_bind").get<std::vector<std::uint16_t>>();
  if (section.contains("tcp_connect"))
    rules.tcp_connect = section.at("tcp_connect").get<std::vector<std::uint16_t>>();
  if (section.contains("scope"))
    for (const json& item : section.at("scope")) {
      rules.scope_abstract_sockets |= item == "abstract_sockets";
      rules.scope_signals |= item == "signals";
    }
  return rules;
}

json landlock_rules_to_json(const LandlockRules& rules) {
  json section = json::object();
  for (const MountsName& row : mounts_names)
    if (rules.mounts == row.mounts) section["mounts"] = row.name;
  if (rules.paths) {
    json paths = json::array();
    for (const LandlockPath& rule : *rules.paths) {
      json access = json::array();
      if (rule.read) access.push_back("read");
      if (rule.write) access.push_back("write");
      if (rule.execute) access.push_back("execute");
      paths.push_back({{"path", rule.path}, {"access", access}});
    }
    section["paths"] = paths;
  }
  if (rules.tcp_bind) section["tcp_bind"] = *rules.tcp_bind;
  if (rules.tcp_connect) section["tcp_connect"] = *rules.tcp_connect;
  json scope = json::array();
  if (rules.scope_abstract_sockets) scope.push_back("abstract_sockets");
  if (rules.scope_signals) scope.push_back("signals");
  if (!scope.empty()) section["scope"] = scope;
  return section;
}

}  // namespace gyges::isolation
