// What a sandbox costs inside one process, phase by phase: the start by its parts, a command, the
// stop, the same from a pool, the memory of an idle sandbox, and system calls under the filter.
//
//   phases_bench [--json] [--rounds N]
//
// Medians. bwrap, where it is installed, is run in the same rounds.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/pool.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/isolation/shipped_filters.h"

namespace {

using namespace gyges;
using namespace gyges::isolation;
using Clock = std::chrono::steady_clock;

struct Row {
  std::string name;
  std::string unit;
  std::vector<double> values;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  auto middle = values.begin() + static_cast<long>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

[[noreturn]] void give_up(const std::string& what) {
  std::fprintf(stderr, "phases_bench: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) give_up(result.error().line());
  return std::move(*result);
}

double milliseconds(const std::function<void()>& work) {
  auto begin = Clock::now();
  work();
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

void run_in(Sandbox& sandbox, const Policy& policy, std::vector<std::string> argv, int output) {
  Command command;
  command.argv = std::move(argv);
  command.environment = command_environment(policy);
  command.directory = "/";
  command.standard_output = output;
  CommandId id = must(sandbox.spawn(command));
  auto end = must(sandbox.wait(id, Clock::now() + std::chrono::seconds(60)));
  if (!end || end->exit_code != 0 || end->signal != 0) give_up("a command failed inside");
}

// Proportional set size of a process in KiB, 0 where it cannot be read.
std::uint64_t pss(const std::string& pid) {
  auto text = read_file("/proc/" + pid + "/smaps_rollup");
  if (!text) return 0;
  auto at = text->find("\nPss:");
  return at == std::string::npos ? 0 : std::strtoull(text->c_str() + at + 5, nullptr, 10);
}

std::vector<std::string> children_named_init() {
  std::vector<std::string> found;
  std::string parent = "\nPPid:\t" + std::to_string(::getpid()) + "\n";
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    auto status = read_file(entry.path() / "status");
    if (status && status->starts_with("Name:\tinit\n") && status->find(parent) != std::string::npos)
      found.push_back(entry.path().filename().string());
  }
  return found;
}

// KiB for each of `count` idle sandboxes, this process's growth included.
double idle_memory(const Policy& policy, int count) {
  std::uint64_t before = pss("self");
  std::vector<std::unique_ptr<Sandbox>> sandboxes;
  for (int i = 0; i < count; ++i) sandboxes.push_back(must(Sandbox::start({policy, {}, nullptr})));
  std::uint64_t total = pss("self") - before;
  std::vector<std::string> members = children_named_init();
  for (const std::string& member : members) total += pss(member);
  if (members.empty()) return 0;
  return static_cast<double>(total) / count;
}

// Nanoseconds of one call, best of five rounds: the child's program, and its control outside.
double call_cost(const std::string& name) {
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    constexpr int calls = 200000;
    auto begin = Clock::now();
    for (int i = 0; i < calls; ++i)
      if (name == "getppid")
        ::syscall(SYS_getppid);
      else
        ::syscall(SYS_socket, -1, 0, 0);  // refused by the kernel after the filter has looked at it
    double each = std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / calls;
    best = std::min(best, each);
  }
  return best;
}

double call_cost_inside(Policy policy, const std::string& name) {
  std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  Mount mount;
  mount.kind = Mount::Kind::read_only;
  mount.source = self.parent_path().string();
  mount.target = "/bench";
  policy.filesystem.mounts.push_back(mount);
  auto sandbox = must(Sandbox::start({policy, {}, nullptr}));
  Pipe pipe = must(make_pipe());
  run_in(*sandbox, policy, {"/bench/" + self.filename().string(), "--call", name},
         pipe.write.get());
  char text[64] = {};
  if (::read(pipe.read.get(), text, sizeof(text) - 1) <= 0) give_up("no figure from inside");
  return std::atof(text);
}

bool run_peer() {
  pid_t pid = ::vfork();
  if (pid == 0) {
    ::execlp("bwrap", "bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc",
             "/proc", "true", nullptr);
    ::_exit(99);
  }
  int status = 0;
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
}

}  // namespace

int main(int argc, char** argv) {
  bool json = false;
  int rounds = 30;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--call") == 0 && i + 1 < argc) {
      std::printf("%.1f\n", call_cost(argv[i + 1]));
      return 0;
    }
    if (std::strcmp(argv[i], "--json") == 0) json = true;
    if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) rounds = std::atoi(argv[++i]);
  }
  if (rounds < 1) give_up("--rounds N must be positive");
  Policy policy = must(load_policy("default"));
  policy.filesystem.workspace = Filesystem::Workspace::none;
  HostFacts host = read_host_facts().value();
  std::vector<Row> rows = {{"read the preset", "ms", {}},
                           {"plan", "ms", {}},
                           {"find the system call filter", "ms", {}},
                           {"start, all of it", "ms", {}},
                           {"run true inside", "ms", {}},
                           {"stop and collect changes", "ms", {}},
                           {"take from the pool", "ms", {}},
                           {"take from the pool and run true", "ms", {}},
                           {"bwrap with dev and proc, true", "ms", {}}};
  bool peer = run_peer();
  auto pool = must(SandboxPool::create({policy, {}, nullptr}, 4));
  for (int round = 0; round < rounds; ++round) {
    std::size_t row = 0;
    auto add = [&](double value) { rows[row++].values.push_back(value); };
    // The pool's own thread must not work while something else is measured.
    while (pool->counts().ready < 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    add(milliseconds([&] { must(load_policy("default")); }));
    add(milliseconds([&] { must(make_plan(policy, host, {})); }));
    add(milliseconds(
        [&] { must(seccomp_programs(policy.seccomp, policy.grants, policy.capabilities)); }));
    std::unique_ptr<Sandbox> sandbox;
    add(milliseconds([&] { sandbox = must(Sandbox::start({policy, {}, nullptr})); }));
    add(milliseconds([&] { run_in(*sandbox, policy, {"true"}, -1); }));
    add(milliseconds([&] { must(sandbox->stop("")); }));
    auto begin = Clock::now();
    std::unique_ptr<Sandbox> taken = must(pool->take(nullptr));
    auto have = Clock::now();
    run_in(*taken, policy, {"true"}, -1);
    auto end = Clock::now();
    add(std::chrono::duration<double, std::milli>(have - begin).count());
    add(std::chrono::duration<double, std::milli>(end - begin).count());
    taken.reset();
    while (pool->counts().ready < 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (peer) add(milliseconds([] { (void)run_peer(); }));
  }
  if (pool->counts().cold != 0) give_up("the pool ran dry");
  if (!peer) rows.pop_back();
  pool.reset();
  rows.push_back({"memory of an idle sandbox, PSS", "KiB", {idle_memory(policy, 20)}});
  for (const char* call : {"getppid", "socket"}) {
    rows.push_back({std::string(call) + " outside", "ns", {call_cost(call)}});
    rows.push_back({std::string(call) + " inside", "ns", {call_cost_inside(policy, call)}});
  }
  nlohmann::json document = nlohmann::json::array();
  for (const Row& row : rows) {
    double value = median(row.values);
    if (json)
      document.push_back({{"name", row.name}, {"unit", row.unit}, {"median", value}});
    else
      std::printf("%-36s %10.3f %s\n", row.name.c_str(), value, row.unit.c_str());
  }
  if (json) std::printf("%s\n", document.dump(2).c_str());
  return 0;
}
