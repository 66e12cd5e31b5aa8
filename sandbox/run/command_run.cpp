#include "sandbox/run/command_run.h"

#include <chrono>
#include <future>
#include <memory>

#include "base/aside.h"
#include "base/crypto.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/degradation.h"
#include "sandbox/isolation/limit_signs.h"
#include "sandbox/network/flow_writer.h"
#include "sandbox/network/gateway_process.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/syscall_table.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox/run/flow_attribution.h"
#include "sandbox/run/run_inputs.h"

namespace gyges::run {
namespace {

using isolation::Filesystem;
using nlohmann::json;

// What the record's end needs and is the same for every run is made while the command runs.
std::future<void> prepare_sealing() {
  return aside([] {
    warm_crypto();
    static_cast<void>(prepare_schema("run"));
    static_cast<void>(recorder::find_syscall(recorder::Abi::x86_64, 0));
  });
}

}  // namespace

std::future<void> load_ahead() {
  return aside([] { static_cast<void>(load_crypto()); });
}

namespace {

class CommandRun {
 public:
  CommandRun(const CommandRunRequest& request, recorder::Recorder* recorder)
      : request_(request), recorder_(recorder), policy_(request.policy) {}

  Result<CommandRunOutcome> run() {
    if (policy_.network.mode != network::NetworkPolicy::Mode::none)
      network::GatewayProcess::prepare();
    // A record that could not be sealed shall fail before anything is made.
    if (!request_.out.empty()) GYGES_CHECK(load_crypto());
    outcome_.run_id = recorder::new_run_id();
    started_at_ = recorder::utc_timestamp();
    GYGES_TRY(RunInputs inputs,
              make_run_inputs(std::move(policy_), request_.persona, request_.seed, request_.as_of,
                              request_.workspace, request_.out, {}, true));
    policy_ = std::move(inputs.policy);
    spec_.seed = std::move(inputs.seed);
    spec_.packed_world = std::move(inputs.packed_world);
    spec_.disguise = std::move(inputs.disguise);
    persona_ = std::move(inputs.persona);
    if (!request_.out.empty()) {
      GYGES_TRY(recorder::BundleWriter bundle, recorder::BundleWriter::create(request_.out));
      bundle_ = std::move(bundle);
    }
    auto done = execute();
    if (!done && bundle_ && !ran_) discard();
    GYGES_CHECK(std::move(done));
    return std::move(outcome_);
  }

