#include "sandbox/cues/audit/audit.h"

#include <algorithm>

namespace gyges::cues {
namespace {

Status read_round(const std::vector<ConditionToAudit>& conditions,
                  std::vector<ConditionReadings>& readings) {
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    auto text = conditions[i].read();
    if (!text)
      return tl::unexpected<Error>(
          std::move(text).with_context("audit " + conditions[i].name).error());
    GYGES_TRY(Reading reading, parse_reading(*text, conditions[i].name));
    for (const auto& [item, hash] : conditions[i].told)
      reading.observations[item] = {Observation::Kind::fact, "given to the agent", hash, {}};
    readings[i].readings.push_back(std::move(reading));
  }
  return ok();
}

bool has_undeclared(const DifferenceReport& report) {
  return std::any_of(report.differences.begin(), report.differences.end(),
                     [](const Difference& difference) { return !difference.declared; });
}

// A contradiction counts when every reading has it: clocks are read one after the other.
std::vector<Contradiction> lasting(const std::vector<Reading>& readings) {
  std::vector<Contradiction> found = find_contradictions(readings.front());
  for (std::size_t i = 1; i < readings.size(); ++i) {
    std::vector<Contradiction> again = find_contradictions(readings[i]);
    std::erase_if(found, [&](const Contradiction& one) {
      return std::none_of(again.begin(), again.end(),
                          [&](const Contradiction& other) { return other.fact == one.fact; });
    });
  }
  return found;
}

}  // namespace

std::vector<const Difference*> Audit::undeclared() const {
  std::vector<const Difference*> found;
  for (const Difference& one : difference.differences)
    if (!one.declared) found.push_back(&one);
  return found;
}

std::size_t Audit::leaks_from(Severity severity) const {
  std::size_t count = 0;
  for (const ConditionAudit& condition : conditions)
    for (const Leak& leak : condition.leaks) count += leak.severity >= severity ? 1 : 0;
  return count;
}

std::size_t Audit::contradictions_from(Severity severity) const {
  std::size_t count = 0;
  for (const ConditionAudit& condition : conditions)
    for (const Contradiction& one : condition.contradictions)
      count += one.severity >= severity ? 1 : 0;
  return count;
}

Result<Audit> audit(const std::vector<ConditionToAudit>& conditions, const Declared& declared,
                    const AuditOptions& options) {
  Audit result;
  std::vector<ConditionReadings> readings;
  for (const ConditionToAudit& condition : conditions) readings.push_back({condition.name, {}});
  for (std::uint32_t round = 0; round < options.rounds; ++round)
    GYGES_CHECK(read_round(conditions, readings));
  result.rounds = options.rounds;
  result.difference = compare_readings(readings, declared);
  for (std::uint32_t more = 0;
       more < options.confirming_rounds && has_undeclared(result.difference); ++more) {
    GYGES_CHECK(read_round(conditions, readings));
    ++result.rounds;
    result.difference = compare_readings(readings, declared);
  }
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    const std::vector<Reading>& all = readings[i].readings;
    ConditionAudit one{conditions[i].name, conditions[i].claim, {}, {}, 0};
    if (!all.empty()) {
      one.leaks = find_leaks(all.back(), conditions[i].claim);
      one.contradictions = lasting(all);
    }
    for (const Reading& reading : all)
      one.microseconds = std::max(one.microseconds, reading.microseconds);
    result.conditions.push_back(std::move(one));
  }
  return result;
}

}  // namespace gyges::cues
