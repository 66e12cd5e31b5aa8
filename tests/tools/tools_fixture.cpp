#include "tests/tools/tools_fixture.h"

#include <cerrno>

#include "base/json.h"

namespace gyges::tools {

void ToolsTest::SetUp() {
  auto policy = isolation::load_policy("default");
  ASSERT_TRUE(policy) << policy.error().line();
  policy_ = *policy;
  policy_.filesystem.workspace = isolation::Filesystem::Workspace::none;
  policy_.limits.wall_seconds = 60;
  policy_.limits.processes = 100;
}

void ToolsTest::start() {
  auto sandbox = isolation::Sandbox::start({policy_, {}, nullptr});
  if (!sandbox && (sandbox.error().code == EPERM || sandbox.error().code == ENOSYS))
    GTEST_SKIP() << sandbox.error().line();
  ASSERT_TRUE(sandbox) << sandbox.error().line();
  sandbox_ = std::move(*sandbox);
}

ToolResult ToolsTest::call(const std::string& tool, const std::string& arguments) {
  if (!sandbox_) start();
  if (!sandbox_) return error_result("sandbox", "no sandbox");
  ToolContext context{
      *sandbox_, isolation::command_environment(policy_),     policy_.identity.home, ++calls_,
      timeout_,  std::chrono::steady_clock::now() + episode_, output_bytes_};
  return call_tool(context, tool, arguments);
}

ToolResult ToolsTest::bash(const std::string& command) {
  return call("bash", nlohmann::json{{"command", command}}.dump());
}

}  // namespace gyges::tools
