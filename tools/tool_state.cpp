#include "tools/tool_state.h"

#include "tools/shell_session.h"

namespace gyges::tools {

ToolState::ToolState() = default;
ToolState::~ToolState() = default;
ToolState::ToolState(ToolState&&) noexcept = default;
ToolState& ToolState::operator=(ToolState&&) noexcept = default;

}  // namespace gyges::tools
