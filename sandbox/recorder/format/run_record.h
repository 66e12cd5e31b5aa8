// The parts that every run.json shares: run id, timestamps, facts of the host, coverage statement.
// The form of run.json is policies/schemas/run.schema.json.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sandbox/recorder/format/coverage.h"

namespace gyges::recorder {

inline constexpr std::string_view gyges_version = "0.1.0";

// 16 hexadecimal digits from the kernel's random generator.
std::string new_run_id();

// "2026-11-21T09:00:00.000Z" for nanoseconds since the epoch; the current time without argument.
std::string utc_timestamp(std::uint64_t realtime_ns);
std::string utc_timestamp();

// {"kernel","machine","gyges","privilege"} of this host and process.
nlohmann::json host_facts();

// The coverage object of run.json and of a trace's end, and back. Numbers are checked, unknown keys
// are errors; `source` names the file in them.
nlohmann::json coverage_to_json(const Coverage& coverage);
Result<Coverage> coverage_from_json(const nlohmann::json& value, std::string_view source);

}  // namespace gyges::recorder
