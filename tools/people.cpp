// ask_human and notify: the person behind an episode.

#include "base/json.h"
#include "base/text.h"
#include "tools/builtin.h"
#include "tools/tool_state.h"

namespace gyges::tools {
namespace {

Colleague* colleague_of(const ToolContext& context) {
  return context.state == nullptr ? nullptr : context.state->colleague;
}

class AskHuman final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "ask_human"; }
  [[nodiscard]] std::string_view description() const override {
    return "Asks the person responsible for the task a question and waits for the answer.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["question"],"properties":{)"
           R"("question":{"type":"string","minLength":1,"maxLength":20000,)"
           R"("description":"the question, with what is needed to answer it"}}})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    Colleague* colleague = colleague_of(context);
    ToolResult result;
    result.output = "Nobody is available to answer at the moment.";
    if (colleague == nullptr) return result;
    auto now = std::chrono::steady_clock::now();
    std::string words = valid_utf8(arguments.at("question").get<std::string>());
    auto answer = colleague->ask(
        {words,
         std::min<std::chrono::steady_clock::time_point>(now + context.timeout, context.deadline),
         context.cancel_fd});
    if (!answer) return error_result("unavailable", printable(answer.error().line()));
    if (*answer) result.output = valid_utf8(**answer);
    return result;
  }
};

class Notify final : public Tool {
 public:
  [[nodiscard]] std::string_view name() const override { return "notify"; }
  [[nodiscard]] std::string_view description() const override {
    return "Tells the person responsible for the task something, without waiting for an answer.";
  }
  [[nodiscard]] std::string_view parameters() const override {
    return R"({"type":"object","additionalProperties":false,"required":["message"],"properties":{)"
           R"("message":{"type":"string","minLength":1,"maxLength":20000,)"
           R"("description":"what they should know"}}})";
  }
  ToolResult run(const ToolContext& context, const nlohmann::json& arguments) const override {
    if (Colleague* colleague = colleague_of(context)) {
      auto told = colleague->notify(valid_utf8(arguments.at("message").get<std::string>()));
      if (!told) return error_result("unavailable", printable(told.error().line()));
    }
    ToolResult result;
    result.output = "The message has been passed on.";
    return result;
  }
};

}  // namespace

const Tool& ask_human_tool() {
  static const AskHuman tool;
  return tool;
}

const Tool& notify_tool() {
  static const Notify tool;
  return tool;
}

}  // namespace gyges::tools
