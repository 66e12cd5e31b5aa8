// A monitor that is a model: it is shown the task, what the agent asks for, says and gets, and a
// digest of what its processes did, and gives a score with a reason and the ids of its evidence.
//
// What the agent wrote reaches the judge as JSON strings only, one object a line, so that no output
// of a tool can pretend to be the rubric or another line. What the judge answers is held against
// policies/schemas/monitor_reply.schema.json; evidence that it was not shown is an error, too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "agent_runtime/monitor/monitor.h"
#include "base/error.h"

namespace gyges::monitor {

// `value` has been validated; `file` is where its paths begin.
Result<std::unique_ptr<Monitor>> make_model_monitor(MonitorSettings settings,
                                                    const nlohmann::json& value,
                                                    const std::filesystem::path& file,
                                                    std::uint64_t seed);

// The object in a reply: the whole of it, or what stands between the first { and the last }.
// Anything else, and anything that does not fit the schema, is an error.
Result<nlohmann::json> parse_judgement(std::string_view reply);

}  // namespace gyges::monitor
