#include "sandbox/isolation/launch.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <mutex>

#include "base/program_file.h"
#include "sandbox/init/protocol.h"

extern "C" const char gyges_init_program_begin[];
extern "C" const char gyges_init_program_end[];

namespace gyges::isolation {
namespace {

Result<UniqueFd> make_init_image() {
  return make_program_file(
      "init", {gyges_init_program_begin,
               static_cast<std::size_t>(gyges_init_program_end - gyges_init_program_begin)});
}

// The init program as an executable, sealed memory file, made once per process. A failure is not
// kept: the descriptors or the memory that were missing may be there the next time.
Result<int> init_image() {
  static std::mutex mutex;
  static UniqueFd image;
  std::scoped_lock lock(mutex);
  if (!image) {
    GYGES_TRY(image, make_init_image());
  }
  return image.get();
}

std::string_view cure_for_clone(int code, bool user_namespace) {
  if (!user_namespace) return "run as root with CAP_SYS_ADMIN";
  if (code == ENOSPC)
    return "raise the limit: sysctl user.max_user_namespaces=15000 (and the other user.max_*)";
  return "allow user namespaces: `gyges doctor` names the switch of this host; or run as root";
}

}  // namespace

tl::unexpected<Error> no_namespaces(int code, std::uint64_t namespaces) {
  return fail_errno("make namespaces", "", code,
                    cure_for_clone(code, (namespaces & CLONE_NEWUSER) != 0));
}

Result<InitProcess> launch_init(std::uint64_t namespaces,
                                const std::vector<std::string>& arguments) {
  GYGES_TRY(int image, init_image());
  GYGES_TRY(Pipe sockets, make_socket_pair(SOCK_SEQPACKET));
  auto started = StartedProgram::start({image,
                                        arguments,
                                        {sockets.write.get()},
                                        (namespaces & ~init::own_namespaces) | SIGCHLD,
                                        (namespaces & CLONE_NEWUSER) != 0});
  if (!started) return no_namespaces(started.error().code, namespaces);
  UniqueFd pidfd = std::move(started->pidfd());
  const pid_t pid = started->pid();
  return InitProcess{std::move(pidfd), pid, std::move(sockets.read), std::move(*started)};
}

Status InitProcess::executed() {
  auto done = program.executed("init");
  if (!done)
    done.error().cure =
        "see whether `gyges doctor` says no user_namespaces (AppArmor), and that memory files may "
        "be "
        "executed (sysctl vm.memfd_noexec)";
  return done;
}

void InitProcess::kill() const {
  ::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
}

void InitProcess::end() const {
  kill();
  while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
  }
}

namespace {

struct Keeper {
  UniqueFd input;  // its write end; it ends with this process, and the keeper acts
  StartedProgram program;
};

Result<Keeper> start_keeper() {
  GYGES_TRY(int image, init_image());
  // A socket, because a write to it can do without SIGPIPE where the keeper was killed.
  GYGES_TRY(Pipe pipe, make_socket_pair(SOCK_STREAM));
  // Nobody waits for it: it outlives this process.
  GYGES_TRY(StartedProgram program,
            StartedProgram::start({image, {"gyges-keeper", "keep"}, {pipe.read.get()}, 0, false}));
  program.pidfd().reset();  // it would stay as long as this process does
  return Keeper{std::move(pipe.write), std::move(program)};
}

Status send_line(const UniqueFd& keeper, const std::string& directory) {
  std::string line = directory + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    ssize_t n = ::send(keeper.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("name cgroup to", "keeper");
    sent += static_cast<std::size_t>(n);
  }
  return ok();
}

Status executed_or_reaped(StartedProgram& keeper) {
  auto done = keeper.executed("keeper");
  if (!done) ::waitpid(keeper.pid(), nullptr, __WALL);
  return done;
}

struct Keeping {
  std::mutex mutex;
  pid_t owner = -1;
  Keeper keeper;
  // Those removed since are among them: telling a successor of them harms nobody.
  std::deque<std::string> kept;
};

Keeping& keeping() {
  static Keeping all;
  return all;
}

}  // namespace

Status keep_directory(const std::string& directory) {
  Keeping& all = keeping();
  std::scoped_lock lock(all.mutex);
  // A forked process needs its own: the parent's acts on the parent's death.
  bool start = all.owner != ::getpid();
  if (start) all.kept.clear();
  all.kept.push_back(directory);
  if (all.kept.size() > init::most_kept) all.kept.pop_front();
  if (!start) {
    auto sent = send_line(all.keeper.input, directory);
    // Only one that was killed has a successor; any other error is the caller's to hear of.
    if (sent || (sent.error().code != EPIPE && sent.error().code != ECONNRESET)) return sent;
    all.owner = -1;
    GYGES_CHECK(executed_or_reaped(all.keeper.program));
    ::waitpid(all.keeper.program.pid(), nullptr, __WALL | WNOHANG);
  }
  // What a killed one kept is the new one's too. One that could not be told everything ends with
  // its socket, here.
  GYGES_TRY(Keeper fresh, start_keeper());
  for (const std::string& path : all.kept) {
    auto sent = send_line(fresh.input, path);
    if (sent) continue;
    // One that did not come to execute its program knows better why.
    GYGES_CHECK(executed_or_reaped(fresh.program));
    return sent;
  }
  all.keeper = std::move(fresh);
  all.owner = ::getpid();
  return ok();
}

Status keeper_executed() {
  Keeping& all = keeping();
  std::scoped_lock lock(all.mutex);
  auto done = executed_or_reaped(all.keeper.program);
  if (!done) all.owner = -1;  // the next one is another attempt
  return done;
}

std::optional<Error> deaf_keeper() {
  Keeping& all = keeping();
  std::scoped_lock lock(all.mutex);
  int code = 0;
  if (all.owner != ::getpid() ||
      ::recv(all.keeper.input.get(), &code, sizeof(code), MSG_PEEK | MSG_DONTWAIT) != sizeof(code))
    return std::nullopt;
  return fail_errno("have cgroups kept: hear the supervisor in", "gyges-keeper", code).value();
}

}  // namespace gyges::isolation
