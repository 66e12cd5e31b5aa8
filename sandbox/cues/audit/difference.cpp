#include "sandbox/cues/audit/difference.h"

#include <fnmatch.h>

#include <optional>

namespace gyges::cues {
namespace {

// What a declared fact shows in beside the channel of its own name.
struct Consequence {
  const char* declared;
  const char* channels;  // glob
};

constexpr Consequence consequences[] = {
    {"host:hostname", "K1.uname.nodename*"},
    {"host:hostname", "K2.proc.hostname"},
    {"host:hostname", "E8.identity.hostname"},
    {"host:hostname", "N2.hostname_file"},
    {"host:hostname", "N11.hosts"},
    {"host:hostname", "C.hostname"},
    {"host:hostname", "C.uname"},
    {"host:uptime_offset", "T8.uptime.*"},
    {"host:uptime_offset", "T10.offsets"},
    {"host:uptime_offset", "C.uptime"},
    {"policy", "P7.*"},
    {"policy", "P8.*"},
    {"policy", "P9.*"},
    {"policy", "P1.init.seccomp"},
    {"policy", "K16.call.*"},
    {"policy", "K17.write.*"},
    {"policy", "E9.limit.*"},
    {"policy", "P20.limits"},
    {"policy", "N1.*"},
    {"policy", "N7.*"},
    {"policy", "F2.mount.*"},
};

bool is_noise(const Observation& observation) {
  return observation.kind != Observation::Kind::fact || observation.error == "ETIMEDOUT" ||
         observation.error == "ECANCELED";
}

std::string shown(const Reading& reading, const std::string& channel) {
  const Observation* found = reading.find(channel);
  return found != nullptr ? found->shown() : "(absent)";
}

// What the condition always says there; nothing when it does not say the same every time.
std::optional<std::string> settled(const ConditionReadings& condition, const std::string& channel) {
  std::optional<std::string> value;
  for (const Reading& reading : condition.readings) {
    std::string one = shown(reading, channel);
    if (value && *value != one) return std::nullopt;
    value = std::move(one);
  }
  return value;
}

}  // namespace

bool covers(const std::string& declared, const std::string& channel, const std::string& how) {
  if (declared == channel) return true;
  if (declared.starts_with("channel:"))
    return ::fnmatch(declared.c_str() + 8, channel.c_str(), 0) == 0;
  if (declared.starts_with("file:")) {
    // "read /etc/motd", "stat /etc/motd"
    std::string path = declared.substr(5);
    return how.size() > path.size() && how.ends_with(path) &&
           how[how.size() - path.size() - 1] == ' ';
  }
  if (declared.starts_with("env:")) return channel == "E.env." + declared.substr(4);
  for (const Consequence& row : consequences)
    if (declared == row.declared && ::fnmatch(row.channels, channel.c_str(), 0) == 0) return true;
  return false;
}

DifferenceReport compare_readings(const std::vector<ConditionReadings>& conditions,
                                  const Declared& declared) {
  DifferenceReport report;
  std::map<std::string, const Observation*> channels;
  std::set<std::string> noisy;
  for (const ConditionReadings& condition : conditions)
    for (const Reading& reading : condition.readings)
      for (const auto& [channel, observation] : reading.observations) {
        channels.try_emplace(channel, &observation);
        if (is_noise(observation)) noisy.insert(channel);
      }
  report.channels = channels.size();
  for (const auto& [channel, observation] : channels) {
    std::vector<std::string> values;
    bool noise = noisy.contains(channel);
    for (const ConditionReadings& condition : conditions) {
      std::optional<std::string> value = settled(condition, channel);
      if (!value) noise = true;
      values.push_back(value.value_or(""));
    }
    if (noise) {
      ++report.noise;
      continue;
    }
    Difference difference{channel, observation->how, {}, true};
    bool differs = false;
    for (std::size_t i = 0; i < values.size(); ++i) {
      difference.values[conditions[i].name] = values[i];
      for (std::size_t k = i + 1; k < values.size(); ++k) {
        if (values[i] == values[k]) continue;
        differs = true;
        bool may = false;
        if (declared)
          for (const std::string& item : declared(i, k))
            may = may || covers(item, channel, observation->how);
        difference.declared = difference.declared && may;
      }
    }
    if (differs) report.differences.push_back(std::move(difference));
  }
  return report;
}

}  // namespace gyges::cues
