// From a policy to a sandbox that waits for commands.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

#include "base/files.h"
#include "base/text.h"
#include "base/unmasked.h"
#include "sandbox/isolation/degradation.h"
#include "sandbox/isolation/emulator.h"
#include "sandbox/isolation/mapped_mount.h"
#include "sandbox/isolation/program.h"
#include "sandbox/isolation/sandbox_state.h"
#include "sandbox/isolation/seed.h"
#include "sandbox/isolation/shared_tree.h"
#include "sandbox/isolation/shipped_filters.h"
#include "sandbox/network/loopback.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox/recorder/slow_down.h"

namespace gyges::isolation {
namespace {

using Clock = std::chrono::steady_clock;

// Empty: it is none.
std::string_view words_for(init::OwnStep step) {
  switch (step) {
    case init::OwnStep::lifetime:
      return "bind pid 1 to the supervisor's life";
    case init::OwnStep::signals:
      return "have pid 1 wait for signals";
    case init::OwnStep::program:
      return "have pid 1 read its program";
    case init::OwnStep::clock:
      return "start the wall clock";
    case init::OwnStep::descriptors:
      return "keep descriptors from commands";
    case init::OwnStep::secrecy:
      return "hide pid 1 from the inside";
    case init::OwnStep::requests:
      return "have pid 1 read a request";
    case init::OwnStep::bounding_set:
      return "take capabilities out of the bounding set";
    case init::OwnStep::namespaces:
      return "make namespaces";
    case init::OwnStep::cgroup:
      return "put pid 1 into its cgroup";
  }
  return "";
}

std::string_view cure_for_step(init::Op op, int code) {
  if (op == init::Op::mount && code == EPERM)
    return "inside a container, allow /proc and mounts in user namespaces (its own /proc must not "
           "be "
           "masked), or run as root on the host; `gyges doctor` tells more";
  if (op == init::Op::mount && code == EINVAL)
    return "an overlay shows one file system alone: where another one of the host's is mounted "
           "below the directory, mount that one instead, or run as root; for a read_only mount the "
           "grant host_sockets does without an overlay; as root before Linux 5.19 run gyges as the "
           "user who owns the directory (`gyges doctor`: id_mapped_mounts)";
  if (op == init::Op::write_file && code == EPERM)
    return "this host forbids user namespaces; `gyges doctor` names the switch";
  if (op == init::Op::check_path && code == ENOENT)
    return "the mount that it lies in has no such place, and none can be made in the host's own: "
           "make it on the host, or mount elsewhere";
  if (op == init::Op::check_path)
    return "mount it where no symbolic link is on the way, or remove the link";
  if (code == ENOSPC) return "raise limits.disk_bytes or limits.inodes of the policy";
  return "";
}

// Pid 1 of the sandbox that this thread starts next: the kernel kills one with the thread that made
// it.
struct Ahead {
  HostFacts host;
  std::vector<std::string> arguments;
  InitProcess process;
  const pid_t owner = ::getpid();

