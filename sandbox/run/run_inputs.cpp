#include "sandbox/run/run_inputs.h"

#include <sys/stat.h>

#include "base/aside.h"
#include "sandbox/cues/disguise.h"
#include "sandbox/cues/internet.h"
#include "sandbox/cues/persona.h"
#include "sandbox/isolation/shared_tree.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/run/identity_files.h"
#include "sandbox/run/workspace.h"

namespace gyges::run {
namespace {

using isolation::Mount;

bool below(const std::string& path, const std::string& directory) {
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

// Masks files and directories of the host at every place where a mount shows them: where a mount's
// source is one of the directories that lead to the file, by whatever name.
void hide(const std::vector<std::filesystem::path>& files, isolation::Policy& policy) {
  struct Step {
    struct stat info {};
    std::string below;  // the rest of the path, with a slash before it or empty
  };
  std::vector<Step> steps;
  std::error_code ignored;
  for (const std::filesystem::path& file : files) {
    if (file.empty()) continue;
    std::string path =
        std::filesystem::weakly_canonical(std::filesystem::absolute(file, ignored), ignored)
            .string();
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

// Puts a persona's identity, files and internet into the inputs.
Status add_persona(const std::string& name, std::uint64_t seed, std::int64_t as_of, bool launch,
                   RunInputs& inputs) {
  isolation::Policy& policy = inputs.policy;
  GYGES_TRY(cues::Persona persona, cues::load_persona(name));
  if (launch && persona.machine && policy.cues.init_name)
    isolation::Sandbox::start_ahead(persona.machine->init_arguments);
  cues::draw_hostname(persona, seed);
  cues::TemplateContext context;
  context.as_of = as_of == 0 ? cues::this_minute() : as_of;
  context.day = cues::day_of(context.as_of);
  context.seed = seed;
  cues::add_persona_values(persona, context);
  // Side by side: they take as long as each other, and share nothing but the persona.
  std::future<Result<cues::PersonaWorld>> making =
      aside([&] { return cues::make_persona_world(persona, context); });
  isolation::Policy dressed = policy;
  dressed.cues.uptime_seconds = persona.uptime_seconds;
  auto disguise = cues::make_disguise(persona, seed, dressed, context.as_of);
  GYGES_TRY(cues::PersonaWorld world, making.get());
  GYGES_TRY(inputs.disguise, std::move(disguise));
  cues::apply_persona(world, policy);
  inputs.seed = std::move(world.seed);
  make_room(inputs.seed, policy);
  if (policy.network.mode == network::NetworkPolicy::Mode::gateway) {
    GYGES_TRY(cues::PreparedInternet internet, cues::prepare_internet(persona, context));
    GYGES_CHECK(cues::apply_internet(internet, persona, policy, inputs.seed));
    inputs.packed_world = std::move(internet.packed);
  }
  inputs.persona = PersonaRecord{persona.name, persona.sha256, cues::moment_text(context.as_of)};
  return ok();
}

}  // namespace

Result<RunInputs> make_run_inputs(isolation::Policy policy,
                                  const std::optional<std::string>& persona, std::uint64_t seed,
                                  std::int64_t as_of, const std::filesystem::path& workspace,
                                  const std::filesystem::path& records,
                                  const std::vector<std::filesystem::path>& secrets, bool launch) {
  RunInputs inputs;
  inputs.policy = std::move(policy);
  if (persona)
    GYGES_CHECK(add_persona(*persona, seed, as_of, launch, inputs));
  else
    inputs.seed = identity_files(inputs.policy);
  add_resolver_file(inputs.policy, inputs.seed);
  GYGES_CHECK(add_workspace(workspace, inputs.policy));
  std::error_code ignored;
  if (inputs.policy.filesystem.workspace != isolation::Filesystem::Workspace::none &&
      !records.empty() && std::filesystem::weakly_canonical(records, ignored) == workspace)
    return fail("make bundle", records.string(), "it is the directory the command works in",
                "name another with --out DIR or --workspace DIR");
  // Nor read the record of this run, let alone write to it where the policy lets it write to the
  // host.
  recorder::SealPlaces places = recorder::SealPlaces::from_environment();
  std::vector<std::filesystem::path> hidden = secrets;
  // What disguises share is not the agent's to change, where a policy shows the host's /run or
  // /dev/shm.
  hidden.insert(hidden.end(), {places.key, places.ledger, records,
                               isolation::shared_trees_directory().parent_path()});
  hide(hidden, inputs.policy);
  return inputs;
}

}  // namespace gyges::run
