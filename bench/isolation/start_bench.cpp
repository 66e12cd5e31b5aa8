// How long a command takes from fork to end, for several ways to run it, in turns so that the
// machine's moods fall on all alike.
//
//   start_bench [--json] [--rounds N] GYGES
//
// Prints median and best of each in milliseconds, and the median's ratio to bwrap where it is
// installed. Trust the ratios.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/files.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Contender {
  std::string name;
  std::vector<std::string> argv;
  std::vector<double> milliseconds;
  bool works = true;  // a peer that fails on this host is left out, and said to be
};

bool installed(const char* program) {
  const char* path = std::getenv("PATH");
  std::string list = path != nullptr ? path : "";
  for (std::size_t at = 0; at <= list.size();) {
    std::size_t end = std::min(list.find(':', at), list.size());
    if (::access((list.substr(at, end - at) + "/" + program).c_str(), X_OK) == 0) return true;
    at = end + 1;
  }
  return false;
}

// A bundle for runc that shows the host's root, as bwrap's command line does. Whether it could be
// made.
bool make_runc_bundle(const std::filesystem::path& directory) {
  std::error_code ignored;
  std::filesystem::create_directories(directory, ignored);
  std::string command = "runc spec -b " + directory.string() + " >/dev/null 2>&1";
  if (std::system(command.c_str()) != 0) return false;
  auto text = gyges::read_file(directory / "config.json");
  if (!text) return false;
  nlohmann::json config = nlohmann::json::parse(*text, nullptr, false);
  if (config.is_discarded()) return false;
  config["root"] = {{"path", "/"}, {"readonly", true}};
  config["process"]["terminal"] = false;
  config["process"]["args"] = {"true"};
  nlohmann::json mounts = nlohmann::json::array();
  // Its cgroup mount fails where version 1 and 2 are mixed.
  for (const auto& mount : config["mounts"])
    if (mount.at("type") != "cgroup") mounts.push_back(mount);
  config["mounts"] = mounts;
  return gyges::write_file(directory / "config.json", config.dump()).has_value();
}

// Proportional set size in KiB of a waiting `gyges run` with pid 1 and keeper; 0 where unknown.
std::uint64_t idle_memory(const std::string& gyges) {
  pid_t pid = ::vfork();
  if (pid == 0) {
    ::execl(gyges.c_str(), gyges.c_str(), "run", "-q", "--recorder", "off", "--", "sleep", "2",
            nullptr);
    ::_exit(99);
  }
  ::usleep(1200000);
  std::uint64_t total = 0;
  std::string parent = "\nPPid:\t" + std::to_string(pid) + "\n";
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    auto status = gyges::read_file(entry.path() / "status");
    if (!status || (entry.path().filename() != std::to_string(pid) &&
                    status->find(parent) == std::string::npos))
      continue;
    auto rollup = gyges::read_file(entry.path() / "smaps_rollup");
    auto at = rollup ? rollup->find("\nPss:") : std::string::npos;
    if (at != std::string::npos) total += std::strtoull(rollup->c_str() + at + 5, nullptr, 10);
  }
  ::waitpid(pid, nullptr, 0);
  return total;
}

