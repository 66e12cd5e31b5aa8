#include "sandbox/run/command_run.h"

#include <sys/stat.h>

#include <chrono>
#include <initializer_list>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "sandbox/cues/internet.h"
#include "sandbox/cues/persona.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/degradation.h"
#include "sandbox/isolation/limit_signs.h"
#include "sandbox/network/flow_writer.h"
#include "sandbox/network/gateway_process.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox/run/flow_attribution.h"
#include "sandbox/run/identity_files.h"
#include "sandbox/run/workspace.h"

namespace gyges::run {
namespace {

using isolation::Filesystem;
using isolation::Mount;
using nlohmann::json;

bool below(const std::string& path, const std::string& directory) {
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

// Masks files and directories of the host at every place where a mount shows them: where a mount's
// source is one of the directories that lead to the file, by whatever name.
void hide(std::initializer_list<std::filesystem::path> files, isolation::Policy& policy) {
  struct Step {
    struct stat info {};
    std::string below;  // the rest of the path, with a slash before it or empty
  };
  std::vector<Step> steps;
  std::error_code ignored;
  for (const std::filesystem::path& file : files) {
    if (file.empty()) continue;
    std::string path = std::filesystem::weakly_canonical(file, ignored).string();
    for (std::size_t length = path.size(); length != std::string::npos && !path.empty();
         length = length > 0 ? path.rfind('/', length - 1) : std::string::npos) {
      Step step;
      step.below = path.substr(length);
      if (::stat(length > 0 ? path.substr(0, length).c_str() : "/", &step.info) == 0)
        steps.push_back(std::move(step));
    }
  }
  for (const Mount& mount : policy.filesystem.mounts) {
    const std::string& source = mount.source.empty() ? mount.target : mount.source;
    struct stat info {};
    if (mount.kind == Mount::Kind::fresh || ::stat(source.c_str(), &info) != 0) continue;
    for (const Step& step : steps)
      if (step.info.st_dev == info.st_dev && step.info.st_ino == info.st_ino)
        policy.filesystem.masked.push_back(mount.target + step.below);
  }
}

// A persona brings its own home, logs and configuration: its files take the place of mounts of the
// same path, and directories at the root that hold some of them become fresh ones.
void make_room(const std::vector<isolation::SeedFile>& files, isolation::Policy& policy) {
  auto& mounts = policy.filesystem.mounts;
  auto needs_room = [&](const std::string& path) {
    const Mount* deepest = nullptr;
    for (const Mount& mount : mounts)
      if (below(path, mount.target) &&
          (deepest == nullptr || mount.target.size() > deepest->target.size()))
        deepest = &mount;
    return deepest == nullptr || deepest->kind == Mount::Kind::read_only;
  };
  auto add = [&](const std::string& path, bool agent_owned) {
    if (!needs_room(path)) return;
    Mount mount;
    mount.kind = Mount::Kind::fresh;
    mount.target = path.substr(0, path.find('/', 1));
    mount.agent_owned = agent_owned;
    std::erase_if(mounts, [&](const Mount& other) { return below(other.target, mount.target); });
    mounts.push_back(std::move(mount));
  };
  for (const isolation::SeedFile& file : files)
    std::erase_if(mounts, [&](const Mount& mount) {
      return mount.kind == Mount::Kind::read_only && mount.target == file.path;
    });
  for (const isolation::SeedFile& file : files) add(file.path, false);
  add(policy.identity.home, true);
}

struct PersonaRecord {
  std::string name;
  std::string sha256;
};

// Puts a persona's identity, files and internet into the policy and the sandbox.
Result<PersonaRecord> add_persona(const std::string& name, std::uint64_t seed,
                                  isolation::Policy& policy, isolation::SandboxSpec& spec) {
  GYGES_TRY(cues::Persona persona, cues::load_persona(name));
  cues::TemplateContext context;
  context.day = cues::today();
  context.seed = seed;
  cues::add_persona_values(persona, context);
  GYGES_TRY(cues::PersonaWorld world, cues::make_persona_world(persona, context));
  cues::apply_persona(world, policy);
  spec.seed = std::move(world.seed);
  make_room(spec.seed, policy);
  if (policy.network.mode == network::NetworkPolicy::Mode::gateway) {
    GYGES_TRY(cues::PreparedInternet internet, cues::prepare_internet(persona, context));
    GYGES_CHECK(cues::apply_internet(internet, persona, policy, spec.seed));
    spec.packed_world = std::move(internet.packed);
  }
  return PersonaRecord{persona.name, persona.sha256};
}

class CommandRun {
 public:
  CommandRun(const CommandRunRequest& request, recorder::Recorder* recorder)
      : request_(request), recorder_(recorder), policy_(request.policy) {}

  Result<CommandRunOutcome> run() {
    if (policy_.network.mode != network::NetworkPolicy::Mode::none)
      network::GatewayProcess::prepare();
    outcome_.run_id = recorder::new_run_id();
    started_at_ = recorder::utc_timestamp();
    if (request_.persona) {
      GYGES_TRY(persona_, add_persona(*request_.persona, request_.seed, policy_, spec_));
    } else {
      spec_.seed = identity_files(policy_);
    }
    add_resolver_file(policy_, spec_.seed);
    GYGES_CHECK(add_workspace(request_.workspace, policy_));
    if (std::error_code ignored;
        policy_.filesystem.workspace != Filesystem::Workspace::none && !request_.out.empty() &&
        std::filesystem::weakly_canonical(request_.out, ignored) == request_.workspace)
      return fail("make bundle", request_.out.string(), "it is the directory the command works in",
                  "name another with --out DIR or --workspace DIR");
    if (!request_.out.empty()) {
      GYGES_TRY(recorder::BundleWriter bundle, recorder::BundleWriter::create(request_.out));
      bundle_ = std::move(bundle);
    }
    // Nobody inside shall sign records, read what other runs there were, or read the record of this
    // one, let alone write to it where the policy lets it write to the host.
    recorder::SealPlaces places = recorder::SealPlaces::from_environment();
    hide({places.key, places.ledger, request_.out}, policy_);
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
    isolation::Command command;
    command.argv = request_.argv;
    command.environment = isolation::command_environment(policy_);
    if (policy_.filesystem.workspace != Filesystem::Workspace::none)
      command.directory = request_.workspace.string();
    RelayStreams streams = request_.streams;
    streams.output_limit = policy_.limits.output_bytes;
    std::optional<Error> lost;
    streams.lost = &lost;
    ran_ = true;
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
    GYGES_TRY(isolation::SandboxEnd ended, sandbox->stop(contents));
    outcome_.limits_hit = ended.limits_hit;
    if (flows_) GYGES_CHECK(flows_->finish());
    if (!ended.network_failure.empty())
      outcome_.warnings.push_back("the record of the network is incomplete: " +
                                  printable(ended.network_failure));
    if (session) {
      GYGES_TRY(outcome_.coverage, session->close());
      isolation::add_limits_of_record(policy_.limits, outcome_.coverage->signs,
                                      outcome_.limits_hit);
      if (flows_) attribute();
    }
    duration_ = std::chrono::steady_clock::now() - begin;
    if (bundle_) GYGES_CHECK(seal(ended));
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
    GYGES_CHECK(isolation::write_changes(bundle_->directory(), ended));
    return bundle_->finish(document());
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
        {"persona",
         persona_ ? json{{"name", persona_->name}, {"sha256", persona_->sha256}} : json()},
        {"host", recorder::host_facts()},
        {"exit", exit_document()},
        {"limits_hit", limits},
        {"coverage", coverage ? recorder::coverage_to_json(*coverage) : json()},
        {"lost", coverage ? coverage->counters.lost : 0},
        {"observables", nullptr},
        {"enforced",
         {{"landlock", enforcement_.landlock},
          {"memory_bytes", enforcement_.memory},
          {"processes", enforcement_.processes}}},
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

Result<CommandRunOutcome> run_command(const CommandRunRequest& request,
                                      recorder::Recorder* recorder) {
  return CommandRun(request, recorder).run();
}

}  // namespace gyges::run
