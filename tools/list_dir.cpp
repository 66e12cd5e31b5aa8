
#include "base/json.h"
#include "tools/arguments.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

class ListDir final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "list_dir"; }
  [[nodiscard]] std::string_view description() const override {
    return "Lists a directory with modes, owners, sizes and dates.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["path"],"properties":{)"
           R"("path":{"type":"string","minLength":1,"maxLength":4096,)"
           R"("description":"the directory"}}})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    auto path = expand_home(arguments.at("path").get<std::string>(), context.home);
    if (path.find('\0') != std::string::npos)
      return error_result("arguments", "The path holds a NUL character.");
    return run_in_sandbox(context,
                          {{"ls", "-la", "--time-style=long-iso", "--", std::move(path)}, ""});
  }
};

}  // namespace

const Tool& list_dir_tool() {
  static const ListDir tool;
  return tool;
}

}  // namespace gyges::tools
