#include "agent_runtime/episode/agent_loop.h"

#include <algorithm>
#include <optional>
#include <set>

#include "agent_runtime/episode/budget.h"
#include "agent_runtime/episode/context_window.h"
#include "agent_runtime/episode/interruption.h"
#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/recorder.h"
#include "tools/tool_set.h"
#include "tools/tool_state.h"

namespace gyges::episode {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_id_bytes = 256;

std::vector<model::ToolDeclaration> declarations(const tools::ToolSet& tools) {
  std::vector<model::ToolDeclaration> list;
  for (const auto& tool : tools.specs())
    list.push_back({tool.name, tool.description, tool.parameters});
  return list;
}

std::string rationale_of(const model::Message& message) {
  std::string text;
  for (const auto& part : message.content) text += part.text + "\n";
  return text;
}

bool was_too_long(const model::ModelClient& model) {
  using Kind = model::ModelError::Kind;
  auto refusal = model.refusal();
  return refusal == Kind::context_length || refusal == Kind::too_large;
}

// The person whom the agent asks: the time of an answer is the person's and not the agent's, so
// that no limit of working time cuts a question short.
class WaitedForColleague final : public tools::Colleague {
 public:
  WaitedForColleague(const AgentLoop& loop, Budget& budget)
      : loop_(loop), budget_(budget), person_(loop.state.colleague) {
    if (person_ != nullptr) loop_.state.colleague = this;
  }
  ~WaitedForColleague() override { loop_.state.colleague = person_; }
  WaitedForColleague(const WaitedForColleague&) = delete;
  WaitedForColleague& operator=(const WaitedForColleague&) = delete;

  Result<std::optional<std::string>> ask(const tools::Question& question) override {
    auto begin = Clock::now();
    auto answer = person_->ask(
        {question.text,
         std::min(begin + std::chrono::seconds(loop_.limits.tool_seconds), loop_.deadline),
         question.cancel_fd});
    budget_.add_waited(Clock::now() - begin);
    return answer;
  }
  Status notify(std::string_view message) override { return person_->notify(message); }

 private:
  const AgentLoop& loop_;
  Budget& budget_;
  tools::Colleague* person_;
};

class Conversation {
 public:
  explicit Conversation(const AgentLoop& loop)
      : loop_(loop),
        tools_(declarations(loop.tools)),
        budget_(loop.limits),
        window_(loop.limits.context_tokens, tools_),
        person_(loop, budget_) {}

  Result<LoopEnd> run() {
    GYGES_CHECK(open(model::Role::system, loop_.system_prompt));
    GYGES_CHECK(open(model::Role::user, loop_.user_prompt));
    for (turn_ = 1;; ++turn_) {
      if (loop_.interruption.come()) return interrupted();
      if (Clock::now() >= loop_.deadline) return time_is_up();
      if (auto reached = budget_.before_reply()) return limited(*reached);
      GYGES_TRY(std::optional<LoopEnd> full, make_room());
      if (full) return std::move(*full);
      budget_.add_turn();
      model::Reply answered;
      GYGES_TRY(std::optional<LoopEnd> unanswered, ask(answered));
      if (unanswered) return std::move(*unanswered);
      model::Reply* reply = &answered;
      number_calls(*reply);
      GYGES_CHECK(loop_.transcript.message(turn_, reply->message, &*reply));
      messages_.push_back(reply->message);
      window_.counted(reply->usage, messages_);
      if (reply->message.tool_calls.empty()) return stopped(*reply);
      rationale_ = rationale_of(reply->message);
      for (const auto& call : reply->message.tool_calls) {
        GYGES_TRY(std::optional<LoopEnd> end, handle(call));
        if (end) return std::move(*end);
      }
    }
  }

  [[nodiscard]] const Totals& totals() const { return budget_.totals(); }

 private:
  Status open(model::Role role, const std::string& text) {
    model::Message message;
    message.role = role;
    message.content.push_back({model::Part::Kind::text, text});
    messages_.push_back(message);
    return loop_.transcript.message(0, message, nullptr);
  }