 private:
  Status execute() {
    std::unique_ptr<recorder::Session> session;
    if (recorder_ != nullptr && bundle_) {
      recorder::SessionOptions options;
      options.trace_file = bundle_->trace_file();
      options.buffer_bytes = policy_.recorder.buffer_bytes;
      options.contents = recorder::content_bits(policy_.recorder.contents);
      options.content_bytes = policy_.recorder.content_bytes;
      GYGES_TRY(session, recorder_->start(options));
    }
    auto begin = std::chrono::steady_clock::now();
    GYGES_CHECK(open_flows());
    spec_.policy = policy_;
    spec_.session = session.get();
    spec_.terminal = request_.streams.terminal;
    spec_.allow_degraded = request_.allow_degraded;
    GYGES_TRY(std::unique_ptr<isolation::Sandbox> sandbox, isolation::Sandbox::start(spec_));
    if (session) GYGES_CHECK(session->wait_until_open());
    enforcement_ = sandbox->enforcement();
    for (const std::string& name : enforcement_.degraded)
      outcome_.warnings.push_back("degraded: " + isolation::degradation_words(name));
    for (const std::string& step : enforcement_.unhidden)
      outcome_.warnings.push_back("not hidden: " + step);
    isolation::Command command;
    command.argv = request_.argv;
    command.environment = isolation::command_environment(policy_);
    command.last = true;
    if (policy_.filesystem.workspace != Filesystem::Workspace::none)
      command.directory = request_.workspace.string();
    RelayStreams streams = request_.streams;
    streams.output_limit = policy_.limits.output_bytes;
    std::optional<Error> lost;
    streams.lost = &lost;
    ran_ = true;
    const std::future<void> preparation = bundle_ ? prepare_sealing() : std::future<void>();
    auto end = run_relayed(*sandbox, std::move(command), streams);
    // Even when the relay failed the run happened: collect, seal, and say what went wrong.
    if (end)
      outcome_.end = *end;
    else
      failure_ = end.error();
    if (lost)
      outcome_.warnings.push_back("output of the command was lost: " + printable(lost->line()));
    std::string contents;
    if (bundle_) {
      GYGES_TRY(contents, isolation::contents_directory(bundle_->directory()));
    }
    isolation::SandboxStop how;
    how.collect = bundle_.has_value();
    how.process_ends = request_.process_ends;
    GYGES_TRY(isolation::SandboxEnd ended, sandbox->stop(contents, how));
    outcome_.limits_hit = ended.limits_hit;
    std::future<Status> changes;
    if (bundle_) {
      const auto write = [&] { return isolation::write_changes(bundle_->directory(), ended); };
      // Brought to the disk beside the trace: one wait for it instead of two.
      changes = session ? aside(write) : std::async(std::launch::deferred, write);
    }
    if (flows_) GYGES_CHECK(flows_->finish());
    if (!ended.network_ports.empty()) outcome_.warnings.push_back(printable(ended.network_ports));
    if (ended.network_copies) outcome_.warnings.emplace_back(isolation::copied_network);
    if (!ended.network_failure.empty())
      outcome_.warnings.push_back("the record of the network is incomplete: " +
                                  printable(ended.network_failure));
    if (session) {
      GYGES_TRY(outcome_.coverage, session->close());
      if (!ended.network_ports.empty())
        outcome_.coverage->degraded.push_back(printable(ended.network_ports));
      isolation::add_limits_of_record(policy_.limits, outcome_.coverage->signs,
                                      outcome_.limits_hit);
      if (flows_) attribute();
    }
    duration_ = std::chrono::steady_clock::now() - begin;
    if (bundle_) {
      GYGES_CHECK(changes.get());
      GYGES_CHECK(seal(ended));
    }
    if (failure_ && outcome_.limits_hit.empty()) return tl::unexpected<Error>(*failure_);
    return ok();
  }

  Status open_flows() {
    if (policy_.network.mode == network::NetworkPolicy::Mode::none || !bundle_) return ok();
    GYGES_TRY(network::FlowWriter writer, network::FlowWriter::create(bundle_->directory()));
    flows_ = std::move(writer);
    spec_.flows = [this](network::Flow flow) { return flows_->write(std::move(flow)); };
    return ok();
  }

  // Without it the flows still stand, and say "none".
  void attribute() {
    auto done = attribute_flows(bundle_->directory());
    if (!done)
      outcome_.warnings.push_back(
          "flows could not be joined with the processes that caused them: " +
          printable(done.error().line()));
  }

  // A run that could not be started leaves no bundle that looks like one. What did run stays as far
  // as it was recorded; without a seal it does not pass for whole.
  void discard() const {
    std::error_code ignored;
    std::filesystem::remove_all(bundle_->directory(), ignored);
  }

  Status seal(const isolation::SandboxEnd& ended) {
    if (!ended.changes_complete)
      outcome_.warnings.emplace_back(
          "the file changes are incomplete: the tree is larger than the limits of collection, or "
          "part of it could not be read");
    if (recorder_ == nullptr) outcome_.warnings.emplace_back("system calls were not recorded");
    if (outcome_.coverage && !outcome_.coverage->complete)
      outcome_.warnings.emplace_back("the record of system calls is incomplete; see coverage");
    GYGES_CHECK(bundle_->finish(document()));
    for (const std::string& lack : bundle_->omitted())
      outcome_.warnings.push_back("the seal lacks its " + lack);
    return ok();
  }

