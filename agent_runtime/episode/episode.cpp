#include "agent_runtime/episode/episode.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <set>

#include "agent_runtime/episode/agent_loop.h"
#include "agent_runtime/episode/interruption.h"
#include "agent_runtime/episode/reveal.h"
#include "agent_runtime/episode/run_document.h"
#include "agent_runtime/episode/scenario.h"
#include "agent_runtime/episode/scripted_colleague.h"
#include "agent_runtime/episode/third_party.h"
#include "agent_runtime/episode/tool_servers.h"
#include "agent_runtime/episode/view.h"
#include "agent_runtime/episode/world.h"
#include "agent_runtime/model/agent_file.h"
#include "agent_runtime/monitor/oversight.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/degradation.h"
#include "sandbox/isolation/limit_signs.h"
#include "sandbox/isolation/pool.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/network/flow_writer.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox/run/flow_attribution.h"
#include "tools/tool_set.h"

namespace gyges::episode {
namespace {

using Clock = std::chrono::steady_clock;

// The loop ends an episode at its deadline; the sandbox's own clock is the second line behind it.
constexpr std::uint64_t wall_margin_seconds = 15;

// Everything an episode needs before anything is started.
struct Prepared {
  Scenario scenario;
  model::AgentFile agent;
  cues::Persona persona;
  std::int64_t as_of = 0;  // of its world, seconds since 1970
  std::map<std::string, std::string> condition;
  World world;
  isolation::Policy policy;
  std::shared_ptr<const isolation::Disguise> disguise;
  std::unique_ptr<model::ModelClient> model;
  monitor::Oversight oversight;
  std::unique_ptr<ThirdParty> third_party;  // null: Gyges's own agent loop
};

isolation::Policy policy_of_run(isolation::Policy policy, const World& world,
                                const ScenarioLimits& limits) {
  cues::apply_persona(world.persona, policy);
  std::uint64_t wall = limits.wall_seconds + wall_margin_seconds;
  policy.limits.wall_seconds =
      policy.limits.wall_seconds == 0 ? wall : std::min(policy.limits.wall_seconds, wall);
  return policy;
}

monitor::OversightPlan oversight_of(const Prepared& prepared, const EpisodeRequest& request) {
  monitor::OversightPlan plan;
  plan.gate = request.gate.value_or(prepared.scenario.gate);
  plan.mode = request.gate_mode.empty() ? prepared.world.gate_mode : request.gate_mode;
  plan.monitors.assign(prepared.scenario.monitors.begin(), prepared.scenario.monitors.end());
  plan.monitors.insert(plan.monitors.end(), request.monitors.begin(), request.monitors.end());
  plan.seed = request.seed;
  plan.home = prepared.policy.identity.home;
  plan.person = request.person;
  return plan;
}

// The agent's name says who acted and what stood behind.
void choose_scaffold(const EpisodeRequest& request, model::AgentFile& agent) {
  if (!request.scaffold) return;
  agent.scaffold = {request.scaffold->profile, request.scaffold->dialect,
                    request.scaffold->command};
  agent.name = std::filesystem::path(request.scaffold->profile).stem().string() + "." + agent.name;
}

cues::TemplateContext context_of(const Prepared& prepared, std::uint64_t seed) {
  cues::TemplateContext context;
  context.as_of = prepared.as_of;
  context.day = cues::day_of(prepared.as_of);
  context.seed = seed;
  cues::add_persona_values(prepared.persona, context);
  return context;
}

// All but the agent's model: with `with_agent`, the world and the policy hold what a third-party
// agent needs.
Result<Prepared> prepare_world(const EpisodeRequest& request, bool with_agent) {
  Prepared prepared;
  GYGES_TRY(prepared.scenario, load_scenario(request.scenario));
  if (with_agent) {
    GYGES_TRY(prepared.agent, model::load_agent(request.agent));
    choose_scaffold(request, prepared.agent);
  }
  GYGES_TRY(prepared.persona, cues::load_persona(prepared.scenario.persona));
  cues::draw_hostname(prepared.persona, request.seed);
  GYGES_TRY(prepared.condition, complete_condition(prepared.scenario, request.condition));
  prepared.as_of = cues::this_minute();
  if (request.day) {
    GYGES_TRY(prepared.as_of, cues::parse_moment(*request.day));
  }
  const model::AgentFile::Scaffold& chosen = prepared.agent.scaffold;
  scaffold::ScaffoldRequest wanted{chosen.profile, chosen.dialect, "", chosen.command, {}};
  cues::TemplateContext context = context_of(prepared, request.seed);
  std::string sites;
  if (!chosen.profile.empty()) {
    wanted.tools = prepared.scenario.tool_host;
    GYGES_TRY(sites, scaffold::handed_out_sites(wanted, context));
  }
  GYGES_TRY(prepared.world, make_world(prepared.scenario, prepared.persona, prepared.condition,
                                       request.seed, prepared.as_of, sites));
  GYGES_TRY(isolation::Policy policy,
            isolation::load_policy(request.policy.value_or(prepared.scenario.policy)));
  GYGES_CHECK(check_against_policy(prepared.scenario, prepared.condition, policy));
  prepared.policy = policy_of_run(std::move(policy), prepared.world, prepared.scenario.limits);
  if (!chosen.profile.empty()) {
    wanted.servers = prepared.world.mcp_servers;
    GYGES_TRY(scaffold::Scaffold scaffold,
              scaffold::prepare_scaffold(wanted, context, prepared.world.system_prompt,
                                         prepared.world.user_prompt));
    scaffold::apply_scaffold(scaffold, prepared.policy);
    add_world_files(prepared.world, scaffold.files);
    GYGES_TRY(prepared.third_party, ThirdParty::create(prepared.agent, std::move(scaffold)));
  }
  GYGES_CHECK(cues::apply_internet(prepared.world.internet, prepared.persona, prepared.policy,
                                   prepared.world.files));
  GYGES_TRY(prepared.disguise,
            cues::make_disguise(prepared.persona, request.seed, prepared.policy, prepared.as_of));
  return prepared;
}

Result<Prepared> prepare(const EpisodeRequest& request) {
  GYGES_TRY(Prepared prepared, prepare_world(request, true));
  GYGES_TRY(prepared.model, model::make_model(prepared.agent, request.seed));
  GYGES_TRY(prepared.oversight, monitor::Oversight::load(oversight_of(prepared, request)));
  return prepared;
}

// Removes what a request that could not be started has already put into the bundle's directory.
void discard(const std::filesystem::path& out, bool existed) {
  std::error_code ignored;
  if (!existed) {
    std::filesystem::remove_all(out, ignored);
    return;
  }
  for (const auto& entry : std::filesystem::directory_iterator(out, ignored))
    std::filesystem::remove_all(entry.path(), ignored);
}

// Where the flows of a sandbox go, which may be there before the bundle is.
class FlowRoute {
 public:
  // `writer` is borrowed; it outlives the sandbox.
  void lead_to(network::FlowWriter& writer) {
    std::scoped_lock lock(mutex_);
    writer_ = &writer;
  }
  Status take(network::Flow flow) {
    std::scoped_lock lock(mutex_);
    if (writer_ == nullptr)
      return fail("record flow", flow.name, "the episode has not begun", "report this as a defect");
    return writer_->write(std::move(flow));
  }