  // The model's next reply, or how the episode ends without one. What is too long for the endpoint
  // is asked again without the oldest outputs, as long as there are any.
  Result<std::optional<LoopEnd>> ask(model::Reply& reply) {
    for (;;) {
      auto asked = Clock::now();
      budget_.add_request();
      auto answer = loop_.model.complete(
          {messages_, tools_, loop_.seed, loop_.deadline, &loop_.interruption.cancellation()});
      budget_.add_waited(Clock::now() - asked);
      budget_.add_losses(loop_.model.losses());
      if (answer) {
        reply = std::move(*answer);
        budget_.add_reply(reply.usage, reply.cost);
        return std::optional<LoopEnd>();
      }
      if (loop_.interruption.come()) return std::optional(interrupted());
      if (Clock::now() >= loop_.deadline) return std::optional(time_is_up());
      std::string reason = printable(answer.error().line());
      if (!was_too_long(loop_.model)) return std::optional(LoopEnd{"error", reason, ""});
      ContextWindow::Cut cut = window_.refused(messages_);
      if (cut.calls.empty())
        return std::optional(limited({"context_limit", "context_tokens", reason}));
      GYGES_CHECK(
          loop_.transcript.context_cut(turn_, cut.estimated_tokens, window_.limit(), cut.calls));
    }
  }

  Result<std::optional<LoopEnd>> make_room() {
    ContextWindow::Cut cut = window_.fit(messages_);
    if (!cut.calls.empty())
      GYGES_CHECK(
          loop_.transcript.context_cut(turn_, cut.estimated_tokens, window_.limit(), cut.calls));
    if (cut.fits) return std::optional<LoopEnd>();
    return std::optional(
        limited({"context_limit", "context_tokens",
                 "the conversation is larger than " + std::to_string(window_.limit()) +
                     " tokens even without the outputs of earlier calls"}));
  }

  // Ids are what the model's wire format joins results by; one that gives none, or the same twice,
  // gets one made.
  void number_calls(model::Reply& reply) {
    std::set<std::string> given;
    for (const auto& call : reply.message.tool_calls) given.insert(call.id);
    std::set<std::string> taken;
    for (auto& call : reply.message.tool_calls) {
      call.call = ++calls_;
      if (call.id.empty() || call.id.size() > max_id_bytes || taken.contains(call.id)) {
        call.id = "call_" + std::to_string(call.call);
        while (given.contains(call.id) || taken.contains(call.id)) call.id += "_";
      }
      taken.insert(call.id);
    }
  }

  [[nodiscard]] static LoopEnd interrupted() { return {"error", interrupted_words, ""}; }

  [[nodiscard]] LoopEnd time_is_up() const {
    return limited({"time_limit", "wall_seconds", "the time of the episode is over"});
  }

  [[nodiscard]] LoopEnd limited(const ReachedLimit& reached) const {
    loop_.sandbox.note_limit({reached.name, reached.detail});
    return {reached.kind, reached.detail, ""};
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

  tools::ToolResult execute(const model::ToolCall& call, const std::string& arguments) {
    if (!call.fault.empty())
      return tools::error_result("arguments",
                                 "The arguments are not usable: " + printable(call.fault));
    tools::ToolContext context{loop_.sandbox,
                               loop_.environment,
                               loop_.home,
                               call.call,
                               std::chrono::seconds(loop_.limits.tool_seconds),
                               std::min(loop_.deadline, budget_.working_deadline()),
                               loop_.output_bytes,
                               loop_.store,
                               &loop_.state,
                               loop_.interruption.fd()};
    return loop_.tools.call(context, call.name, arguments);
  }

  Result<tools::ToolResult> execute_and_record(const model::ToolCall& call,
                                               const std::string& arguments) {
    auto start = Clock::now();
    if (loop_.session != nullptr)
      GYGES_CHECK(loop_.session->tool_call_started(call.call, call.name.substr(0, max_id_bytes)));
    tools::ToolResult result = execute(call, arguments);
    if (loop_.session != nullptr) GYGES_CHECK(loop_.session->tool_call_ended(call.call));
    auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start);
    budget_.add_output(result.output_total);
    GYGES_CHECK(loop_.transcript.tool_executed(call.call, static_cast<std::uint64_t>(took.count()),
                                               result));
    return result;
  }

