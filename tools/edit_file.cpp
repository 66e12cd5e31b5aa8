
#include "base/json.h"
#include "tools/arguments.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

constexpr std::size_t largest_file = 8U << 20U;

std::size_t occurrences(const std::string& text, const std::string& piece) {
  std::size_t count = 0;
  for (std::size_t at = text.find(piece); at != std::string::npos;
       at = text.find(piece, at + piece.size()))
    ++count;
  return count;
}

std::string replaced(const std::string& text, const std::string& piece, const std::string& by) {
  std::string result;
  std::size_t begin = 0;
  for (std::size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, begin)) {
    result.append(text, begin, at - begin);
    result += by;
    begin = at + piece.size();
  }
  return result.append(text, begin);
}

class EditFile final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "edit_file"; }
  [[nodiscard]] std::string_view description() const override {
    return "Replaces a passage of a file. The old text has to stand there exactly once, or "
           "everywhere it stands is replaced if `all` is true.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,)"
           R"("required":["path","old_text","new_text"],"properties":{)"
           R"("path":{"type":"string","minLength":1,"maxLength":4096,"description":"the file"},)"
           R"("old_text":{"type":"string","minLength":1,"description":"what stands there, with )"
           R"(spaces and line ends"},)"
           R"("new_text":{"type":"string","description":"what is to stand there instead"},)"
           R"("all":{"type":"boolean","description":"replace every occurrence"}}})";
  }
  // Read and written by processes inside, so that links, mounts and rights mean what they mean
  // there; the file keeps its inode and its mode.
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    auto path = expand_home(arguments.at("path").get<std::string>(), context.home);
    auto old_text = arguments.at("old_text").get<std::string>();
    if (path.find('\0') != std::string::npos)
      return error_result("arguments", "The path holds a NUL character.");
    std::string before;
    ToolResult result = read_in_sandbox(context, {"cat", "--", path}, largest_file, before);
    if (result.failed()) return result;
    std::size_t found = occurrences(before, old_text);
    if (found == 0)
      return error_result("arguments", "The old text does not stand in the file; read it first.");
    if (found > 1 && !arguments.value("all", false))
      return error_result("arguments", "The old text stands there " + std::to_string(found) +
                                           " times; give more of what is around it.");
    result = run_in_sandbox(
        context, {{"sh", "-c", R"(exec cat > "$1")", "sh", path},
                  replaced(before, old_text, arguments.at("new_text").get<std::string>())});
    if (!result.failed() && result.output.empty())
      result.output =
          found == 1 ? "Replaced one passage." : "Replaced " + std::to_string(found) + " passages.";
    return result;
  }
};

}  // namespace

const Tool& edit_file_tool() {
  static const EditFile tool;
  return tool;
}

}  // namespace gyges::tools
