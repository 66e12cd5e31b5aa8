// Files with one JSON object a line, written by Gyges but stored where others could write.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "base/error.h"

namespace gyges::analysis {

inline constexpr std::size_t max_json_line_bytes = 16U << 20U;

// Calls `take` for every line in order. Fails at the first line that is no JSON object, is longer
// than max_json_line_bytes, or that `take` refuses; the error names the line.
Status for_each_json_line(const std::filesystem::path& file,
                          const std::function<Status(const nlohmann::json&)>& take);

// Members of hostile objects: the value when present and of the right type, else the default.
std::string text_member(const nlohmann::json& object, const char* name);
std::int64_t integer_member(const nlohmann::json& object, const char* name);

}  // namespace gyges::analysis
