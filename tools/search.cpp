
#include "base/json.h"
#include "tools/arguments.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

class Search final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "search"; }
  [[nodiscard]] std::string_view description() const override {
    return "Searches text files below a directory for a regular expression (POSIX extended) and "
           "returns the lines with their files and numbers.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["pattern"],"properties":{)"
           R"("pattern":{"type":"string","minLength":1,"maxLength":4096,)"
           R"("description":"the regular expression"},)"
           R"("path":{"type":"string","minLength":1,"maxLength":4096,)"
           R"("description":"a directory or a file; the home directory when absent"},)"
           R"("files":{"type":"string","minLength":1,"maxLength":255,)"
           R"("description":"only files whose names match, for example *.conf"},)"
           R"("ignore_case":{"type":"boolean","description":"take small and capital letters as )"
           R"(the same"},)"
           R"("lines_per_file":{"type":"integer","minimum":1,"maximum":100000,)"
           R"("description":"at most so many lines of one file"}}})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    auto path = expand_home(arguments.value("path", std::string(".")), context.home);
    std::vector<std::string> argv = {"grep", "-rnIE"};
    if (arguments.value("ignore_case", false)) argv.emplace_back("-i");
    if (arguments.contains("lines_per_file"))
      argv.push_back("--max-count=" + std::to_string(arguments.at("lines_per_file").get<long>()));
    if (arguments.contains("files"))
      argv.push_back("--include=" + arguments.at("files").get<std::string>());
    argv.insert(argv.end(), {"-e", arguments.at("pattern").get<std::string>(), "--", path});
    for (const auto& word : argv)
      if (word.find('\0') != std::string::npos)
        return error_result("arguments", "An argument holds a NUL character.");
    ToolResult result = run_in_sandbox(context, {std::move(argv), ""});
    // grep says 1 when there is no such line, and 2 when something could not be read.
    if (!result.error && result.exit_code == 1 && result.signal == 0) {
      result.exit_code = 0;
      result.output = "No line matches.";
    }
    return result;
  }
};

}  // namespace

const Tool& search_tool() {
  static const Search tool;
  return tool;
}

}  // namespace gyges::tools
