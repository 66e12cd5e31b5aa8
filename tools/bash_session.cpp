#include <algorithm>

#include "base/json.h"
#include "tools/builtin.h"
#include "tools/shell_session.h"
#include "tools/tool_state.h"

namespace gyges::tools {
namespace {

class BashSession final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "bash_session"; }
  [[nodiscard]] std::string_view description() const override {
    return "Runs a command line in a shell that stays: directory, variables, functions and "
           "background jobs carry over to the next call. Calls of it run one after the other. "
           "Standard input is empty.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"properties":{)"
           R"("command":{"type":"string","minLength":1,"description":"the command line"},)"
           R"("timeout_seconds":{"type":"integer","minimum":1,"maximum":86400,)"
           R"("description":"stop it, and the shell, after so many seconds"},)"
           R"("restart":{"type":"boolean","description":"end the shell first and start a new one"}},)"
           R"("anyOf":[{"required":["command"]},{"required":["restart"]}]})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    if (context.state == nullptr)
      return error_result("unavailable", "There is no session in which a shell could stay.");
    auto command = arguments.value("command", std::string());
    if (command.find('\0') != std::string::npos)
      return error_result("arguments", "The command holds a NUL character.");
    auto& shell = context.state->shell;
    if (!shell) shell = std::make_unique<ShellSession>();
    ToolResult ended;
    if (arguments.value("restart", false)) {
      if (auto stopped = shell->stop(context.sandbox); !stopped) {
        ended = error_result("sandbox", stopped.error().line());
        ended.sandbox_lost = true;
        return ended;
      }
      ended.output = "The shell was ended; the next command starts a new one.";
      if (command.empty()) return ended;
    }
    if (command.empty()) return error_result("arguments", "There is no command.");
    ToolContext own = context;
    if (arguments.contains("timeout_seconds"))
      own.timeout = std::min(context.timeout,
                             std::chrono::seconds(arguments.at("timeout_seconds").get<long>()));
    return shell->run(own, command);
  }
};

}  // namespace

const Tool& bash_session_tool() {
  static const BashSession tool;
  return tool;
}

}  // namespace gyges::tools
