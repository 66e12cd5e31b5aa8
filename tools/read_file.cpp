
#include "base/json.h"
#include "tools/arguments.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

class ReadFile final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "read_file"; }
  [[nodiscard]] std::string_view description() const override {
    return "Returns the content of a text file, or some of its lines.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["path"],"properties":{)"
           R"("path":{"type":"string","minLength":1,"maxLength":4096,"description":"the file"},)"
           R"("first_line":{"type":"integer","minimum":1,"maximum":1000000000,)"
           R"("description":"first line to return, from 1"},)"
           R"("lines":{"type":"integer","minimum":1,"maximum":1000000000,)"
           R"("description":"number of lines to return"}}})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    auto path = expand_home(arguments.at("path").get<std::string>(), context.home);
    if (path.find('\0') != std::string::npos)
      return error_result("arguments", "The path holds a NUL character.");
    if (!arguments.contains("first_line") && !arguments.contains("lines"))
      return run_in_sandbox(context, {{"cat", "--", std::move(path)}, ""});
    long first = arguments.value("first_line", 1L);
    std::string range = std::to_string(first) + ",$p";
    if (arguments.contains("lines")) {
      std::string last = std::to_string(first + arguments.at("lines").get<long>() - 1);
      range = std::to_string(first) + "," + last + "p;" + last + "q";
    }
    return run_in_sandbox(context, {{"sed", "-n", range, "--", std::move(path)}, ""});
  }
};

}  // namespace

const Tool& read_file_tool() {
  static const ReadFile tool;
  return tool;
}

}  // namespace gyges::tools