 private:
  std::mutex mutex_;
  network::FlowWriter* writer_ = nullptr;
};

bool has_network(const isolation::Policy& policy) {
  return policy.network.mode != network::NetworkPolicy::Mode::none;
}

isolation::SandboxSpec spec_of(const Prepared& prepared, const EpisodeRequest& request,
                               const std::shared_ptr<FlowRoute>& route) {
  isolation::SandboxSpec spec;
  spec.policy = prepared.policy;
  spec.seed = prepared.world.files;
  spec.disguise = prepared.disguise;
  spec.allow_degraded = request.allow_degraded;
  if (has_network(prepared.policy)) {
    spec.flows = [route](network::Flow flow) { return route->take(std::move(flow)); };
    spec.packed_world = prepared.world.internet.packed;
    if (ThirdParty* third_party = prepared.third_party.get())
      spec.outlet = [third_party] { return third_party->connect(); };
  }
  return spec;
}

}  // namespace

struct PreparedEpisode::Parts {
  EpisodeRequest request;
  Prepared prepared;
  std::shared_ptr<FlowRoute> route = std::make_shared<FlowRoute>();
  std::unique_ptr<isolation::SandboxPool> ahead;  // null: the sandbox is started with the episode
};

PreparedEpisode::PreparedEpisode(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PreparedEpisode::~PreparedEpisode() = default;
PreparedEpisode::PreparedEpisode(PreparedEpisode&& other) noexcept = default;
PreparedEpisode& PreparedEpisode::operator=(PreparedEpisode&& other) noexcept = default;

namespace {

using Parts = PreparedEpisode::Parts;

Result<std::unique_ptr<Parts>> make_parts(const EpisodeRequest& request) {
  auto parts = std::make_unique<Parts>();
  parts->request = request;
  auto prepared = prepare(request).with_context("prepare episode");
  if (!prepared) return tl::unexpected<Error>(std::move(prepared.error()));
  parts->prepared = std::move(*prepared);
  return parts;
}

struct Started {
  std::unique_ptr<recorder::Session> session;
  std::unique_ptr<network::FlowWriter> flows;  // null without network; the sandbox writes to it
  std::unique_ptr<isolation::Sandbox> sandbox;
  std::unique_ptr<Transcript> transcript;
  bool made_ahead = false;
};

Result<Started> start(Parts& parts, const recorder::BundleWriter& bundle,
                      recorder::Recorder* recorder) {
  const Prepared& prepared = parts.prepared;
  Started started;
  GYGES_TRY(Transcript transcript, Transcript::create(bundle.transcript_file()));
  started.transcript = std::make_unique<Transcript>(std::move(transcript));
  if (recorder != nullptr) {
    recorder::SessionOptions options;
    options.trace_file = bundle.trace_file();
    options.buffer_bytes = prepared.policy.recorder.buffer_bytes;
    options.contents = recorder::content_bits(prepared.policy.recorder.contents);
    options.content_bytes = prepared.policy.recorder.content_bytes;
    if (ThirdParty* third_party = prepared.third_party.get())
      options.call_of = [third_party](const recorder::ExecutedProgram& program) {
        return third_party->book().claim(program);
      };
    if (ThirdParty* third_party = prepared.third_party.get();
        third_party != nullptr && !third_party->scaffold().servers.empty())
      options.servers = {
          [third_party](const auto& program) { return third_party->book().server_of(program); },
          [third_party](std::uint32_t server, std::uint64_t time_ns) {
            return third_party->book().call_at(server, time_ns);
          }};
    GYGES_TRY(started.session, recorder->start(options));
  }
  if (has_network(prepared.policy)) {
    GYGES_TRY(network::FlowWriter flows, network::FlowWriter::create(bundle.directory()));
    started.flows = std::make_unique<network::FlowWriter>(std::move(flows));
    parts.route->lead_to(*started.flows);
  }
  if (parts.ahead) {
    GYGES_TRY(started.sandbox, parts.ahead->take(started.session.get()));
    started.made_ahead = parts.ahead->counts().warm == 1;
    return started;
  }
  isolation::SandboxSpec spec = spec_of(prepared, parts.request, parts.route);
  spec.session = started.session.get();
  GYGES_TRY(started.sandbox, isolation::Sandbox::start(spec));
  return started;
}

Result<LoopEnd> converse(Prepared& prepared, const EpisodeRequest& request,
                         const recorder::BundleWriter& bundle, Started& started,
                         const Interruption& interruption, nlohmann::json& servers_said) {
  AutoApprover automatic;
  GYGES_TRY(tools::ToolSet tools, tools::ToolSet::make(prepared.world.tools));
  GYGES_TRY(ScriptedColleague colleague, ScriptedColleague::make(prepared.world.answers));
  recorder::Session* session = started.session.get();
  GYGES_CHECK(prepared.oversight.begin(
      *started.transcript, bundle.trace_file(),
      [session] { return session != nullptr ? session->flush() : ok(); },
      &interruption.cancellation()));
  ToolApprover* approver = request.approver;
  if (approver == nullptr) approver = prepared.oversight.gate();
  tools::OutputStore store(bundle.directory() / "blobs");
  tools::ToolState state;
  state.mail = prepared.world.mail;
  if (request.colleague != nullptr)
    state.colleague = request.colleague;
  else if (!prepared.world.answers.empty())
    state.colleague = &colleague;
  const isolation::Policy& policy = prepared.policy;
  auto wall = std::chrono::seconds(prepared.scenario.limits.wall_seconds);
  if (policy.limits.wall_seconds != 0)
    wall = std::min(wall, std::chrono::seconds(policy.limits.wall_seconds));
  if (prepared.third_party) {
    ThirdPartyRun run{*started.sandbox,
                      started.session.get(),
                      *started.transcript,
                      bundle.directory(),
                      isolation::command_environment(policy),
                      policy.identity.home,
                      policy.limits.output_bytes,
                      prepared.scenario.limits,
                      Clock::now() + wall,
                      request.seed,
                      {approver,
                       prepared.oversight.watcher(),
                       approver != nullptr && !prepared.oversight.only_records(),
                       {}},
                      {},
                      &store,
                      &state,
                      interruption.fd()};
    if (const auto& host = prepared.third_party->scaffold().tools)
      for (const auto& tool : prepared.world.tools)
        if (std::find(host->tools.begin(), host->tools.end(), tool.name) != host->tools.end())
          run.tools.push_back(tool);
    return prepared.third_party->run(run);
  }
  std::vector<std::string> environment = isolation::command_environment(policy);
  ToolServers servers;
  GYGES_CHECK(servers.start(*started.sandbox, prepared.world.mcp_servers, environment,
                            policy.identity.home, tools));
  AgentLoop loop{*prepared.model,
                 *started.sandbox,
                 started.session.get(),
                 *started.transcript,
                 approver != nullptr ? *approver : automatic,
                 prepared.oversight.watcher(),
                 prepared.world.system_prompt,
                 prepared.world.user_prompt,
                 tools,
                 state,
                 &store,
                 std::move(environment),
                 policy.identity.home,
                 policy.limits.output_bytes,
                 prepared.scenario.limits,
                 Clock::now() + wall,
                 request.seed,
                 interruption};
  LoopEnd end = run_agent_loop(loop);
  servers_said = servers.to_json();
  return end;
}

// An error after the start becomes the end of the run; the first one is the one reported.
void note(RunDocument& run, const Error& error) {
  if (run.end.kind == "error") {
    run.warnings.push_back(printable(error.line()));
    return;
  }
  run.end.kind = "error";
  run.end.reason = printable(error.line());
}

void collect(const isolation::Limits& limits, Started& started,
             const recorder::BundleWriter& bundle, RunDocument& run) {
  auto contents = isolation::contents_directory(bundle.directory());
  if (!contents) note(run, contents.error());
  auto end = started.sandbox->stop(contents ? *contents : "");
  if (!end) {
    note(run, end.error());
    run.limits_hit = started.sandbox->limits_hit();
  } else {
    run.limits_hit = end->limits_hit;
    if (!end->network_ports.empty()) run.warnings.push_back(printable(end->network_ports));
    if (end->network_copies) run.warnings.emplace_back(isolation::copied_network);
    if (!end->network_failure.empty())
      run.warnings.push_back("the record of the network is incomplete: " +
                             printable(end->network_failure));
    if (!end->changes_complete)
      run.warnings.push_back(
          "the file changes are incomplete: the tree is larger than the limits of collection, or "
          "part of it could not be read");
    if (auto written = isolation::write_changes(bundle.directory(), *end); !written)
      note(run, written.error());
  }
  started.sandbox.reset();
  if (started.flows)
    if (auto finished = started.flows->finish(); !finished) note(run, finished.error());
  if (!started.session) return;
  auto coverage = started.session->close();
  if (coverage) {
    run.coverage = std::move(*coverage);
    if (end && !end->network_ports.empty())
      run.coverage->degraded.push_back(printable(end->network_ports));
    isolation::add_limits_of_record(limits, run.coverage->signs, run.limits_hit);
  } else {
    note(run, coverage.error());
  }
  if (!started.flows) return;
  // Without it the flows still stand, and say "none".
  if (auto joined = run::attribute_flows(bundle.directory()); !joined)
    run.warnings.push_back("flows could not be joined with the processes that caused them: " +
                           printable(joined.error().line()));
}

// Null where nothing was drawn.
nlohmann::json what_was_revealed(const World& world, const recorder::BundleWriter& bundle,
                                 bool recorded, RunDocument& run) {
  if (world.reveals.empty()) return {};
  if (!recorded || !run.coverage)
    return reveals_to_json(world.reveals, std::nullopt, "system calls were not recorded");
  auto readings = find_readings(bundle.trace_file(), world.reveals);
  if (readings) return reveals_to_json(world.reveals, *readings, "");
  run.warnings.push_back("the trace could not be searched for who read what was drawn: " +
                         printable(readings.error().line()));
  return reveals_to_json(world.reveals, std::nullopt, "the trace could not be read");
}

}  // namespace

Status check_episode(const EpisodeRequest& request) {
  GYGES_TRY([[maybe_unused]] Prepared prepared, prepare(request));
  return ok();
}

Result<EpisodeView> view_episode(const EpisodeRequest& request) {
  GYGES_TRY(Prepared prepared, prepare_world(request, false));
  EpisodeView view;
  view.persona = prepared.persona.name;
  view.persona_sha256 = prepared.persona.sha256;
  if (const auto& machine = prepared.persona.machine)
    view.claims = EpisodeView::Claims{machine->claims_vm, machine->claims_container};
  view.condition = prepared.condition;
  for (const auto& [name, factor] : prepared.scenario.factors)
    view.declared[name] = factor.observables;
  view.observables = observables_of(prepared.world, prepared.policy).items();
  view.environment = isolation::command_environment(prepared.policy);
  view.directory = prepared.policy.identity.home;
  view.sandbox = spec_of(prepared, request, std::make_shared<FlowRoute>());
  view.sandbox.flows = {};
  return view;
}

Result<PreparedEpisode> prepare_episode(const EpisodeRequest& request) {
  GYGES_TRY(auto parts, make_parts(request));
  parts->ahead = isolation::SandboxPool::ahead(spec_of(parts->prepared, request, parts->route),
                                               longest_sandbox_wait);
  return PreparedEpisode(std::move(parts));
}

Result<EpisodeOutcome> run_episode(const EpisodeRequest& request, recorder::Recorder* recorder) {
  GYGES_TRY(auto parts, make_parts(request));
  return run_episode(PreparedEpisode(std::move(parts)), recorder);
}

Result<EpisodeOutcome> run_episode(PreparedEpisode episode, recorder::Recorder* recorder) {
  const EpisodeRequest& request = episode.parts_->request;
  Prepared& prepared = episode.parts_->prepared;
  std::error_code ignored;
  bool existed = std::filesystem::exists(request.out, ignored);
  GYGES_TRY(recorder::BundleWriter bundle, recorder::BundleWriter::create(request.out));
  RunDocument run(request);
  auto begin = Clock::now();
  auto started = start(*episode.parts_, bundle, recorder);
  if (!started) {
    discard(request.out, existed);
    return tl::unexpected<Error>(std::move(started).with_context("start episode").error());
  }
  run.enforcement = started->sandbox->enforcement();
  for (const std::string& name : run.enforcement.degraded)
    run.warnings.push_back("degraded: " + isolation::degradation_words(name));
  for (const std::string& step : run.enforcement.unhidden)
    run.warnings.push_back("not hidden: " + printable(step));
  nlohmann::json servers;
  // Until the last look of the last monitor.
  Interruption interruption(request.interrupt_fd);
  auto end = converse(prepared, request, bundle, *started, interruption, servers);
  if (end)
    run.end = std::move(*end);
  else
    note(run, end.error());
  if (request.agent_ended) request.agent_ended();
  collect(prepared.policy.limits, *started, bundle, run);
  if (prepared.third_party && recorder != nullptr && run.coverage)
    if (auto joined = prepared.third_party->join(bundle.directory()); !joined)
      run.warnings.push_back("tool calls could not be joined with their processes: " +
                             printable(joined.error().line()));
  if (auto finished = prepared.oversight.finish(); !finished) note(run, finished.error());
  run.end.totals.monitors = prepared.oversight.used();
  run.duration = Clock::now() - begin;
  if (recorder == nullptr) run.warnings.emplace_back("system calls were not recorded");
  if (prepared.third_party && !prepared.third_party->scaffold().tools)
    for (const auto& tool : prepared.scenario.tool_host.tools)
      run.warnings.push_back("the scenario's tool " + tool +
                             " is not offered: the profile does not say how this agent is told of "
                             "an MCP server over HTTP (`mcp.remote`)");
  // What a third-party agent offers its model is its own affair, and stands in the exchanges.
  std::set<std::string> hidden;
  if (prepared.third_party) hidden = prepared.third_party->scaffold().prompt_files;
  std::optional<std::set<std::string>> offered;
  if (prepared.third_party) {
    const auto& host = prepared.third_party->scaffold().tools;
    offered = host ? std::set<std::string>(host->tools.begin(), host->tools.end())
                   : std::set<std::string>();
  }
  Observables observables = observables_of(prepared.world, prepared.policy, offered, hidden);
  if (std::string gate = prepared.oversight.observable(); !gate.empty())
    observables.add("gate", gate);
  nlohmann::json revealed = what_was_revealed(prepared.world, bundle, recorder != nullptr, run);
  run.as_of = prepared.as_of;
  nlohmann::json document = run.to_json(prepared.scenario, prepared.condition, prepared.agent,
                                        prepared.persona, prepared.policy, observables);
  document["oversight"] = prepared.oversight.to_json();
  if (!revealed.is_null()) document["reveals"] = std::move(revealed);
  if (!servers.is_null()) document["mcp_servers"] = std::move(servers);
  if (prepared.third_party) {
    const scaffold::Scaffold& scaffold = prepared.third_party->scaffold();
    nlohmann::json& said = document["agent"]["scaffold"];
    said = {{"profile", scaffold.profile.name},
            {"sha256", scaffold.profile.sha256},
            {"dialect", scaffold.dialect.name}};
    if (scaffold.profile.program)
      said["package"] = scaffold.profile.program->package + "@" + scaffold.profile.program->version;
  }
  GYGES_CHECK(bundle.finish(document));
  EpisodeOutcome outcome{run.run_id, run.end.kind,        run.end.reason, {},
                         0,          started->made_ahead, run.end.totals};
  for (const auto& hit : run.limits_hit) outcome.limits_hit.push_back(hit.limit);
  if (run.coverage) outcome.lost = run.coverage->counters.lost;
  return outcome;
}

}  // namespace gyges::episode
