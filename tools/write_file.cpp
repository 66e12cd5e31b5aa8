
#include "base/json.h"
#include "tools/arguments.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

class WriteFile final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "write_file"; }
  [[nodiscard]] std::string_view description() const override {
    return "Writes a text file, replacing what was in it; makes directories as needed.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["path","content"],)"
           R"("properties":{)"
           R"("path":{"type":"string","minLength":1,"maxLength":4096,"description":"the file"},)"
           R"("content":{"type":"string","description":"its new content"}}})";
  }
  // The path is opened by a process inside, so that links and mounts mean what they mean there.
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    auto path = expand_home(arguments.at("path").get<std::string>(), context.home);
    auto content = arguments.at("content").get<std::string>();
    if (path.find('\0') != std::string::npos)
      return error_result("arguments", "The path holds a NUL character.");
    static const std::string script =
        R"(case $1 in */*) mkdir -p -- "${1%/*}/" || exit;; esac; exec cat > "$1")";
    std::size_t size = content.size();
    ToolResult result =
        run_in_sandbox(context, {{"sh", "-c", script, "sh", path}, std::move(content)});
    if (!result.failed() && result.output.empty())
      result.output = "Wrote " + std::to_string(size) + " bytes.";
    return result;
  }
};

}  // namespace

const Tool& write_file_tool() {
  static const WriteFile tool;
  return tool;
}

}  // namespace gyges::tools
