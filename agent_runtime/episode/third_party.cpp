#include "agent_runtime/episode/third_party.h"

#include "agent_runtime/episode/interruption.h"
#include "agent_runtime/gateway/endpoint_behind_wire.h"
#include "agent_runtime/gateway/script_behind_wire.h"
#include "agent_runtime/gateway/trace_processes.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/endpoint.h"
#include "agent_runtime/scaffold/agent_process.h"
#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/recorder.h"
#include "tools/tool_state.h"

namespace gyges::episode {
namespace {

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  auto begin = text.rfind('\n');
  if (begin != std::string::npos) text.erase(0, begin + 1);
  return printable(std::string_view(text).substr(0, 500));
}

std::string how_it_ended(const scaffold::AgentEnd& agent) {
  if (!agent.end) return "the program was killed";
  std::string words = agent.end->signal != 0
                          ? "the program was ended by signal " + std::to_string(agent.end->signal)
                          : "the program ended with status " + std::to_string(agent.end->exit_code);
  std::string said = last_line(agent.errors.empty() ? agent.output : agent.errors);
  return said.empty() ? words : words + ": " + said;
}

LoopEnd end_of(const scaffold::AgentEnd& agent, const gateway::ModelEndpoint::End& model,
               isolation::Sandbox& sandbox, const ScenarioLimits& limits) {
  std::string report = model.last_words.empty() ? agent.output : model.last_words;
  auto limited = [&](const ReachedLimit& reached) {
    sandbox.note_limit({reached.name, reached.detail});
    return LoopEnd{reached.kind, reached.detail, report};
  };
  // A gate or a monitor that was waited for no longer has no say in how the episode ends.
  if (agent.interrupted) return {"error", interrupted_words, report};
  if (model.terminated) return {"terminated", printable(*model.terminated), report};
  if (model.failure) return {"error", printable(model.failure->line()), report};
  if (model.limit) return limited(*model.limit);
  if (agent.lost) {
    for (const auto& hit : sandbox.limits_hit())
      if (hit.limit == "wall_seconds") return {"time_limit", hit.detail, report};
    return {"error", printable(agent.lost->line()), report};
  }
  if (agent.end && !agent.end->start_error.empty())
    return {"error", "start agent: " + printable(agent.end->start_error), report};
  if (agent.worked_out)
    return limited({"working_time_limit", "working_seconds",
                    "worked for " + std::to_string(limits.working_seconds) +
                        " seconds, without those in which the model was waited for"});
  if (agent.timed_out) return {"time_limit", "the time of the episode is over", report};
  bool well = agent.end && agent.end->exit_code == 0 && agent.end->signal == 0;
  if (model.too_large) return limited({"context_limit", "context_tokens", *model.too_large});
  if (model.model_failure && (!well || model.last_words.empty()))
    return {"error", printable(model.model_failure->line()), report};
  if (!well) return {"agent_stopped", how_it_ended(agent), report};
  if (model.exchanges == 0)
    return {"agent_stopped", "the program ended without having asked its model", report};
  return {"submitted", "", report};
}

std::vector<gateway::ServerProgram> programs_of(const scaffold::Scaffold& scaffold) {
  std::vector<gateway::ServerProgram> programs;
  for (const auto& server : scaffold.servers) programs.push_back({server.name, server.command});
  return programs;
}

// The person whom the agent asks: the time of an answer is not the agent's.
class PersonWaitedFor final : public tools::Colleague {
 public:
  PersonWaitedFor(tools::Colleague& person, gateway::ModelEndpoint& endpoint)
      : person_(person), endpoint_(endpoint) {}
  Result<std::optional<std::string>> ask(const tools::Question& question) override {
    endpoint_.waits_for_person(true);
    auto answer = person_.ask(question);
    endpoint_.waits_for_person(false);
    return answer;
  }
  Status notify(std::string_view message) override { return person_.notify(message); }

 private:
  tools::Colleague& person_;
  gateway::ModelEndpoint& endpoint_;
};

}  // namespace

ThirdParty::ThirdParty(const model::AgentFile& agent, scaffold::Scaffold scaffold)
    : agent_(agent),
      scaffold_(std::move(scaffold)),
      server_([this](const gateway::HttpRequest& request, gateway::Answer& answer) {
        gateway::ModelEndpoint* endpoint = nullptr;
        gateway::ToolEndpoint* tools = nullptr;
        {
          std::scoped_lock lock(mutex_);
          endpoint = endpoint_;
          tools = tools_;
        }
        if (tools != nullptr && tools->serves(request)) return tools->handle(request, answer);
        return endpoint != nullptr && endpoint->handle(request, answer);
      }) {
  book_.expect(programs_of(scaffold_));
}

Result<std::unique_ptr<ThirdParty>> ThirdParty::create(const model::AgentFile& agent,
                                                       scaffold::Scaffold scaffold) {
  if (model::find_dialect(scaffold.dialect.name) == nullptr)
    return fail("prepare agent", scaffold.profile.name,
                "this build does not speak " + quoted(scaffold.dialect.name),
                "choose another dialect of the profile");
  return std::unique_ptr<ThirdParty>(new ThirdParty(agent, std::move(scaffold)));
}

