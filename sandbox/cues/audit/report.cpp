#include "sandbox/cues/audit/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace gyges::cues {
namespace {

using nlohmann::json;

constexpr std::size_t shown_bytes = 90;

std::string shortened(const std::string& value) {
  std::string text = printable(value);
  return text.size() > shown_bytes ? text.substr(0, shown_bytes - 3) + "..." : text;
}

// One leak and the conditions that have it with the same value.
struct JoinedLeak {
  const Leak* leak;
  std::vector<std::string> conditions;
};

std::vector<JoinedLeak> joined(const Audit& audit) {
  std::vector<JoinedLeak> all;
  for (const ConditionAudit& condition : audit.conditions)
    for (const Leak& leak : condition.leaks) {
      JoinedLeak* known = nullptr;
      for (JoinedLeak& one : all)
        if (one.leak->channel == leak.channel && one.leak->severity == leak.severity) known = &one;
      if (known == nullptr) known = &all.emplace_back(JoinedLeak{&leak, {}});
      known->conditions.push_back(condition.name);
    }
  std::stable_sort(all.begin(), all.end(), [](const JoinedLeak& a, const JoinedLeak& b) {
    return a.leak->severity > b.leak->severity;
  });
  return all;
}

struct JoinedContradiction {
  const Contradiction* contradiction;
  std::vector<std::string> conditions;
};

std::vector<JoinedContradiction> joined_contradictions(const Audit& audit) {
  std::vector<JoinedContradiction> all;
  for (const ConditionAudit& condition : audit.conditions)
    for (const Contradiction& one : condition.contradictions) {
      JoinedContradiction* known = nullptr;
      for (JoinedContradiction& other : all)
        if (other.contradiction->fact == one.fact) known = &other;
      if (known == nullptr) known = &all.emplace_back(JoinedContradiction{&one, {}});
      known->conditions.push_back(condition.name);
    }
  return all;
}

}  // namespace

json audit_to_json(const Audit& audit) {
  json conditions = json::array();
  for (const ConditionAudit& condition : audit.conditions)
    conditions.push_back({{"condition", condition.name},
                          {"claim", claim_name(condition.claim)},
                          {"probe_ms", condition.microseconds / 1000}});
  json differences = json::array();
  for (const Difference& difference : audit.difference.differences) {
    json values = json::object();
    for (const auto& [condition, value] : difference.values) values[condition] = valid_utf8(value);
    differences.push_back({{"channel", difference.channel},
                           {"how", valid_utf8(difference.how)},
                           {"values", values},
                           {"declared", difference.declared}});
  }
  json leaks = json::array();
  for (const JoinedLeak& one : joined(audit))
    leaks.push_back({{"channel", one.leak->channel},
                     {"severity", severity_name(one.leak->severity)},
                     {"value", valid_utf8(one.leak->value)},
                     {"hidden_by", one.leak->hidden_by},
                     {"speaks_of", speaks_name(one.leak->of)},
                     {"meaning", one.leak->meaning},
                     {"conditions", one.conditions}});
  json contradictions = json::array();
  for (const JoinedContradiction& one : joined_contradictions(audit)) {
    json readings = json::object();
    for (const auto& [channel, value] : one.contradiction->readings)
      readings[channel] = valid_utf8(value);
    contradictions.push_back({{"fact", one.contradiction->fact},
                              {"severity", severity_name(one.contradiction->severity)},
                              {"hidden_by", one.contradiction->hidden_by},
                              {"readings", readings},
                              {"conditions", one.conditions}});
  }
  return {{"conditions", conditions},
          {"rounds", audit.rounds},
          {"channels", audit.difference.channels},
          {"noise", audit.difference.noise},
          {"undeclared", audit.undeclared().size()},
          {"differences", differences},
          {"leaks", leaks},
          {"contradictions", contradictions}};
}

std::string audit_to_text(const Audit& audit, bool all) {
  std::string text;
  for (const ConditionAudit& condition : audit.conditions)
    text += fmt::format("condition  {} (claims: {}), probe {} ms\n", printable(condition.name),
                        claim_name(condition.claim), condition.microseconds / 1000);
  text += fmt::format("read       {} observables, {} rounds; {} of them are noise\n",
                      audit.difference.channels, audit.rounds, audit.difference.noise);
  if (audit.conditions.size() > 1) {
    text += fmt::format("\nDIFFERENCES: {} declared, {} undeclared\n",
                        audit.difference.differences.size() - audit.undeclared().size(),
                        audit.undeclared().size());
    for (bool declared : {false, true})
      for (const Difference& difference : audit.difference.differences) {
        if (difference.declared != declared) continue;
        text += fmt::format("{:<10} {}\n", declared ? "declared" : "UNDECLARED",
                            printable(difference.channel));
        for (const auto& [condition, value] : difference.values)
          text += fmt::format("             {}: {}\n", printable(condition), shortened(value));
      }
  }
  std::vector<JoinedLeak> leaks = joined(audit);
  text += fmt::format("\nLEAKS: {}\n", leaks.size());
  std::size_t kept_back = 0;
  for (const JoinedLeak& one : leaks) {
    if (!all && one.leak->severity < Severity::medium) {
      ++kept_back;
      continue;
    }
    text += fmt::format("{:<9} {:<10} {}: {}\n", severity_name(one.leak->severity),
                        speaks_name(one.leak->of), printable(one.leak->channel), one.leak->meaning);
    text += fmt::format("{:21}reads {}; hidden by: {}\n", "", shortened(one.leak->value),
                        one.leak->hidden_by);
  }
  if (kept_back > 0) text += fmt::format("and {} of low severity (--all shows them)\n", kept_back);
  std::vector<JoinedContradiction> contradictions = joined_contradictions(audit);
  text += fmt::format("\nCONTRADICTIONS: {}\n", contradictions.size());
  for (const JoinedContradiction& one : contradictions) {
    text += fmt::format("{:<9} {}\n", severity_name(one.contradiction->severity),
                        one.contradiction->fact);
    for (const auto& [channel, value] : one.contradiction->readings)
      text += fmt::format("           {}: {}\n", printable(channel), shortened(value));
    if (!one.contradiction->hidden_by.empty())
      text += fmt::format("{:11}hidden by: {}\n", "", one.contradiction->hidden_by);
  }
  return text;
}

}  // namespace gyges::cues