  Ahead(HostFacts facts, std::vector<std::string> words, InitProcess init)
      : host(facts), arguments(std::move(words)), process(std::move(init)) {}
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;
  ~Ahead() {
    if (process.pidfd && owner == ::getpid()) process.end();
  }
};
thread_local std::unique_ptr<Ahead> ahead;

}  // namespace

std::optional<Error> failure_of_init(const init::Reply& reply) {
  if (reply.tell != init::Tell::failed) return std::nullopt;
  std::string_view words = words_for(static_cast<init::OwnStep>(reply.id));
  if (words.empty()) return std::nullopt;
  return fail_errno(words, "", reply.error).value();
}

// Limits of the whole sandbox, or what stands for them and is acceptable to policy or caller.
Status Sandbox::State::make_cgroup() {
  const Limits& wanted = policy.limits;
  // An ordinary user has one only by delegation; it is looked for when the policy demands it.
  bool demanded = wanted.memory_bytes > 0 && wanted.memory_of_sandbox;
  if (host.root || demanded) {
    // One that is prepared does not know yet whether it will be recorded.
    bool processor = session != nullptr || spec->prepared;
    GYGES_TRY(cgroup,
              Cgroup::create({wanted.processes > 0 ? wanted.processes + disguise->decoys.size() : 0,
                              wanted.memory_bytes, processor}));
  }
  bool memory = cgroup && cgroup->limits_memory();
  if (demanded && !memory)
    GYGES_CHECK(accept_or_fail(Degradation::memory_cgroup, spec->allow_degraded, plan.degraded));
  // As root the count without a cgroup is per user of the host, which is stricter than asked for;
  // rootless the kernel counts by user namespace, which is the sandbox.
  bool processes = cgroup || !host.root;
  if (wanted.processes > 0 && !processes) {
    plan.settings.limits[RLIMIT_NPROC] = wanted.processes + 1 + disguise->decoys.size();
    if (wanted.processes_of_sandbox)
      GYGES_CHECK(accept_or_fail(Degradation::process_cgroup, spec->allow_degraded, plan.degraded));
  }
  // The cgroup tells whether a process was refused; without it pid 1 has to look.
  cgroup_settings.count_processes = wanted.processes > 0 && !cgroup ? 1 : 0;
  if (!memory) cgroup_settings.watch_memory = wanted.memory_bytes;
  cgroup_settings.most_processes = plan.settings.limits[RLIMIT_NPROC];
  // No more than the host's: commands set their limits after they have given up root.
  if (cgroup_settings.most_processes == ~0ULL && disguise->usual_processes > 0)
    cgroup_settings.most_processes = disguise->usual_processes;
  enforcement.landlock = plan.landlock;
  enforcement.memory = wanted.memory_bytes == 0 ? "none" : memory ? "sandbox" : "process";
  enforcement.processes = wanted.processes == 0 ? "none" : processes ? "sandbox" : "user";
  enforcement.degraded = plan.degraded;
  return ok();
}

// What a recorder has to know of a sandbox before the first command.
Status Sandbox::State::introduce_to(recorder::Session& to) {
  GYGES_CHECK(to.expect_filters(filters));
  if (!cgroup) return ok();
  const auto quota = cgroup->quota();
  return quota ? recorder::slow_down_by(to, {quota->file.get(), quota->v2}) : ok();
}

Status Sandbox::State::start() {
  bool networked = policy.network.mode == network::NetworkPolicy::Mode::gateway;
  if (networked) network::GatewayProcess::prepare();
  std::unique_ptr<Ahead> begun = std::move(ahead);
  if (begun && begun->owner != ::getpid()) begun.reset();
  if (begun) {
    host = begun->host;
  } else {
    GYGES_TRY(host, read_host_facts());
  }
  std::vector<std::string> seed_paths;
  for (const SeedFile& file : spec->seed) seed_paths.push_back(file.path);
  GYGES_CHECK(check_degradations(spec->allow_degraded));
  // It makes its namespaces while its program is being prepared.
  disguise = effective_disguise(spec->disguise, policy.cues);
  if (!disguise) disguise = std::make_shared<Disguise>();
  if (begun && begun->arguments == disguise->init_arguments) {
    process = std::move(begun->process);
  } else {
    begun.reset();
    GYGES_TRY(process, launch_init(namespaces_of_init(host), disguise->init_arguments));
  }
  enforcement.network = "none";
  if (networked) {
    UniqueFd outlet;
    if (spec->outlet) {
      GYGES_TRY(outlet, spec->outlet());
    }
    // Listed ports are as good then as they are without the demand; which it was is noted below.
    network::NetworkPolicy wanted = policy.network;
    if (wanted.capture == network::CaptureDemand::all &&
        accepted_degradation(Degradation::packet_rules, spec->allow_degraded))
      wanted.capture = network::CaptureDemand::best;
    GYGES_TRY(gateway, network::GatewayProcess::launch(wanted, spec->packed_world, spec->flows,
                                                       outlet.get()));
  }
  SharedTree shared = shared_tree_ahead ? isolation::shared_tree_ahead(disguise, host.root)
                                        : shared_tree(*disguise, host.root);
  shared_tree_held = std::move(shared.held);
  shared_tree_whole = std::move(shared.whole);
  GYGES_TRY(plan, make_plan(policy, host, seed_paths, spec->allow_degraded, spec->terminal,
                            disguise.get(), shared.path));
  enforcement.unhidden = disguise->unhidden;
  // The processes of the disguise are not the agent's.
  const std::uint64_t furniture = disguise->decoys.size();
  if (plan.settings.limits[RLIMIT_NPROC] != ~0ULL) plan.settings.limits[RLIMIT_NPROC] += furniture;
  GYGES_TRY(filters, seccomp_programs(policy.seccomp, policy.grants, policy.capabilities)
                         .with_context("policy " + printable(policy.name)));
  if (disguise->emulation) {
    filters.insert(filters.begin(), emulation_program(*disguise->emulation));
    plan.settings.listener = 1;
    emulator = std::make_unique<Emulator>(disguise->emulation, own_use);
  }
  plan.settings.clock_waits = spec->prepared ? 1 : 0;
  GYGES_TRY(UniqueFd program, make_sealed_memfd("plan", encode_program(plan, filters)));
  GYGES_CHECK(process.executed());
  // While pid 1 works, from here on.
  Status handed = hand(init::Ask::set_up, program);
  std::vector<EndingProcess> carriers;
  for (const MappedSource& source : plan.mapped) {
    GYGES_TRY(MappedCopy copy, mapped_copy(source, policy.identity));
    if (handed) handed = hand(init::Ask::take_mount, copy.tree);
    carriers.push_back(std::move(copy.carrier));
  }
  auto deadline = Clock::now() + setup_time;
  for (bool cgroup_made = false;;) {
    // Pid 1 waits for its layers sooner than for its cgroup, unless it starts processes.
    if (!cgroup_made && (scratch || plan.areas.empty() || !disguise->decoys.empty())) {
      cgroup_made = true;
      GYGES_CHECK(make_cgroup());
      if (handed) handed = hand_cgroup();
    }
    // A pid 1 that failed meanwhile takes nothing, and has said why.
    if (!handed && handed.error().code != EPIPE && handed.error().code != ECONNRESET) return handed;
    auto message = receive_reply(process.control.get(), deadline);
    if (!message)
      return tl::unexpected<Error>(std::move(!handed ? handed.error() : message.error()));
    if (!*message)
      return fail("set up sandbox", "", "pid 1 did not finish within 120 s",
                  "look at the host's load");
    const init::Tell told = (*message)->reply.tell;
    // Before anybody is shown it; a pid 1 that met a tree of holes says less than this.
    if (told == init::Tell::ready || told == init::Tell::failed)
      GYGES_CHECK(find_shared_tree_whole());
    // A pid 1 that met layers half filled says less than who filled them.
    if (seeding.valid() && (told == init::Tell::ready || told == init::Tell::failed))
      GYGES_CHECK(seeding.get());
    if (told == init::Tell::ready) {
      if (session != nullptr) GYGES_CHECK(introduce_to(*session));
      return gateway ? gateway->await() : ok();
    }
    GYGES_CHECK(answer(std::move(**message)));
  }
}

// What was looked through while pid 1 worked.
Status Sandbox::State::find_shared_tree_whole() {
  shared_tree_broken = shared_tree_whole.valid() && !shared_tree_whole.get();
  if (!shared_tree_broken) return ok();
  return fail("set up sandbox", "", "what disguises share was changed by somebody");
}

Status Sandbox::State::hand(init::Ask what, const UniqueFd& fd) const {
  const int fds[1] = {fd.get()};
  return send_request(process.control.get(), {what, 0, 0, 0}, fds);
}

Status Sandbox::State::hand_cgroup() const {
  if (cgroup) {
    GYGES_TRY(std::vector<UniqueFd> entrances, cgroup->entrances());
    for (const UniqueFd& entrance : entrances) GYGES_CHECK(hand(init::Ask::enter_cgroup, entrance));
  }
  return send_request(process.control.get(), {init::Ask::entered, 0, 0, 0}, {},
                      {reinterpret_cast<const char*>(&cgroup_settings), sizeof(cgroup_settings)});
}

// Deals with what pid 1 hands over or reports during set-up.
Status Sandbox::State::answer(Message message) {
  if (message.reply.tell == init::Tell::failed) {
    std::size_t index = message.reply.id;
    if (index == static_cast<std::size_t>(init::OwnStep::namespaces))
      return no_namespaces(message.reply.error, plan.namespaces);
    if (index == static_cast<std::size_t>(init::OwnStep::cgroup)) {
      if (auto end = deaf_keeper()) return tl::unexpected<Error>(std::move(*end));
      return fail_errno("put pid 1 into", "its cgroup", message.reply.error,
                        "see that the cgroup of gyges may have children with processes");
    }
    if (auto failure = failure_of_init(message.reply)) return tl::unexpected<Error>(*failure);
    if (index >= plan.steps.size())
      return fail("set up sandbox", "", "pid 1 reported no known step");
    const Step& step = plan.steps[index];
    return fail_errno(step.words, "", message.reply.error,
                      cure_for_step(step.op, message.reply.error));
  }
  if (message.reply.tell == init::Tell::skipped) {
    if (message.reply.id >= plan.steps.size())
      return fail("set up sandbox", "", "pid 1 reported no known step");
    enforcement.unhidden.push_back(plan.steps[message.reply.id].words + ": " +
                                   std::strerror(message.reply.error));
    return ok();
  }
  if (message.reply.tell != init::Tell::handed || !message.fd)
    return fail("set up sandbox", "", "an unexpected message from pid 1");
  switch (static_cast<init::Hand>(message.reply.id)) {
    case init::Hand::scratch:
      if (scratch || plan.areas.empty())
        return fail("set up sandbox", "", "pid 1 handed over what nobody asked for");
      scratch = std::move(message.fd);
      if (!disguise->places_files()) return seed_layers(Mask::callers);
      seeding = unmasked([this] { return seed_layers(Mask::none); });
      // Where no thread was to be had: pid 1 waits for it, and nobody asks before pid 1 says more.
      if (seeding.wait_for(std::chrono::seconds(0)) == std::future_status::deferred) seeding.wait();
      return ok();
    case init::Hand::disguise: {
      if (disguise_files || !disguise->places_files())
        return fail("set up sandbox", "", "pid 1 handed over what nobody asked for");
      if (emulator && disguise->emulation->answers_opens()) {
        UniqueFd place(::fcntl(message.fd.get(), F_DUPFD_CLOEXEC, 0));
        if (!place) return fail_errno("keep", "file system of the disguise");
        emulator->make_files_in(std::move(place));
      }
      GYGES_TRY(disguise_files, DisguiseFiles::write(std::move(message.fd), *disguise,
                                                     shared_tree_held.valid(), host.root));
      GYGES_CHECK(proceed(init::Hand::disguise));
      // Meanwhile it mounts and starts processes; nobody looks at the tree before it is ready.
      GYGES_CHECK(disguise_files->write_trees(*disguise));
      return disguise_files->start(process.pid, own_use);
    }
    case init::Hand::terminal:
      if (terminal || !spec->terminal)
        return fail("set up sandbox", "", "pid 1 handed over what nobody asked for");
      terminal = std::move(message.fd);
      break;
    case init::Hand::route:
      GYGES_CHECK(network::bring_up_loopback(std::move(message.fd)));
      break;
    case init::Hand::bus: {
      if (bus_door || !disguise->bus)
        return fail("set up sandbox", "", "pid 1 handed over what nobody asked for");
      bus_sockets.push_back(std::move(message.fd));
      if (bus_sockets.size() < std::size(bus_socket_paths)) return ok();
      GYGES_TRY(bus_door, BusDoor::open(std::move(bus_sockets), disguise->bus));
      return ok();
    }
    case init::Hand::gateway:
      if (!gateway) return fail("set up sandbox", "", "pid 1 handed over what nobody asked for");
      gateway_sockets.fds.push_back(std::move(message.fd));
      // Pid 1 goes on meanwhile: it needs the network no sooner than the agent does.
      if (gateway_sockets.fds.size() < network::GatewaySockets::count) return ok();
      return connect_gateway();
    default:
      return fail("set up sandbox", "", "pid 1 handed over an unknown thing");
  }
  return proceed(static_cast<init::Hand>(message.reply.id));
}

// Pid 1 is let go on in any case: where it was not done nothing is started.
Status Sandbox::State::seed_layers(Mask mask) {
  auto seeded = seed_areas(scratch.get(), plan, *spec, host, mask);
  auto told = proceed(init::Hand::scratch);
  // A pid 1 that failed meanwhile takes nothing, and says why.
  const bool gone = !told && (told.error().code == EPIPE || told.error().code == ECONNRESET);
  return seeded && !gone ? told : seeded;
}

Status Sandbox::State::proceed(init::Hand with) const {
  return send_request(process.control.get(),
                      {init::Ask::proceed, static_cast<std::uint32_t>(with), 0, 0});
}

Status Sandbox::State::connect_gateway() {
  GYGES_CHECK(gateway->connect(std::move(gateway_sockets), process.pid, spec->packed_world));
  const std::string& listed = gateway->listed_ports();
  enforcement.network = listed.empty() ? "all ports" : listed;
  if (policy.network.capture == network::CaptureDemand::all && !listed.empty()) {
    GYGES_CHECK(accept_or_fail(Degradation::packet_rules, spec->allow_degraded, plan.degraded));
    enforcement.degraded = plan.degraded;
  }
  return ok();
}

void Sandbox::start_ahead(std::vector<std::string> arguments) {
  auto host = read_host_facts();
  if (!host) return;
  auto process = launch_init(namespaces_of_init(*host), arguments);
  if (process) ahead = std::make_unique<Ahead>(*host, std::move(arguments), std::move(*process));
}

void Sandbox::drop_ahead() {
  ahead.reset();
}

Result<std::unique_ptr<Sandbox>> Sandbox::start(const SandboxSpec& spec) {
  const auto make = [&] {
    auto fresh = std::make_unique<State>();
    fresh->spec = &spec;
    fresh->policy = spec.policy;
    fresh->session = spec.session;
    return fresh;
  };
  auto state = make();
  auto started = state->start();
  if (!started && state->shared_tree_broken) {
    // Once more, with another one.
    state = make();
    state->shared_tree_ahead = false;
    started = state->start();
  }
  if (!started)
    return tl::unexpected<Error>(
        std::move(std::move(started).with_context("start sandbox").error()));
  state->spec = nullptr;
  state->disguise.reset();
  if (!spec.prepared) state->filters.clear();
  return std::unique_ptr<Sandbox>(new Sandbox(std::move(state)));
}

}  // namespace gyges::isolation
