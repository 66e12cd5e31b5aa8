// What a sandbox costs inside one process, phase by phase: the start by its parts, a command, the
// stop, the same from a pool, the memory of an idle sandbox, and what calls cost under the filter
// and under Landlock.
//
//   phases_bench [--json FILE] [--rounds N]
//
// Medians. bwrap, where it is installed, is run in the same rounds, and is the measure of the
// ratios. The programs `stamp` and `first_stamp` must stand beside this one, in a directory that
// the agent's user may enter.
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
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/json.h"
#include "sandbox/isolation/plan.h"
#include "sandbox/isolation/pool.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/isolation/shipped_filters.h"
#include "sandbox/network/network_policy.h"

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

std::int64_t real_time() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

std::filesystem::path own_directory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

// This program's directory, seen inside as /bench.
void show_bench(Policy& policy) {
  Mount mount;
  mount.kind = Mount::Kind::read_only;
  mount.source = own_directory().string();
  mount.target = "/bench";
  policy.filesystem.mounts.push_back(mount);
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

// When a program that stamps came to run, from what it wrote.
std::int64_t stamp_of(const Pipe& pipe) {
  std::int64_t stamp = 0;
  if (::read(pipe.read.get(), &stamp, sizeof(stamp)) != sizeof(stamp)) give_up("no stamp came");
  return stamp;
}

// Nanoseconds of one round, best of five: the child's program, and its control outside.
double call_cost(const std::string& name) {
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    const int calls = name == "open, read, close" ? 40000 : 200000;
    char bytes[64];
    auto begin = Clock::now();
    for (int i = 0; i < calls; ++i)
      if (name == "getpid") {
        ::syscall(SYS_getpid);
      } else if (name == "socket") {
        ::syscall(SYS_socket, -1, 0, 0);  // refused by the kernel after the filter has looked at it
      } else {
        int fd = ::open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
        if (fd < 0 || ::read(fd, bytes, sizeof(bytes)) <= 0) give_up("cannot read /usr/bin/env");
        ::close(fd);
      }
    double each = std::chrono::duration<double, std::nano>(Clock::now() - begin).count() / calls;
    best = std::min(best, each);
  }
  return best;
}

double call_cost_inside(Policy policy, const std::string& name) {
  show_bench(policy);
  auto sandbox = must(Sandbox::start({policy, {}, nullptr}));
  Pipe pipe = must(make_pipe());
  run_in(*sandbox, policy, {"/bench/phases_bench", "--call", name}, pipe.write.get());
  char text[64] = {};
  if (::read(pipe.read.get(), text, sizeof(text) - 1) <= 0) give_up("no figure from inside");
  return std::atof(text);
}

