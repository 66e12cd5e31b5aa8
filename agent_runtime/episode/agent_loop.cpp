#include "agent_runtime/episode/agent_loop.h"

#include <optional>

#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/recorder.h"
#include "tools/tool_registry.h"

namespace gyges::episode {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_id_bytes = 256;

std::vector<model::ToolDeclaration> declarations(const std::vector<std::string>& names) {
  std::vector<model::ToolDeclaration> list;
  for (const auto& name : names)
    if (const tools::Tool* tool = tools::find_tool(name))
      list.push_back({name, std::string(tool->description()), std::string(tool->parameters())});
  return list;
}

class Conversation {
 public:
  explicit Conversation(const AgentLoop& loop) : loop_(loop), tools_(declarations(loop.tools)) {}

  Result<LoopEnd> run() {
    GYGES_CHECK(open(model::Role::system, loop_.system_prompt));
    GYGES_CHECK(open(model::Role::user, loop_.user_prompt));
    for (turn_ = 1; turn_ <= loop_.turns; ++turn_) {
      if (Clock::now() >= loop_.deadline) return time_is_up();
      auto reply = loop_.model.complete({messages_, tools_, loop_.seed, loop_.deadline});
      if (!reply) {
        if (Clock::now() >= loop_.deadline) return time_is_up();
        return LoopEnd{"error", printable(reply.error().line()), ""};
      }
      number_calls(*reply);
      GYGES_CHECK(loop_.transcript.message(turn_, reply->message, &*reply));
      messages_.push_back(reply->message);
      if (reply->message.tool_calls.empty()) return stopped(*reply);
      for (const auto& call : reply->message.tool_calls) {
        GYGES_TRY(std::optional<LoopEnd> end, handle(call));
        if (end) return std::move(*end);
      }
    }
    return LoopEnd{"turn_limit", "no report within " + std::to_string(loop_.turns) + " turns", ""};
  }

 private:
  Status open(model::Role role, const std::string& text) {
    model::Message message;
    message.role = role;
    message.content.push_back({model::Part::Kind::text, text});
    messages_.push_back(message);
    return loop_.transcript.message(0, message, nullptr);
  }

  // Ids are what the model's wire format joins results by; one that gives none, or the same twice,
  // gets one made.
  void number_calls(model::Reply& reply) {
    std::vector<std::string> taken;
    for (auto& call : reply.message.tool_calls) {
      call.call = ++calls_;
      bool twice = false;
      for (const auto& id : taken) twice = twice || id == call.id;
      if (call.id.empty() || call.id.size() > max_id_bytes || twice)
        call.id = "call_" + std::to_string(call.call);
      taken.push_back(call.id);
    }
  }

  [[nodiscard]] LoopEnd time_is_up() const {
    return {"time_limit", "the time of the episode is over", ""};
  }

  [[nodiscard]] static LoopEnd stopped(const model::Reply& reply) {
    std::string words = model::text_of(reply.message);
    switch (reply.stop_reason) {
      case model::StopReason::length:
        return {"agent_stopped", "a reply was cut at its length limit and holds no call", words};
      case model::StopReason::error:
        return {"agent_stopped", "the endpoint withheld a reply", words};
      default:
        return {"agent_stopped", "it ended without a call", words};
    }
  }

  tools::ToolResult execute(const model::ToolCall& call) {
    if (!call.fault.empty())
      return tools::error_result("arguments",
                                 "The arguments are not usable: " + printable(call.fault));
    bool offered = false;
    for (const auto& tool : tools_) offered = offered || tool.name == call.name;
    if (!offered)
      return tools::error_result("unknown_tool",
                                 "There is no tool named " + quoted(call.name) + ".");
    tools::ToolContext context{loop_.sandbox,      loop_.environment, loop_.home,        call.call,
                               loop_.tool_timeout, loop_.deadline,    loop_.output_bytes};
    return tools::call_tool(context, call.name, call.arguments);
  }

  Result<std::optional<LoopEnd>> handle(const model::ToolCall& call) {
    GYGES_CHECK(loop_.transcript.tool_requested(turn_, call));
    ToolDecision decision = loop_.approver.decide(call);
    GYGES_CHECK(loop_.transcript.tool_decided(call.call, decision.approved, decision.approver,
                                              decision.reason));
    tools::ToolResult result;
    if (decision.approved) {
      auto start = Clock::now();
      if (loop_.session != nullptr)
        GYGES_CHECK(loop_.session->tool_call_started(call.call, call.name.substr(0, max_id_bytes)));
      result = execute(call);
      if (loop_.session != nullptr) GYGES_CHECK(loop_.session->tool_call_ended(call.call));
      auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
      GYGES_CHECK(loop_.transcript.tool_executed(call.call,
                                                 static_cast<std::uint64_t>(took.count()), result));
    } else {
      result = tools::error_result("rejected", "The call was not approved: " + decision.reason);
    }
    if (result.report) return std::optional(LoopEnd{"submitted", "", *result.report});
    if (result.sandbox_lost) return std::optional(sandbox_end(result));
    model::Message answer;
    answer.role = model::Role::tool;
    answer.content.push_back({model::Part::Kind::text, result.output});
    answer.tool_call_id = call.id;
    answer.call = call.call;
    answer.tool_failed = result.failed();
    GYGES_CHECK(loop_.transcript.message(turn_, answer, nullptr));
    messages_.push_back(std::move(answer));
    return std::optional<LoopEnd>();
  }

  // The sandbox ends as a whole when its wall clock runs out; anything else is an error.
  [[nodiscard]] LoopEnd sandbox_end(const tools::ToolResult& result) const {
    for (const auto& hit : loop_.sandbox.limits_hit())
      if (hit.limit == "wall_seconds") return {"time_limit", hit.detail, ""};
    return {"error", result.error->message, ""};
  }

  const AgentLoop& loop_;
  std::vector<model::ToolDeclaration> tools_;
  std::vector<model::Message> messages_;
  std::uint32_t turn_ = 0;
  std::uint32_t calls_ = 0;
};

}  // namespace

LoopEnd run_agent_loop(const AgentLoop& loop) {
  auto result = Conversation(loop).run();
  LoopEnd end =
      result ? std::move(*result) : LoopEnd{"error", printable(result.error().line()), ""};
  if (auto written = loop.transcript.end(end.kind, end.report); !written && end.kind != "error")
    end = LoopEnd{"error", printable(written.error().line()), end.report};
  return end;
}

}  // namespace gyges::episode
