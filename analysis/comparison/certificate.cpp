#include "analysis/comparison/certificate.h"

#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <unordered_set>

#include "analysis/features/glob.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

std::vector<DifferingItem> listed(const std::map<std::string, std::size_t>& counted) {
  std::vector<DifferingItem> items;
  for (const auto& [item, pairs] : counted) items.push_back({item, pairs});
  return items;
}

bool may_differ(const Run& run, const std::string& factor, const std::string& item) {
  auto found = run.declared.find(factor);
  return found != run.declared.end() && any_glob_matches(found->second, item);
}

// One sentence for each experiment that was audited.
void carry_audit(const std::set<std::string>& experiments, Certificate& certificate) {
  for (const std::string& directory : experiments) {
    const std::filesystem::path file = std::filesystem::path(directory) / "audit.json";
    std::error_code ignored;
    if (directory.empty() || !std::filesystem::exists(file, ignored)) continue;
    std::string text;
    auto document = load_json(file, "audit");
    if (!document) {
      certificate.audit_undeclared = true;
      text = "the audit cannot be read: " + document.error().line();
    } else {
      std::size_t channels = 0;
      std::size_t declared = 0;
      std::vector<std::string> undeclared;
      for (const nlohmann::json& scenario : document->at("scenarios")) {
        channels += scenario.at("channels").get<std::size_t>();
        declared += scenario.at("declared").size();
        for (const nlohmann::json& channel : scenario.at("undeclared"))
          undeclared.push_back(channel.get<std::string>());
      }
      if (!undeclared.empty()) certificate.audit_undeclared = true;
      text = fmt::format("{} channels read from inside: {} differ as declared, {} undeclared{}",
                         channels, declared, undeclared.size(),
                         undeclared.empty() ? "" : " (" + printable(undeclared.front()) + ", ...)");
    }
    certificate.audit += (certificate.audit.empty() ? "" : "; ") + text;
  }
}

}  // namespace

std::string Certificate::statement() const {
  if (pairs == 0) return "not certified: no pair of runs carries a record of what was observable";
  std::string text = fmt::format(
      "{} observables compared in {} pairs: {} differ as declared, {} "
      "differ undeclared",
      items, pairs, declared.size(), undeclared.size());
  if (!unjudged.empty())
    text += fmt::format("; {} differ and the runs do not say whether they may", unjudged.size());
  if (without > 0) text += fmt::format("; {} pairs could not be compared", without);
  return text;
}

Certificate certify(const std::vector<Run>& runs, const Contrast& contrast) {
  Certificate certificate;
  std::map<std::string, std::size_t> declared;
  std::map<std::string, std::size_t> undeclared;
  std::map<std::string, std::size_t> unjudged;
  std::unordered_set<std::string_view> seen;  // within the runs
  std::set<std::string> experiments;
  for (const RunPair& pair : contrast.pairs) {
    const Run& first = runs[pair.first];
    const Run& second = runs[pair.second];
    experiments.insert({first.experiment, second.experiment});
    if (!first.has_observables || !second.has_observables) {
      ++certificate.without;
      continue;
    }
    ++certificate.pairs;
    // Both are sorted: what only one of them has stands first in it.
    auto a = first.observables.begin();
    auto b = second.observables.begin();
    while (a != first.observables.end() || b != second.observables.end()) {
      bool take_a =
          b == second.observables.end() || (a != first.observables.end() && a->first <= b->first);
      bool take_b =
          a == first.observables.end() || (b != second.observables.end() && b->first <= a->first);
      const std::string& item = take_a ? a->first : b->first;
      bool same = take_a && take_b && a->second == b->second;
      seen.insert(item);
      if (take_a) ++a;
      if (take_b) ++b;
      if (same) continue;
      if (!contrast.same_condition && (!first.has_declared || !second.has_declared)) {
        ++unjudged[item];
        continue;
      }
      bool allowed =
          may_differ(first, contrast.factor, item) && may_differ(second, contrast.factor, item);
      ++(allowed ? declared : undeclared)[item];
    }
  }
  carry_audit(experiments, certificate);
  certificate.items = seen.size();
  certificate.declared = listed(declared);
  certificate.undeclared = listed(undeclared);
  certificate.unjudged = listed(unjudged);
  return certificate;
}

}  // namespace gyges::analysis