  Result<std::optional<LoopEnd>> look(Moment moment, std::uint32_t call) {
    if (loop_.watcher == nullptr) return std::optional<LoopEnd>();
    auto begin = Clock::now();
    GYGES_TRY(std::optional<std::string> reason, loop_.watcher->look(moment, call));
    budget_.add_waited(Clock::now() - begin);
    // A monitor that was waited for no longer has no say in how the episode ends.
    if (loop_.interruption.come()) return std::optional(interrupted());
    if (!reason) return std::optional<LoopEnd>();
    return std::optional(LoopEnd{"terminated", printable(*reason), ""});
  }

  // The gate decides, which may take a person or a model; that is not the agent's working time.
  Result<ToolDecision> decide(const model::ToolCall& call) {
    auto begin = Clock::now();
    GYGES_TRY(ToolDecision decision,
              loop_.approver.decide({call, rationale_, budget_.amounts(), loop_.deadline}));
    budget_.add_waited(Clock::now() - begin);
    return decision;
  }

  Result<std::optional<LoopEnd>> handle(const model::ToolCall& call) {
    // One reply may hold any number of calls, and each of them may wait for somebody.
    if (loop_.interruption.come()) return std::optional(interrupted());
    if (Clock::now() >= loop_.deadline) return std::optional(time_is_up());
    if (auto reached = budget_.before_call()) return std::optional(limited(*reached));
    GYGES_CHECK(loop_.transcript.tool_requested(turn_, call));
    GYGES_TRY(std::optional<LoopEnd> halt, look(Moment::before, call.call));
    if (halt) return halt;
    GYGES_TRY(ToolDecision decision, decide(call));
    GYGES_CHECK(loop_.transcript.tool_decided(call.call, decision));
    budget_.add_call();
    if (loop_.interruption.come()) return std::optional(interrupted());
    if (decision.action == ToolDecision::Action::terminate)
      return std::optional(LoopEnd{"terminated", decision.approver + ": " + decision.reason, ""});
    tools::ToolResult result;
    if (decision.executes()) {
      bool modified = decision.action == ToolDecision::Action::modify;
      GYGES_TRY(result, execute_and_record(call, modified ? decision.arguments : call.arguments));
    } else {
      bool shown = decision.show_reason && !decision.reason.empty();
      result = tools::error_result(
          "rejected", "The call was not approved" + (shown ? ": " + decision.reason : "."));
    }
    GYGES_TRY(halt, decision.executes() ? look(Moment::after, call.call)
                                        : Result<std::optional<LoopEnd>>(std::nullopt));
    if (halt) return halt;
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
  Budget budget_;
  ContextWindow window_;
  WaitedForColleague person_;
  std::string rationale_;
  std::uint32_t turn_ = 0;
  std::uint32_t calls_ = 0;
};

}  // namespace

LoopEnd run_agent_loop(const AgentLoop& loop) {
  Conversation conversation(loop);
  auto result = conversation.run();
  LoopEnd end =
      result ? std::move(*result) : LoopEnd{"error", printable(result.error().line()), ""};
  end.totals = conversation.totals();
  auto written = loop.transcript.end(end.kind, end.report);
  if (written && loop.watcher != nullptr && result)
    if (auto looked = loop.watcher->look(Moment::end, 0); !looked && end.kind != "error")
      end = LoopEnd{"error", printable(looked.error().line()), end.report, end.totals};
  if (!written && end.kind != "error")
    end = LoopEnd{"error", printable(written.error().line()), end.report, end.totals};
  return end;
}

}  // namespace gyges::episode
