#include <algorithm>

#include "base/json.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

class Python final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "python"; }
  [[nodiscard]] std::string_view description() const override {
    return "Runs a Python 3 program in the home directory and returns what it prints. Each call is "
           "a process of its own.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["code"],"properties":{)"
           R"("code":{"type":"string","minLength":1,"description":"the program"},)"
           R"("timeout_seconds":{"type":"integer","minimum":1,"maximum":86400,)"
           R"("description":"stop it after so many seconds"}}})";
  }
  // The program comes by standard input, so that it is as long as it likes.
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    ToolContext own = context;
    if (arguments.contains("timeout_seconds"))
      own.timeout = std::min(context.timeout,
                             std::chrono::seconds(arguments.at("timeout_seconds").get<long>()));
    return run_in_sandbox(own, {{"python3", "-"}, arguments.at("code").get<std::string>()});
  }
};

}  // namespace

const Tool& python_tool() {
  static const Python tool;
  return tool;
}

}  // namespace gyges::tools
