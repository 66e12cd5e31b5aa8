// One life of a sandbox, between two markers, for the fault injector:
//   fault_subject cold|warm [demanding]
// Prints what a test needs to judge it, one "KEY VALUE" a line:
//   error LINE          what the sandbox's error says, if it could not be started or run
//   fact LINE           what a command inside saw of its confinement
//   leak descriptor|child NAME   what this process has more of afterwards
//   again LINE          "ok", or why a second sandbox, without fault, could not be had
// `warm`: one sandbox was made before, so that what is made once per process exists.
// `demanding`: the policy accepts no stand-in for the control groups.
// The program knows nothing of faults: they come from outside.
#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>

#include "base/files.h"
#include "base/text.h"
#include "fault_subject.h"
#include "sandbox/isolation/sandbox.h"
#include "tests/own_groups.h"

namespace gyges::faults {
namespace {

using namespace isolation;

// Begins or ends the time of faults.
void mark() {
  ::raise(marker_signal);
}

// What confines a process, from inside. Numbers that differ between two sandboxes are left out.
constexpr const char* inspection =
    "while read -r k v; do case $k in Uid:|Gid:|Groups:|Cap*|NoNewPrivs:|Seccomp*|Threads:) "
    "echo $k $v;; esac; done < /proc/self/status\n"
    "while read -r line; do echo \"$line\"; done < /proc/self/limits\n"
    "while read -r id parent device root point attributes rest; do "
    "echo mount $point $attributes; done < /proc/self/mountinfo\n"
    "while read -r line; do echo cgroup \"$line\"; done < /proc/self/cgroup\n"
    "while read -r line; do echo host \"$line\"; done < /proc/sys/kernel/hostname\n"
    "while read -r line; do echo net \"$line\"; done < /proc/net/dev\n"
    "while read -r line; do echo route \"$line\"; done < /proc/net/fib_trie\n"
    "echo dev /dev/* /dev/pts/*; echo root /*; echo fd /proc/self/fd/*; umask; pwd; "
    "echo $0 $$ $PPID\n"
    "echo x > /usr/x; echo x > /x; echo x > /tmp/x; echo x > /home/user/x\n"
    "for p in /proc/[0-9]*; do echo process $p; done\n"
    "set\n";

std::set<std::string> descriptors() {
  std::set<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    auto target = std::filesystem::read_symlink(entry.path(), ignored);
    if (!ignored) found.insert(entry.path().filename().string() + " " + target.string());
  }
  // The one that lists the directory.
  std::erase_if(found, [](const std::string& line) { return line.find("/fd") != line.npos; });
  return found;
}

// clone(2) with CLONE_VFORK returns before the program that was executed has given its name.
std::string name_of(const std::string& pid) {
  const std::string own = read_file("/proc/self/comm").value_or("");
  std::string name;
  for (int attempt = 0; attempt < 500; ++attempt) {
    name = read_file("/proc/" + pid + "/comm").value_or("?");
    // On a busy host it takes its name late; until then it has that of its file in memory.
    const bool unnamed = name == own || name.starts_with("memfd:");
    if (name.starts_with("gyges-") || (!unnamed && attempt > 20)) break;
    ::usleep(10000);
  }
  return name;
}

std::set<std::string> children() {
  std::set<std::string> found;
  auto text = read_file("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  for (const std::string& pid : split(text.value_or(""), ' '))
    if (!pid.empty()) found.insert(name_of(pid));
  return found;
}

// The limits of the cgroups that this process made, as they are set while the sandbox lives.
std::string cgroup_limits() {
  std::string text;
  for (const std::string& group : groups_of(::getpid()))
    for (const char* name : {"pids.max", "memory.max", "memory.limit_in_bytes"})
      if (auto value = read_file(group + "/" + name)) text += std::string(name) + " " + *value;
  return text;
}

Result<std::string> live_once(bool marked, bool demanding) {
  GYGES_TRY(Policy policy, load_policy("default"));
  policy.filesystem.workspace = Filesystem::Workspace::none;
  policy.limits.wall_seconds = 20;
  policy.limits.processes = 100;
  policy.limits.processes_of_sandbox = demanding;
  policy.limits.memory_of_sandbox = demanding;
  SandboxSpec spec{policy, {}, nullptr};
  SeedFile file;
  file.path = "/home/user/seeded";
  file.content = "seed";
  spec.seed.push_back(file);
  GYGES_TRY(std::unique_ptr<Sandbox> sandbox, Sandbox::start(spec));
  // Looking from outside is this program's own, not the sandbox's.
  if (marked) mark();
  std::string facts = cgroup_limits();
  // As run.json states it.
  facts += "enforced processes of the " + sandbox->enforcement().processes + "\n";
  facts += "enforced memory of the " + sandbox->enforcement().memory + "\n";
  if (marked) mark();
  GYGES_TRY(Pipe pipe, make_pipe());
  Command command;
  command.argv = {"/bin/sh", "-c", inspection};
  command.environment = command_environment(policy);
  command.standard_output = command.standard_error = pipe.write.get();
  GYGES_TRY(CommandId id, sandbox->spawn(command));
  pipe.write.reset();
  GYGES_TRY(std::string output, read_all(pipe.read.get(), 1U << 20U));
  GYGES_TRY(std::optional<CommandEnd> end,
            sandbox->wait(id, std::chrono::steady_clock::now() + std::chrono::seconds(15)));
  if (!end) return fail("run command", "inspection", "it did not end");
  if (!end->start_error.empty()) return fail("start command", "inspection", end->start_error);
  facts += output;
  GYGES_TRY(SandboxEnd ended, sandbox->stop(""));
  for (const FileChange& change : ended.changes) facts += "change " + change.path + "\n";
  for (const LimitHit& hit : ended.limits_hit) facts += "limit " + hit.limit + "\n";
  facts += ended.changes_complete ? "" : "changes incomplete\n";
  return facts;
}

void print_lines(const char* key, const std::string& text) {
  for (const std::string& line : split(text, '\n'))
    if (!line.empty()) std::printf("%s %s\n", key, line.c_str());
}

int run(bool warm, bool demanding) {
  if (warm && !live_once(false, demanding)) return 3;
  std::set<std::string> descriptors_before = descriptors();
  std::set<std::string> children_before = children();
  mark();
  auto facts = live_once(true, demanding);
  mark();
  if (facts)
    print_lines("fact", *facts);
  else
    print_lines("error", facts.error().line());
  std::set<std::string> descriptors_after = descriptors();
  for (const std::string& name : descriptors_after)
    if (descriptors_before.count(name) == 0) print_lines("leak descriptor", name);
  for (const std::string& name : children())
    if (children_before.count(name) == 0) print_lines("leak child", name);
  auto again = live_once(false, demanding);
  print_lines("again", again ? "ok" : again.error().line());
  return 0;
}

}  // namespace
}  // namespace gyges::faults

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  std::setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
  return gyges::faults::run(std::strcmp(argv[1], "warm") == 0,
                            argc > 2 && std::strcmp(argv[2], "demanding") == 0);
}
