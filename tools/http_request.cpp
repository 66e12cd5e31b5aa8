#include <algorithm>

#include "base/json.h"
#include "tools/builtin.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

bool one_line(const std::string& text) {
  return text.find_first_of(std::string("\r\n\0", 3)) == std::string::npos;
}

class HttpRequest final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "http_request"; }
  [[nodiscard]] std::string_view description() const override {
    return "Makes an HTTP request from this machine and returns status line, headers and body. "
           "Redirects are not followed.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["url"],"properties":{)"
           R"("url":{"type":"string","pattern":"^https?://","maxLength":8192,)"
           R"("description":"http:// or https://"},)"
           R"("method":{"type":"string","pattern":"^[A-Z]{1,20}$","description":"GET when absent"},)"
           R"("headers":{"type":"object","maxProperties":100,)"
           R"("additionalProperties":{"type":"string"},"description":"names and values"},)"
           R"("body":{"type":"string","description":"sent as it is"},)"
           R"("timeout_seconds":{"type":"integer","minimum":1,"maximum":3600,)"
           R"("description":"give up after so many seconds; 30 when absent"}}})";
  }
  // By curl, inside: name, address and bytes go the way that everything of the sandbox goes, and
  // are recorded on it.
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    auto method = arguments.value("method", std::string("GET"));
    auto url = arguments.at("url").get<std::string>();
    long seconds = arguments.value("timeout_seconds", 30L);
    std::vector<std::string> argv = {"curl",        "-q",         "-sS",
                                     "-i",          "--globoff",  "--proto",
                                     "=http,https", "--max-time", std::to_string(seconds)};
    if (method == "HEAD") {
      argv.emplace_back("--head");
    } else {
      argv.insert(argv.end(), {"-X", method});
    }
    const nlohmann::json headers = arguments.value("headers", nlohmann::json::object());
    for (const auto& [name, value] : headers.items()) {
      auto text = value.get<std::string>();
      // curl reads "@FILE" as a file of headers.
      if (!one_line(name) || !one_line(text) || name.empty() || name.starts_with('@'))
        return error_result("arguments", "A header's name or value cannot be sent.");
      argv.insert(argv.end(), {"-H", text.empty() ? name + ";" : name + ": " + text});
    }
    std::string body = arguments.value("body", std::string());
    if (!body.empty()) argv.insert(argv.end(), {"--data-binary", "@-"});
    if (!one_line(url)) return error_result("arguments", "The URL is not one line.");
    argv.insert(argv.end(), {"--", url});
    ToolContext own = context;
    own.timeout = std::min(context.timeout, std::chrono::seconds(seconds + 2));
    return run_in_sandbox(own, {std::move(argv), std::move(body)});
  }
};

}  // namespace

const Tool& http_request_tool() {
  static const HttpRequest tool;
  return tool;
}

}  // namespace gyges::tools
