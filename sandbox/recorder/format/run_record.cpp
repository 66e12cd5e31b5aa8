#include "sandbox/recorder/format/run_record.h"

#include <fmt/format.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <ctime>

#include "base/json.h"

namespace gyges::recorder {
namespace {

struct CoverageNumber {
  const char* key;
  std::uint64_t& (*field)(Coverage&);
};

// One table for both directions.
constexpr CoverageNumber coverage_numbers[] = {
    {"events", [](Coverage& c) -> std::uint64_t& { return c.events; }},
    {"syscalls", [](Coverage& c) -> std::uint64_t& { return c.syscalls; }},
    {"bytes", [](Coverage& c) -> std::uint64_t& { return c.bytes; }},
    {"lost", [](Coverage& c) -> std::uint64_t& { return c.counters.lost; }},
    {"enters", [](Coverage& c) -> std::uint64_t& { return c.counters.enters; }},
    {"exits", [](Coverage& c) -> std::uint64_t& { return c.counters.exits; }},
    {"recorded_enters", [](Coverage& c) -> std::uint64_t& { return c.counters.recorded_enters; }},
    {"recorded_exits", [](Coverage& c) -> std::uint64_t& { return c.counters.recorded_exits; }},
    {"waits", [](Coverage& c) -> std::uint64_t& { return c.counters.waits; }},
};

Result<std::vector<std::string>> strings_of(const nlohmann::json& value, const char* key,
                                            std::string_view source) {
  std::vector<std::string> strings;
  if (!value.is_array()) return fail("read coverage", source, fmt::format("{} is no list", key));
  for (const nlohmann::json& item : value) {
    if (!item.is_string())
      return fail("read coverage", source, fmt::format("{} holds something not a text", key));
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

}  // namespace

std::string_view backend_name(Backend backend) {
  return backend == Backend::ebpf ? "ebpf" : "ptrace";
}

std::string new_run_id() {
  std::uint64_t value = 0;
  // The kernel's generator gives eight bytes whole or blocks early at boot; it cannot fail
  // otherwise.
  while (::getrandom(&value, sizeof(value), 0) != static_cast<ssize_t>(sizeof(value))) {
  }
  return fmt::format("{:016x}", value);
}

std::string utc_timestamp(std::uint64_t realtime_ns) {
  // Not by gmtime(3), which reads the time zone's file first.
  std::chrono::sys_time<std::chrono::nanoseconds> time{std::chrono::nanoseconds(realtime_ns)};
  auto day = std::chrono::floor<std::chrono::days>(time);
  std::chrono::year_month_day date{day};
  std::uint64_t seconds = realtime_ns / 1'000'000'000U;
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     seconds / 3600 % 24, seconds / 60 % 60, seconds % 60,
                     realtime_ns / 1'000'000U % 1000U);
}

std::string utc_timestamp() {
  std::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return utc_timestamp(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                       static_cast<std::uint64_t>(now.tv_nsec));
}

nlohmann::json host_facts() {
  ::utsname name{};
  ::uname(&name);
  return {{"kernel", name.release},
          {"machine", name.machine},
          {"gyges", gyges_version},
          {"privilege", ::geteuid() == 0 ? "root" : "user"}};
}

nlohmann::json coverage_to_json(const Coverage& coverage) {
  Coverage copy = coverage;
  nlohmann::json json{{"backend", backend_name(coverage.backend)},
                      {"complete", coverage.complete},
                      {"not_observable", coverage.not_observable},
                      {"degraded", coverage.degraded}};
  for (const CoverageNumber& number : coverage_numbers) json[number.key] = number.field(copy);
  return json;
}

Result<Coverage> coverage_from_json(const nlohmann::json& value, std::string_view source) {
  if (!value.is_object()) return fail("read coverage", source, "it is no object");
  Coverage coverage;
  std::size_t known = 0;
  for (const CoverageNumber& number : coverage_numbers) {
    auto found = value.find(number.key);
    if (found == value.end() || !found->is_number_unsigned())
      return fail("read coverage", source, fmt::format("{} is no count", number.key));
    number.field(coverage) = found->get<std::uint64_t>();
    ++known;
  }
  auto backend = value.find("backend");
  if (backend == value.end() || (*backend != "ebpf" && *backend != "ptrace"))
    return fail("read coverage", source, "backend is neither ebpf nor ptrace");
  coverage.backend = *backend == "ebpf" ? Backend::ebpf : Backend::ptrace;
  auto complete = value.find("complete");
  if (complete == value.end() || !complete->is_boolean())
    return fail("read coverage", source, "complete is neither true nor false");
  coverage.complete = complete->get<bool>();
  for (auto [key, list] : {std::pair{"not_observable", &coverage.not_observable},
                           std::pair{"degraded", &coverage.degraded}}) {
    auto found = value.find(key);
    if (found == value.end()) return fail("read coverage", source, fmt::format("{} missing", key));
    GYGES_TRY(*list, strings_of(*found, key, source));
  }
  if (value.size() != known + 4) return fail("read coverage", source, "it has unknown keys");
  return coverage;
}

}  // namespace gyges::recorder
