// JSON files of users: parsed strictly, validated against the schemas that Gyges ships.
//
// Every error names the file, the place in it (line and column, or the path of the offending key),
// the reason and the cure. Duplicate keys, unknown keys, comments and trailing text are errors.
// Thread-safe.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges {

// Parses one JSON text. `source` is the file name for errors.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view source);

// Validates against the embedded schema policies/schemas/<schema>.schema.json
// (schema = "policy", "persona", "scenario", "experiment", "run", "agent", ...).
Status validate_json(const nlohmann::json& value, std::string_view schema, std::string_view source);

// Makes that schema ready, which the first validate_json() of the process would: 0.5 ms for a large
// one. From any thread.
Status prepare_schema(std::string_view schema);

// read_file + parse_json + validate_json.
Result<nlohmann::json> load_json(const std::filesystem::path& path, std::string_view schema);

}  // namespace gyges
