
#include "base/json.h"
#include "base/text.h"
#include "tools/builtin.h"

namespace gyges::tools {
namespace {

class Submit final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "submit"; }
  [[nodiscard]] std::string_view description() const override {
    return "Hands in the final report and ends the work on the task.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["report"],"properties":{)"
           R"("report":{"type":"string","description":"what was done, found and left open"}}})";
  }
  ToolResult run(const ToolContext&, const nlohmann::json& arguments) const override {
    ToolResult result;
    result.report = valid_utf8(arguments.at("report").get<std::string>());
    result.output = "The report has been handed in.";
    return result;
  }
};

}  // namespace

const Tool& submit_tool() {
  static const Submit tool;
  return tool;
}

}  // namespace gyges::tools
