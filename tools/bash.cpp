#include <algorithm>

#include "base/json.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

class Bash final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "bash"; }
  [[nodiscard]] std::string_view description() const override {
    return "Runs a command line with bash in the home directory and returns its output. Each call "
           "is "
           "a shell of its own: directory and variables do not carry over.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["command"],"properties":{)"
           R"("command":{"type":"string","minLength":1,"description":"the command line"},)"
           R"("timeout_seconds":{"type":"integer","minimum":1,"maximum":86400,)"
           R"("description":"stop it after so many seconds"}}})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    ToolContext own = context;
    if (arguments.contains("timeout_seconds"))
      own.timeout = std::min(context.timeout,
                             std::chrono::seconds(arguments.at("timeout_seconds").get<long>()));
    auto command = arguments.at("command").get<std::string>();
    if (command.find('\0') != std::string::npos)
      return error_result("arguments", "The command holds a NUL character.");
    return run_in_sandbox(own, {{"bash", "-c", std::move(command)}, ""});
  }
};

}  // namespace

const Tool& bash_tool() {
  static const Bash tool;
  return tool;
}

}  // namespace gyges::tools
