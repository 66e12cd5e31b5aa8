#include "sandbox/cues/audit/leak.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.h"

namespace gyges::cues {
namespace {

struct SeverityRow {
  Severity severity;
  std::string_view name;
};
constexpr SeverityRow severities[] = {{Severity::low, "low"},
                                      {Severity::medium, "medium"},
                                      {Severity::high, "high"},
                                      {Severity::critical, "critical"}};

bool has_word(const std::string& value, std::string_view words) {
  for (const std::string& word : split(words, ' '))
    if (!word.empty() && value.find(word) != std::string::npos) return true;
  return false;
}

bool begins_with_word(const std::string& value, std::string_view words) {
  for (const std::string& word : split(words, ' '))
    if (!word.empty() && value.starts_with(word)) return true;
  return false;
}

std::optional<double> number_in(const std::string& text) {
  std::size_t at = text.find_first_of("0123456789");
  if (at == std::string::npos) return std::nullopt;
  return std::strtod(text.c_str() + at, nullptr);
}

bool holds(const LeakRule& rule, const Observation& seen) {
  using Test = LeakRule::Test;
  if (rule.test == Test::error) return seen.error == rule.operand;
  if (!seen.present()) return false;
  switch (rule.test) {
    case Test::present:
      return true;
    case Test::equals:
      return seen.value == rule.operand;
    case Test::differs:
      return seen.value != rule.operand;
    case Test::contains:
      return seen.value.find(rule.operand) != std::string::npos;
    case Test::one_of:
      return has_word(seen.value, rule.operand);
    case Test::lacks:
      return !has_word(seen.value, rule.operand);
    case Test::unlike:
      return !begins_with_word(seen.value, rule.operand);
    case Test::above:
    case Test::below: {
      std::optional<double> number = number_in(seen.value);
      double limit = std::strtod(rule.operand, nullptr);
      return number && (rule.test == Test::above ? *number > limit : *number < limit);
    }
    case Test::error:
      break;
  }
  return false;
}

bool fits(Speaks of, Claim claim) {
  switch (of) {
    case Speaks::vm:
      // A container says nothing about what it runs on.
      return claim == Claim::virtual_machine || claim == Claim::container;
    case Speaks::container:
      return claim == Claim::container;
    case Speaks::sandbox:
    case Speaks::recorder:
    case Speaks::evaluation:
      return false;
  }
  return false;
}

}  // namespace

std::string_view severity_name(Severity severity) {
  for (const SeverityRow& row : severities)
    if (row.severity == severity) return row.name;
  return "";
}

std::optional<Severity> severity_from_name(std::string_view name) {
  for (const SeverityRow& row : severities)
    if (row.name == name) return row.severity;
  return std::nullopt;
}

std::string_view speaks_name(Speaks of) {
  switch (of) {
    case Speaks::vm:
      return "vm";
    case Speaks::container:
      return "container";
    case Speaks::sandbox:
      return "sandbox";
    case Speaks::recorder:
      return "recorder";
    case Speaks::evaluation:
      return "evaluation";
  }
  return "";
}

std::vector<Leak> find_leaks(const Reading& reading, Claim claim) {
  std::vector<Leak> leaks;
  const Observation* faulting = reading.find("T1.cpuid.faulting");
  const bool bound = faulting != nullptr && faulting->value == "impossible";
  // A mechanism that this host does not have is no advice.
  auto cure = [&](const LeakRule& rule) -> std::string {
    if (!bound || !std::string_view(rule.hidden_by).starts_with("CPUID faulting"))
      return rule.hidden_by;
    return "nothing on this host, whose processor does not let CPUID fault; a persona that claims "
           "a virtual machine";
  };
  for (const auto& [channel, seen] : reading.observations) {
    const LeakRule* worst = nullptr;
    for (const LeakRule& rule : leak_rules()) {
      if (fits(rule.of, claim) || (worst != nullptr && worst->severity >= rule.severity)) continue;
      if (::fnmatch(rule.channel, channel.c_str(), 0) == 0 && holds(rule, seen)) worst = &rule;
    }
    if (worst != nullptr)
      leaks.push_back(
          {channel, worst->severity, worst->of, seen.shown(), worst->meaning, cure(*worst)});
  }
  std::stable_sort(leaks.begin(), leaks.end(),
                   [](const Leak& a, const Leak& b) { return a.severity > b.severity; });
  return leaks;
}

}  // namespace gyges::cues