// `program` under bwrap, its output into `output` (-1: as here).
bool run_peer(const char* program, int output) {
  pid_t pid = ::vfork();
  if (pid == 0) {
    if (output >= 0) ::dup2(output, 1);
    ::execlp("bwrap", "bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev", "--proc",
             "/proc", program, nullptr);
    ::_exit(99);
  }
  int status = 0;
  return pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string json;  // where it goes; empty: nowhere
  int rounds = 30;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--call") == 0 && i + 1 < argc) {
      std::printf("%.1f\n", call_cost(argv[i + 1]));
      return 0;
    }
    if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) json = argv[++i];
    if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) rounds = std::atoi(argv[++i]);
  }
  if (rounds < 1) give_up("--rounds N must be positive");
  Policy policy = must(load_policy("default"));
  policy.filesystem.workspace = Filesystem::Workspace::none;
  const char* const stamps[] = {"first_stamp", "stamp"};
  Policy with_bench = policy;
  show_bench(with_bench);
  Policy with_network = policy;
  with_network.network = must(network::network_policy_from_json({{"mode", "gateway"}}, "bench"));
  Policy on_ports = with_network;
  on_ports.network.capture = network::CaptureDemand::ports;
  HostFacts host = read_host_facts().value();
  std::vector<Row> rows = {{"read the preset", "ms", {}},
                           {"plan", "ms", {}},
                           {"find the system call filter", "ms", {}},
                           {"start, all of it", "ms", {}},
                           {"run true inside", "ms", {}},
                           {"stop and collect changes", "ms", {}},
                           {"start with a network, all of it", "ms", {}},
                           {"start with a network on listed ports", "ms", {}},
                           {"pool: take", "ms", {}},
                           {"pool: take, until the first instruction", "ms", {}},
                           {"pool: take, until main of a static program", "ms", {}},
                           {"pool: take, until true has ended", "ms", {}},
                           {"pool: the whole life, changes collected", "ms", {}},
                           {"bwrap: until the first instruction", "ms", {}},
                           {"bwrap: until main of a static program", "ms", {}},
                           {"bwrap: true, the whole life", "ms", {}}};
  bool peer = run_peer("true", -1);
  if (!peer) std::fprintf(stderr, "phases_bench: no ratios: bwrap is missing or fails here\n");
  auto pool = must(SandboxPool::create({with_bench, {}, nullptr}, 4));
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
    for (const Policy& networked : {with_network, on_ports}) {
      sandbox.reset();
      add(milliseconds([&] { sandbox = must(Sandbox::start({networked, {}, nullptr})); }));
      must(sandbox->stop(""));
    }
    sandbox.reset();
    Pipe pipe = must(make_pipe());
    std::unique_ptr<Sandbox> taken;
    for (const char* stamp : stamps) {
      const auto begin = Clock::now();
      const std::int64_t from = real_time();
      taken = must(pool->take(nullptr));
      const auto have = Clock::now();
      run_in(*taken, policy, {std::string("/bench/") + stamp}, pipe.write.get());
      if (stamp == stamps[0]) add(std::chrono::duration<double, std::milli>(have - begin).count());
      add(static_cast<double>(stamp_of(pipe) - from) / 1e6);
      taken.reset();
      while (pool->counts().ready < 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    auto begin = Clock::now();
    taken = must(pool->take(nullptr));
    run_in(*taken, policy, {"true"}, -1);
    auto end = Clock::now();
    add(std::chrono::duration<double, std::milli>(end - begin).count());
    must(taken->stop(""));
    taken.reset();
    add(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    while (pool->counts().ready < 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!peer) continue;
    for (const char* stamp : stamps) {
      const std::int64_t from = real_time();
      if (!run_peer((own_directory() / stamp).c_str(), pipe.write.get())) give_up("bwrap failed");
      add(static_cast<double>(stamp_of(pipe) - from) / 1e6);
    }
    add(milliseconds([] { (void)run_peer("true", -1); }));
  }
  if (pool->counts().cold != 0) give_up("the pool ran dry");
  if (!peer) rows.resize(rows.size() - 3);
  const double of_peer = peer ? median(rows.back().values) : 0;
  pool.reset();
  rows.push_back({"memory of an idle sandbox, PSS", "KiB", {idle_memory(policy, 20)}});
  Policy no_landlock = policy;
  no_landlock.landlock.mounts = LandlockRules::Mounts::off;
  for (const char* call : {"getpid", "socket", "open, read, close"}) {
    const std::string name = call;
    rows.push_back({name + ": outside", "ns", {call_cost(call)}});
    rows.push_back({name + ": with the filter", "ns", {call_cost_inside(no_landlock, call)}});
    rows.push_back({name + ": with filter and Landlock", "ns", {call_cost_inside(policy, call)}});
  }
  nlohmann::json document = nlohmann::json::array();
  for (const Row& row : rows) {
    double value = median(row.values);
    bool compared = of_peer > 0 && row.unit == "ms";
    document.push_back({{"name", row.name}, {"unit", row.unit}, {"median", value}});
    if (compared) document.back()["ratio_to_bwrap"] = value / of_peer;
    std::printf("%-42s %10.3f %s", row.name.c_str(), value, row.unit.c_str());
    if (compared) std::printf("  %5.2f x bwrap", value / of_peer);
    std::printf("\n");
  }
  if (!json.empty())
    if (auto written = write_file_atomically(json, document.dump(2) + "\n"); !written)
      give_up(written.error().line());
  return 0;
}