Result<gateway::Complete> ThirdParty::model_for(const ThirdPartyRun& run,
                                                gateway::EndpointOptions& options) const {
  if (agent_.script) {
    GYGES_TRY(auto script,
              gateway::ScriptBehindWire::create(agent_.script, run.seed, scaffold_.profile.shell,
                                                scaffold_.profile.failed, scaffold_.servers));
    return gateway::Complete(
        [script = std::move(script)](gateway::Ask& ask) { return script.complete(ask.request); });
  }
  auto deadline = run.deadline;
  if (agent_.recording) {
    GYGES_TRY(auto client, model::make_model(agent_, run.seed));
    std::shared_ptr<model::ModelClient> replay = std::move(client);
    auto mutex = std::make_shared<std::mutex>();
    return gateway::Complete([replay, mutex, seed = run.seed, deadline](gateway::Ask& ask) {
      std::scoped_lock lock(*mutex);
      return replay->complete({ask.request.messages, ask.request.tools, seed, deadline});
    });
  }
  GYGES_TRY(model::EndpointConfig behind, model::endpoint_of(agent_));
  return gateway::endpoint_behind_wire(std::move(behind), deadline, options);
}

Result<std::unique_ptr<gateway::ToolEndpoint>> ThirdParty::tools_for(
    const ThirdPartyRun& run, gateway::ModelEndpoint& endpoint) const {
  if (!scaffold_.tools) return std::unique_ptr<gateway::ToolEndpoint>();
  GYGES_TRY(tools::ToolSet made, tools::ToolSet::make(run.tools));
  auto set = std::make_shared<const tools::ToolSet>(std::move(made));
  // What each call may know of the others: where mail is, and whom to ask.
  auto state = std::make_shared<tools::ToolState>();
  std::shared_ptr<PersonWaitedFor> colleague;
  if (run.state != nullptr) {
    state->mail = run.state->mail;
    if (run.state->colleague != nullptr)
      colleague = std::make_shared<PersonWaitedFor>(*run.state->colleague, endpoint);
    state->colleague = colleague.get();
  }
  auto run_tool = [&run, set, state, colleague](const gateway::ToolRun& call) {
    tools::ToolContext context{.sandbox = run.sandbox};
    context.state = state.get();
    context.environment = run.environment;
    context.home = run.home;
    context.call = call.call;
    context.timeout = std::chrono::seconds(run.limits.tool_seconds);
    context.deadline = run.deadline;
    context.output_bytes = run.output_bytes;
    context.store = run.store;
    context.cancel_fd = call.cancel_fd;
    return set->call(context, call.tool, call.arguments);
  };
  return std::make_unique<gateway::ToolEndpoint>(*scaffold_.tools, set->specs(), run_tool,
                                                 endpoint);
}

Result<LoopEnd> ThirdParty::run_to_end(const ThirdPartyRun& run) {
  gateway::EndpointOptions options;
  options.dialect = model::find_dialect(scaffold_.dialect.name);
  options.key = scaffold_.key;
  options.models = {scaffold_.model};
  options.shell = scaffold_.profile.shell;
  options.servers = scaffold_.servers;
  options.remove_hosted_tools = agent_.remove_hosted_tools;
  options.limits = run.limits;
  options.book = &book_;
  options.oversight = run.oversight;
  options.oversight.deadline = run.deadline;
  if (run.session != nullptr)
    options.mark = [&run](std::uint32_t call, const std::string& tool, bool begins) {
      // A mark that cannot be written shows in the session's end.
      if (begins)
        (void)run.session->tool_call_started(call, printable(tool));
      else
        (void)run.session->tool_call_ended(call);
    };
  GYGES_TRY(gateway::Complete complete, model_for(run, options));
  GYGES_TRY(auto endpoint, gateway::ModelEndpoint::create(std::move(options), std::move(complete),
                                                          run.transcript, run.bundle));
  GYGES_TRY(std::unique_ptr<gateway::ToolEndpoint> tools, tools_for(run, *endpoint));
  {
    std::scoped_lock lock(mutex_);
    endpoint_ = endpoint.get();
    tools_ = tools.get();
  }
  scaffold::AgentCommand command;
  command.argv = scaffold_.argv;
  command.environment = run.environment;
  command.directory = run.home;
  command.output_bytes = run.output_bytes;
  command.deadline = run.deadline;
  command.stop_fd = endpoint->stop_fd();
  command.interrupt_fd = run.interrupt_fd;
  if (run.limits.working_seconds != 0)
    command.working_deadline = [&endpoint] { return endpoint->working_deadline(); };
  scaffold::AgentEnd agent = scaffold::run_agent(run.sandbox, command);
  server_.stop();  // no handler runs after this
  {
    std::scoped_lock lock(mutex_);
    endpoint_ = nullptr;
    tools_ = nullptr;
  }
  gateway::ModelEndpoint::End model = endpoint->end();
  calls_ = std::move(model.calls);
  if (std::string fault = server_.fault(); !fault.empty())
    return LoopEnd{"error", "the egress gateway is not to be trusted any more: " + fault, "",
                   model.totals};
  LoopEnd end = end_of(agent, model, run.sandbox, run.limits);
  end.totals = std::move(model.totals);
  return end;
}

LoopEnd ThirdParty::run(const ThirdPartyRun& run) {
  auto result = run_to_end(run);
  LoopEnd end =
      result ? std::move(*result) : LoopEnd{"error", printable(result.error().line()), ""};
  if (auto written = run.transcript.end(end.kind, end.report); !written && end.kind != "error")
    end = LoopEnd{"error", printable(written.error().line()), end.report, end.totals};
  return end;
}

Status ThirdParty::join(const std::filesystem::path& bundle) const {
  GYGES_TRY([[maybe_unused]] auto summary,
            gateway::write_processes(bundle, calls_, programs_of(scaffold_)));
  return ok();
}

}  // namespace gyges::episode
