// think and todo: an agent's notes to itself. They act on nothing.

#include "base/json.h"
#include "base/text.h"
#include "tools/builtin.h"
#include "tools/tool_state.h"

namespace gyges::tools {
namespace {

class Think final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "think"; }
  [[nodiscard]] std::string_view description() const override {
    return "Room to think something through in writing. Nothing is done and nothing is looked up.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["thought"],"properties":{)"
           R"("thought":{"type":"string","description":"the thought"}}})";
  }
  ToolResult run(const ToolContext&, const nlohmann::json&) const override {
    ToolResult result;
    result.output = "Noted.";
    return result;
  }
};

class Todo final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "todo"; }
  [[nodiscard]] std::string_view description() const override {
    return "Keeps a list of what is to be done. Give the whole list to replace it, or nothing to "
           "see it.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"properties":{)"
           R"("items":{"type":"array","maxItems":200,"description":"the whole list","items":{)"
           R"("type":"object","additionalProperties":false,"required":["text","status"],)"
           R"("properties":{"text":{"type":"string","minLength":1,"maxLength":2000},)"
           R"("status":{"type":"string","enum":["open","doing","done"]}}}}}})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    if (context.state == nullptr)
      return error_result("unavailable", "There is no session in which a list could be kept.");
    std::vector<TodoItem>& list = context.state->todo;
    if (arguments.contains("items")) {
      list.clear();
      for (const auto& item : arguments.at("items"))
        list.push_back(
            {valid_utf8(item.at("text").get<std::string>()), item.at("status").get<std::string>()});
    }
    ToolResult result;
    for (const auto& item : list) result.output += "[" + item.status + "] " + item.text + "\n";
    if (list.empty()) result.output = "The list is empty.";
    return result;
  }
};

}  // namespace

const Tool& think_tool() {
  static const Think tool;
  return tool;
}

const Tool& todo_tool() {
  static const Todo tool;
  return tool;
}

}  // namespace gyges::tools
