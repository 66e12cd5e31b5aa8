// What the protocol asks of requests about tasks, in either revision that has them. For
// protocol.cpp.
#pragma once

#include <optional>
#include <string>

#include "tools/mcp/service.h"

namespace gyges::mcp {

// Methods of tasks; those of 2025-11-25 that 2026-07-28 has no more are unknown there.
bool is_about_tasks(const Request& request);

// Why such a request, or a call of a tool, is refused; nullopt: it is not.
std::optional<Answer> task_fault(const Service& service, const Request& request);

// Says in the declaration of a tool, which `list` ends with, whether it may be called as a task,
// where the revision has a place for it.
void add_task_support(const Service& service, const Request& request, const std::string& tool,
                      std::string& list);

}  // namespace gyges::mcp
