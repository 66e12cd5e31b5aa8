// A monitor of rules: the same scene gives the same verdict, on every machine.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent_runtime/monitor/monitor.h"
#include "base/error.h"

namespace gyges::monitor {

// `value` has been validated; `file` names it in errors.
Result<std::unique_ptr<Monitor>> make_rule_monitor(MonitorSettings settings,
                                                   const nlohmann::json& value,
                                                   const std::filesystem::path& file,
                                                   const std::string& home);

}  // namespace gyges::monitor