  [[nodiscard]] json exit_document() const {
    if (failure_)
      return {
          {"kind", "error"}, {"code", 0}, {"signal", 0}, {"reason", printable(failure_->line())}};
    const isolation::CommandEnd& end = outcome_.end;
    return {{"kind", end.signal != 0 ? "signaled" : "exited"},
            {"code", end.signal != 0 ? 0 : end.exit_code},
            {"signal", end.signal},
            {"reason", printable(end.start_error)}};
  }

  [[nodiscard]] json document() const {
    json limits = json::array();
    for (const auto& hit : outcome_.limits_hit)
      limits.push_back({{"limit", hit.limit}, {"detail", hit.detail}});
    json argv = json::array();
    for (const std::string& argument : request_.argv) argv.push_back(valid_utf8(argument));
    const auto& coverage = outcome_.coverage;
    return {
        {"$schema", "gyges/run.schema.json"},
        {"version", 1},
        {"run_id", outcome_.run_id},
        {"kind", "command"},
        {"started_at", started_at_},
        {"duration_ms", std::chrono::duration_cast<std::chrono::milliseconds>(duration_).count()},
        {"command", argv},
        {"scenario", nullptr},
        {"condition", json::object()},
        {"agent", nullptr},
        {"repeat", 0},
        {"seed", request_.seed},
        {"policy",
         {{"name", policy_.name},
          {"sha256", to_hex(sha256(isolation::policy_to_json(policy_).dump()))}}},
        {"persona", persona_ ? json{{"name", persona_->name},
                                    {"sha256", persona_->sha256},
                                    {"as_of", persona_->as_of}}
                             : json()},
        {"host", recorder::host_facts()},
        {"exit", exit_document()},
        {"limits_hit", limits},
        {"coverage", coverage ? recorder::coverage_to_json(*coverage) : json()},
        {"lost", coverage ? coverage->counters.lost : 0},
        {"observables", nullptr},
        {"enforced",
         {{"landlock", enforcement_.landlock},
          {"memory_bytes", enforcement_.memory},
          {"processes", enforcement_.processes},
          {"network", printable(enforcement_.network)}}},
        {"degraded", enforcement_.degraded},
        {"terminal", request_.streams.terminal},
        {"warnings", outcome_.warnings},
    };
  }

  const CommandRunRequest& request_;
  recorder::Recorder* recorder_;
  isolation::Policy policy_;
  isolation::SandboxSpec spec_;
  isolation::Enforcement enforcement_;
  std::optional<PersonaRecord> persona_;
  std::optional<recorder::BundleWriter> bundle_;
  std::optional<network::FlowWriter> flows_;
  std::optional<Error> failure_;
  bool ran_ = false;
  std::string started_at_;
  std::chrono::steady_clock::duration duration_{};
  CommandRunOutcome outcome_;
};

}  // namespace

Result<ComposedSandbox> compose_sandbox(const CommandRunRequest& request) {
  GYGES_TRY(RunInputs inputs, make_run_inputs(request.policy, request.persona, request.seed,
                                              request.as_of, request.workspace, {}));
  ComposedSandbox composed;
  if (inputs.policy.filesystem.workspace != Filesystem::Workspace::none)
    composed.directory = request.workspace.string();
  composed.environment = isolation::command_environment(inputs.policy);
  composed.spec.allow_degraded = request.allow_degraded;
  composed.spec.seed = std::move(inputs.seed);
  composed.spec.packed_world = std::move(inputs.packed_world);
  composed.spec.disguise = std::move(inputs.disguise);
  composed.spec.policy = std::move(inputs.policy);
  return composed;
}

Result<CommandRunOutcome> run_command(const CommandRunRequest& request,
                                      recorder::Recorder* recorder) {
  auto outcome = CommandRun(request, recorder).run();
  // Where it failed before its sandbox's start.
  isolation::Sandbox::drop_ahead();
  return outcome;
}

}  // namespace gyges::run