// Milliseconds, or a negative number when the command failed.
double time_once(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  auto begin = Clock::now();
  pid_t pid = ::vfork();
  if (pid == 0) {
    ::execvp(argv[0], argv.data());
    ::_exit(99);
  }
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid || status != 0) return -1;
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  bool json = false;
  int rounds = 40;
  std::string gyges;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0)
      json = true;
    else if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
      rounds = std::atoi(argv[++i]);
    else
      gyges = argv[i];
  }
  if (gyges.empty() || rounds < 1) {
    std::fprintf(stderr, "usage: start_bench [--json] [--rounds N] GYGES\n");
    return 2;
  }
  auto directory = gyges::TemporaryDirectory::create("gyges-bench");
  if (!directory) {
    std::fprintf(stderr, "start_bench: %s\n", directory.error().line().c_str());
    return 1;
  }
  std::vector<Contender> contenders = {{"true", {"/bin/true"}, {}}};
  if (installed("bwrap")) {
    contenders.push_back({"bwrap, as the issue names it",
                          {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"},
                          {}});
    contenders.push_back({"bwrap with dev and proc",
                          {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev",
                           "--proc", "/proc", "true"},
                          {}});
  }
  if (installed("unshare"))
    contenders.push_back({"unshare -Urpfn", {"unshare", "-Urpfn", "--mount-proc", "true"}, {}});
  if (installed("strace"))
    contenders.push_back({"strace -f", {"strace", "-f", "-o", "/dev/null", "true"}, {}});
  if (installed("firejail"))
    contenders.push_back(
        {"firejail --noprofile", {"firejail", "--quiet", "--noprofile", "true"}, {}});
  if (installed("runsc"))
    contenders.push_back({"runsc do", {"runsc", "--rootless", "--network=none", "do", "true"}, {}});
  if (installed("runc") && ::geteuid() == 0 && make_runc_bundle(directory->path() / "runc"))
    contenders.push_back({"runc run",
                          {"runc", "run", "-b", (directory->path() / "runc").string(),
                           "gyges-bench-" + std::to_string(::getpid())},
                          {}});
  contenders.push_back({"gyges --version", {gyges, "--version"}, {}});
  contenders.push_back(
      {"gyges run, recorder off", {gyges, "run", "--recorder", "off", "--", "true"}, {}});
  for (const char* backend : {"ebpf", "ptrace"}) {
    if (std::strcmp(backend, "ebpf") == 0 && ::geteuid() != 0) continue;
    contenders.push_back({std::string("gyges run, recorder ") + backend,
                          {gyges, "run", "-q", "--recorder", backend, "--out", "?", "--", "true"},
                          {}});
  }
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  int output = ::dup(1);
  ::dup2(null, 1);
  for (int round = 0; round < rounds; ++round)
    for (Contender& contender : contenders) {
      std::vector<std::string> arguments = contender.argv;
      std::filesystem::path out = directory->path() / "bundle";
      for (std::string& argument : arguments)
        if (argument == "?") argument = out.string();
      double time = time_once(arguments);
      std::filesystem::remove_all(out);
      if (time < 0 && contender.name.starts_with("gyges")) {
        std::fprintf(stderr, "start_bench: %s failed\n", contender.name.c_str());
        return 1;
      }
      contender.works &= time >= 0;
      contender.milliseconds.push_back(time);
    }
  ::dup2(output, 1);
  for (const Contender& contender : contenders)
    if (!contender.works)
      std::fprintf(stderr, "start_bench: left out, it fails here: %s\n", contender.name.c_str());
  std::erase_if(contenders, [](const Contender& contender) { return !contender.works; });
  double peer = 0;
  for (const Contender& contender : contenders)
    if (contender.name == "bwrap with dev and proc") peer = median(contender.milliseconds);
  nlohmann::json rows = nlohmann::json::array();
  if (!json) std::printf("%-34s %10s %10s %10s\n", "", "median ms", "best ms", "x bwrap");
  for (const Contender& contender : contenders) {
    double middle = median(contender.milliseconds);
    double best = *std::min_element(contender.milliseconds.begin(), contender.milliseconds.end());
    if (json)
      rows.push_back(
          {{"name", contender.name},
           {"median_ms", middle},
           {"best_ms", best},
           {"ratio_to_bwrap", peer > 0 ? nlohmann::json(middle / peer) : nlohmann::json()}});
    else
      std::printf("%-34s %10.2f %10.2f %10.2f\n", contender.name.c_str(), middle, best,
                  peer > 0 ? middle / peer : 0.0);
  }
  std::uint64_t memory = idle_memory(gyges);
  if (json)
    std::printf("%s\n", nlohmann::json{{"user", ::geteuid() == 0 ? "root" : "ordinary"},
                                       {"starts", rows},
                                       {"idle_run_pss_kib", memory}}
                            .dump(2)
                            .c_str());
  else
    std::printf("memory of a waiting gyges run, pid 1 and keeper included: %llu KiB PSS\n",
                static_cast<unsigned long long>(memory));
  return 0;
}
