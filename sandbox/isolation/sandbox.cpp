#include "sandbox/isolation/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/files.h"
#include "base/text.h"
#include "sandbox/isolation/changes.h"
#include "sandbox/isolation/sandbox_state.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::isolation {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto stop_time = std::chrono::seconds(10);

// struct pidfd_info of linux/pidfd.h as of Linux 6.13, the first that has it.
struct PidfdInfo {
  std::uint64_t mask = 1;  // PIDFD_INFO_PID
  std::uint64_t cgroup = 0;
  std::uint32_t pid = 0;  // as this process sees it
  std::uint32_t rest[11] = {};
};
constexpr unsigned long pidfd_get_info = _IOWR(0xff, 11, PidfdInfo);

// The pid that a pidfd stands for, as this process sees it (pidfd_open(2), fdinfo).
Result<pid_t> pid_of(const UniqueFd& pidfd) {
  PidfdInfo info;
  static_assert(sizeof(info) == 64);
  if (::ioctl(pidfd.get(), pidfd_get_info, &info) == 0 && info.pid > 0)
    return static_cast<pid_t>(info.pid);
  std::string path = fmt::format("/proc/self/fdinfo/{}", pidfd.get());
  GYGES_TRY(std::string text, read_file(path));
  auto at = text.find("\nPid:");
  pid_t pid = at == std::string::npos ? -1 : std::atoi(text.c_str() + at + 5);
  if (pid <= 0) return fail("find process of", path, "it is gone");
  return pid;
}

Status is_eventfd(const UniqueFd& fd) {
  std::array<char, 64> name{};
  const ssize_t size =
      ::readlink(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), name.data(), name.size() - 1);
  if (size < 0) return fail_errno("look at", "gate of a command");
  if (std::string_view(name.data()) == "anon_inode:[eventfd]") return ok();
  return fail("start command", "", "pid 1 sent something else than a gate");
}

std::string encode_command(const Command& command, const std::string& directory, bool gated,
                           bool last) {
  init::SpawnHeader header{static_cast<std::uint32_t>(command.argv.size()),
                           static_cast<std::uint32_t>(command.environment.size()), gated ? 1U : 0U,
                           command.terminal ? 1U : 0U, last ? 1U : 0U};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  auto append = [&](const std::string& text) {
    bytes += text;
    bytes += '\0';
  };
  append(directory);
  for (const std::string& argument : command.argv) append(argument);
  for (const std::string& variable : command.environment) append(variable);
  return bytes;
}

Status check_command(const Command& command) {
  if (command.argv.empty() || command.argv[0].empty())
    return fail("start command", "", "it has no program name", "give a program to run");
  for (const auto* list : {&command.argv, &command.environment})
    for (const std::string& text : *list)
      if (text.find('\0') != std::string::npos)
        return fail("start command", quoted(command.argv[0]),
                    "an argument or variable contains a NUL byte", "remove it");
  return ok();
}

// What is open as a pipe can be opened anew by name (/dev/stdout, /dev/stderr) by its owner alone,
// as programs that run as the user who started them do. Nothing else changes hands.
Status give_pipe(int fd, const Identity& owner) {
  struct stat info {};
  struct statfs system {};
  if (::fstat(fd, &info) != 0 || !S_ISFIFO(info.st_mode) || info.st_uid == owner.uid) return ok();
  if (::fstatfs(fd, &system) != 0 || system.f_type != PIPEFS_MAGIC) return ok();
  if (::fchown(fd, owner.uid, owner.gid) != 0) return fail_errno("give the agent", "its pipe");
  return ok();
}

}  // namespace

void Sandbox::State::kill() {
  if (!process.pidfd || reaped) return;
  process.end();
  reaped = true;
}

// Only where pid 1 has said that nobody but itself is left, and is out of the cgroup, which is then
// removed at once. Should it have lied, it ends all the same, and everybody inside with it: only
// that is not waited for.
void Sandbox::State::leave() {
  if (cgroup && stopped->status == 0) return;
  process.kill();
  reaped = true;
}

void Sandbox::State::hit(std::string limit, std::string detail) {
  for (const LimitHit& known : limits)
    if (known.limit == limit) return;
  limits.push_back({std::move(limit), std::move(detail)});
}

void Sandbox::State::note_final_limits() {
  std::uint64_t most = stopped ? stopped->number[1] : 0;
  // Without a cgroup the kernel counts no refusals; five looks a second see the plateau of a bomb,
  // of which the process that met the refusal is often gone.
  bool hit_processes = cgroup ? cgroup->processes_hit()
                              : policy.limits.processes > 0 && most + 2 >= policy.limits.processes;
  if (hit_processes)
    hit("processes", fmt::format("{} processes at one time", policy.limits.processes));
  if (cgroup && cgroup->memory_hit())
    hit("memory_bytes", fmt::format("the sandbox used {} bytes", policy.limits.memory_bytes));
  if (stopped && stopped->number[2] > 0)
    hit("memory_bytes",
        fmt::format("its processes held more than {} bytes together; {} of them killed for it",
                    policy.limits.memory_bytes, stopped->number[2]));
  struct statvfs space {};
  if (scratch && ::fstatvfs(scratch.get(), &space) == 0) {
    if (policy.limits.disk_bytes > 0 && space.f_bfree == 0)
      hit("disk_bytes", fmt::format("{} bytes were written", policy.limits.disk_bytes));
    if (policy.limits.inodes > 0 && space.f_ffree == 0)
      hit("inodes", fmt::format("{} files were made", policy.limits.inodes));
  }
}

// A message to pid 1 would wake one process more on the way to each command's first instruction.
Status Sandbox::State::open_gate(Message& answer) {
  const std::uint64_t number = answer.reply.number[2];
  if (answer.second) {
    // Writing to anything else could take as long as pid 1 likes.
    GYGES_CHECK(is_eventfd(answer.second));
    gates[number] = std::move(answer.second);
  }
  auto gate = gates.find(number);
  if (gate == gates.end() || gates.size() > init::max_commands)
    return fail("start command", "", "pid 1 named no gate that there is");
  const std::uint64_t one = 1;
  if (::write(gate->second.get(), &one, sizeof(one)) != static_cast<ssize_t>(sizeof(one)))
    return fail_errno("open", "gate of a command");
  return ok();
}

Sandbox::Sandbox(std::unique_ptr<State> state) : state_(std::move(state)) {}
Sandbox::~Sandbox() = default;

Status Sandbox::begin(recorder::Session* session) {
  state_->session = session;
  if (session != nullptr) GYGES_CHECK(state_->introduce_to(*session));
  state_->filters.clear();
  return send_request(state_->process.control.get(), {init::Ask::begin, 0, 0, 0});
}

Result<Terminal> Sandbox::take_terminal() {
  Terminal terminal;
  terminal.master = std::move(state_->terminal);
  if (!terminal.master) return fail("take terminal of sandbox", "", "it was made without one");
  // By descriptor, which needs no name, and the name would be another instance's here.
  terminal.slave.reset(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return fail_errno("open", "pseudo-terminal of the sandbox");
  // pid 1 has made it; without root it is the agent's user.
  const Identity& owner = state_->policy.identity;
  if (state_->host.root && ::fchown(terminal.slave.get(), owner.uid, owner.gid) != 0)
    return fail_errno("give the agent", "its pseudo-terminal");
  return terminal;
}

bool Sandbox::alive() const {
  pollfd wait{state_->process.pidfd.get(), POLLIN, 0};
  return ::poll(&wait, 1, 0) == 0;
}

Result<CommandId> Sandbox::spawn(const Command& command) {
  State& state = *state_;
  GYGES_CHECK(check_command(command));
  // Before the command's first instruction it is recorded, and its listener is at its place.
  bool gated = state.session != nullptr || state.emulator;
  std::string directory =
      command.directory.empty() ? state.policy.identity.home : command.directory;
  // Out of a cgroup it is led by stop().
  std::string bytes = encode_command(command, directory, gated, command.last && !state.cgroup);
  if (bytes.size() > init::max_payload)
    return fail("start command", quoted(command.argv[0]),
                fmt::format("its arguments and environment are {} bytes long", bytes.size()),
                fmt::format("keep them below {} bytes", init::max_payload));
  UniqueFd payload;  // where it does not fit into the message
  if (bytes.size() > init::most_in_message) {
    GYGES_TRY(payload, make_sealed_memfd("command", bytes));
    bytes.clear();
  }
  const std::lock_guard lock(state.mutex);
  if (!state.null) state.null.reset(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!state.null) return fail_errno("open", "/dev/null");
  auto or_null = [&](int fd) { return fd >= 0 ? fd : state.null.get(); };
  const std::array<int, 4> fds{or_null(command.standard_input), or_null(command.standard_output),
                               or_null(command.standard_error), payload.get()};
  if (state.host.root)
    for (int fd : {fds[0], fds[1], fds[2]}) GYGES_CHECK(give_pipe(fd, state.policy.identity));
  CommandId id = state.next_id++;
  GYGES_CHECK(send_request(state.process.control.get(), {init::Ask::spawn, id, 0, 0},
                           {fds.data(), payload ? 4U : 3U}, bytes));
  GYGES_TRY(Message answer, state.await(id));
  if (answer.reply.tell == init::Tell::not_spawned) {
    if (answer.reply.error == EAGAIN)
      state.hit("processes", "pid 1 could not make another process");
    return fail_errno("start command", quoted(command.argv[0]), answer.reply.error,
                      "raise limits.processes of the policy if the command needs more");
  }
  state.started[id] = true;
  // A command that gave up before its gate, for want of a program for example, is not there to be
  // labelled; its end tells why.
  if (gated && answer.reply.number[1] == 1) {
    if (!answer.fd) return fail("start command", quoted(command.argv[0]), "pid 1 sent no pidfd");
    if (state.session != nullptr) {
      GYGES_TRY(pid_t pid, pid_of(answer.fd));
      GYGES_CHECK(state.session->adopt(answer.fd.get(), pid, command.tool_call));
    }
    GYGES_CHECK(state.open_gate(answer));
    if (command.relabelled) state.relabelled[id] = std::move(answer.fd);
  }
  return id;
}

Status Sandbox::relabel(CommandId id, std::uint32_t tool_call) {
  State& state = *state_;
  if (state.session == nullptr) return ok();
  const std::lock_guard lock(state.mutex);
  auto found = state.relabelled.find(id);
  if (found == state.relabelled.end())
    return fail("label command", std::to_string(id), "it has ended, or was not started for this");
  // A process that has ended meanwhile does nothing more that could be labelled.
  pollfd ended{found->second.get(), POLLIN, 0};
  if (::poll(&ended, 1, 0) > 0) return ok();
  GYGES_TRY(pid_t pid, pid_of(found->second));
  return state.session->adopt(found->second.get(), pid, tool_call);
}

Status Sandbox::signal(CommandId id, int signal_number, bool whole_group) {
  return send_request(state_->process.control.get(),
                      {init::Ask::signal, id, signal_number, whole_group ? 1U : 0U});
}

const Enforcement& Sandbox::enforcement() const {
  return state_->enforcement;
}

std::vector<LimitHit> Sandbox::limits_hit() const {
  const std::lock_guard lock(state_->mutex);
  return state_->limits;
}

void Sandbox::note_limit(LimitHit limit) {
  const std::lock_guard lock(state_->mutex);
  state_->hit(std::move(limit.limit), std::move(limit.detail));
}

void Sandbox::State::read_what_came() {
  while (!stopped) {
    auto message = receive_reply(process.control.get(), Clock::now());
    if (!message || !*message) return;
    note((*message)->reply);
  }
}

// Whether it could be asked. `leaving`: it leaves its cgroup first.
bool Sandbox::State::ask_to_stop(bool leaving) const {
  std::vector<UniqueFd> exits;
  if (cgroup && leaving) exits = cgroup->exits();
  std::vector<int> fds;
  for (const UniqueFd& exit : exits) fds.push_back(exit.get());
  return send_request(process.control.get(), {init::Ask::shutdown, 0, 0, 0}, fds).has_value();
}

Result<SandboxEnd> Sandbox::stop(const std::string& contents_directory, SandboxStop how) {
  State& state = *state_;
  // They end while pid 1 does.
  if (state.bus_door) state.bus_door->begin_close();
  if (state.disguise_files) state.disguise_files->begin_stop();
  state.read_what_came();
  // pid 1 may be gone already, by the wall clock or a kill from outside; then there is no answer.
  // Or it ends by itself, after the last command, and has no use for the request.
  bool asked = !state.stopped && state.ask_to_stop(how.process_ends);
  auto deadline = Clock::now() + stop_time;
  while (!state.stopped) {
    auto message = receive_reply(state.process.control.get(), deadline);
    if (!message || !*message) break;
    state.note((*message)->reply);
  }
  if (!state.stopped && asked) state.hit("sandbox", "pid 1 ended before the run was over");
  // It said that nobody but itself is left: what it leaves is collected while the kernel takes its
  // namespaces apart.
  if (!state.stopped) state.kill();
  SandboxEnd end;
  if (state.stopped) end.processes_left = static_cast<std::uint32_t>(state.stopped->number[0]);
  state.note_final_limits();
  // It ends, and waits for packets on their way, while the changes are collected and pid 1 goes.
  if (state.gateway) state.gateway->begin_stop();
  auto end_network = [&] {
    if (!state.gateway) return;
    end.network_copies = state.gateway->copies();
    end.network_ports = state.gateway->listed_ports();
    auto whole = state.gateway->stop();
    if (!whole) end.network_failure = whole.error().line();
  };
  state.bus_door.reset();
  // While pid 1 ends, which takes its file systems apart: what is let go of after it is ours to
  // take apart. The emulator waits for every process; killed, for those too that pid 1 kept silent
  // about.
  if (state.stopped && state.disguise_files) {
    state.process.kill();
    state.emulator.reset();
    state.disguise_files.reset();
  }
  if (state.scratch && how.collect) {
    auto collected = collect_changes(state.scratch.get(), state.plan, state.policy.identity,
                                     state.host, contents_directory);
    if (!collected) end_network();
    if (!collected) return tl::unexpected<Error>(std::move(collected.error()));
    end.changes = std::move(collected->changes);
    end.changes_complete = collected->complete;
  }
  state.scratch.reset();
  end.limits_hit = state.limits;
  if (how.process_ends && state.stopped) state.leave();
  state.kill();
  state.cgroup.reset();
  end_network();
  return end;
}

}  // namespace gyges::isolation
