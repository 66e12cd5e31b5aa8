// How long a command takes from fork to end, for several ways to run it, in turns so that the
// machine's moods fall on all alike.
//
//   start_bench [--json FILE] [--rounds N] GYGES
//
// The program `stamp` must stand beside this one; it is copied into the working directory.
// Prints median and best of each in milliseconds, and the median's ratio to bwrap where it is
// installed, which peers are left out and why, and the memory of a waiting run. Trust the ratios.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Contender {
  std::string name;
  std::vector<std::string> argv;
  std::vector<double> milliseconds;
  bool works = true;     // a peer that fails on this host is left out, and said to be
  bool stamped = false;  // runs `stamp`; what counts is when that came to run
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

// A bundle for runc with the host's /usr, without a cgroup, whose mount fails where versions 1 and
// 2 are mixed. Why not, if it could not be made.
std::string make_runc_bundle(const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  for (const char* name : {"usr", "proc", "dev", "sys"})
    fs::create_directories(directory / "rootfs" / name);
  for (const char* name : {"bin", "sbin", "lib", "lib64"})
    fs::create_symlink(std::string("usr/") + name, directory / "rootfs" / name);
  const std::string command = "runc spec -b " + directory.string() + " >/dev/null 2>&1";
  if (std::system(command.c_str()) != 0) return "`runc spec` fails here";
  auto text = gyges::read_file(directory / "config.json");
  if (!text) return text.error().line();
  nlohmann::json config = nlohmann::json::parse(*text, nullptr, false);
  if (!config.is_object()) return "`runc spec` writes no JSON object";
  config["root"] = {{"path", "rootfs"}, {"readonly", true}};
  config["process"]["terminal"] = false;
  config["process"]["args"] = {"true"};
  nlohmann::json mounts = nlohmann::json::array();
  for (const auto& mount : config["mounts"])
    if (mount.value("type", "") != "cgroup") mounts.push_back(mount);
  mounts.push_back({{"destination", "/usr"},
                    {"type", "bind"},
                    {"source", "/usr"},
                    {"options", {"rbind", "ro"}}});
  config["mounts"] = mounts;
  auto written = gyges::write_file_atomically(directory / "config.json", config.dump());
  return written ? "" : written.error().line();
}

// Proportional set size in KiB of a waiting `gyges run` with all its processes; 0 where unknown.
std::uint64_t idle_memory(const std::string& gyges) {
  pid_t pid = ::vfork();
  if (pid == 0) {
    ::execl(gyges.c_str(), gyges.c_str(), "run", "-q", "--recorder", "off", "--", "sleep", "3",
            nullptr);
    ::_exit(99);
  }
  ::usleep(2000000);
  std::uint64_t total = 0;
  const std::string self = std::to_string(pid);
  const std::string parent = "\nPPid:\t" + self + "\n";
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    auto status = gyges::read_file(entry.path() / "status");
    if (!status || (entry.path().filename() != self && status->find(parent) == std::string::npos))
      continue;
    auto rollup = gyges::read_file(entry.path() / "smaps_rollup");
    auto at = rollup ? rollup->find("\nPss:") : std::string::npos;
    if (at != std::string::npos) total += std::strtoull(rollup->c_str() + at + 5, nullptr, 10);
  }
  ::waitpid(pid, nullptr, 0);
  return total;
}

// Milliseconds until its end, or until the `stamp` that it runs says to have begun; negative when
// it failed.
double time_once(const std::vector<std::string>& arguments, bool stamped) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int pipe[2] = {-1, -1};
  if (stamped && ::pipe2(pipe, O_CLOEXEC) != 0) return -1;
  timespec real{};
  ::clock_gettime(CLOCK_REALTIME, &real);
  auto begin = Clock::now();
  pid_t pid = ::vfork();
  if (pid == 0) {
    if (stamped) ::dup2(pipe[1], 1);
    ::execvp(argv[0], argv.data());
    ::_exit(99);
  }
  int status = 0;
  bool done = pid > 0 && ::waitpid(pid, &status, 0) == pid && status == 0;
  double time = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
  if (stamped) {
    long long stamp = 0;
    ::close(pipe[1]);
    done = done && ::read(pipe[0], &stamp, sizeof(stamp)) == sizeof(stamp);
    ::close(pipe[0]);
    time = static_cast<double>(stamp - real.tv_sec * 1000000000LL - real.tv_nsec) / 1e6;
  }
  return done ? time : -1;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  std::string json;  // where it goes; empty: nowhere
  int rounds = 40;
  std::string gyges;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc)
      json = argv[++i];
    else if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
      rounds = std::atoi(argv[++i]);
    else
      gyges = argv[i];
  }
  if (gyges.empty() || rounds < 1) {
    std::fprintf(stderr, "usage: start_bench [--json FILE] [--rounds N] GYGES\n");
    return 2;
  }
  auto directory = gyges::TemporaryDirectory::create("gyges-bench");
  if (!directory) {
    std::fprintf(stderr, "start_bench: %s\n", directory.error().line().c_str());
    return 1;
  }
  std::vector<Contender> contenders = {{"true", {"/bin/true"}, {}}};
  std::vector<std::pair<std::string, std::string>> left_out;  // peer, reason
  auto have = [&](const char* program) {
    bool found = installed(program);
    if (!found) left_out.emplace_back(program, "not installed");
    return found;
  };
  if (have("bwrap")) {
    contenders.push_back({"bwrap, the host's dev and proc",
                          {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"},
                          {}});
    contenders.push_back({"bwrap with its own dev and proc",
                          {"bwrap", "--unshare-all", "--ro-bind", "/", "/", "--dev", "/dev",
                           "--proc", "/proc", "true"},
                          {}});
  }
  if (have("unshare"))
    contenders.push_back({"unshare -Urpfn", {"unshare", "-Urpfn", "--mount-proc", "true"}, {}});
  if (have("strace"))
    contenders.push_back({"strace -f", {"strace", "-f", "-o", "/dev/null", "true"}, {}});
  if (have("firejail"))
    contenders.push_back(
        {"firejail --noprofile", {"firejail", "--quiet", "--noprofile", "true"}, {}});
  if (have("runc")) {
    const std::string reason = ::geteuid() != 0 ? "as measured here it needs root"
                                                : make_runc_bundle(directory->path() / "runc");
    if (reason.empty())
      contenders.push_back({"runc run",
                            {"runc", "run", "-b", (directory->path() / "runc").string(),
                             "gyges-bench-" + std::to_string(::getpid())},
                            {}});
    else
      left_out.emplace_back("runc", reason);
  }
  if (have("runsc"))
    contenders.push_back({"runsc do", {"runsc", "--rootless", "--network=none", "do", "true"}, {}});
  contenders.push_back({"gyges --version", {gyges, "--version"}, {}});
  contenders.push_back(
      {"gyges run, recorder off", {gyges, "run", "--recorder", "off", "--", "true"}, {}});
  // With a bundle on disk, as a record needs one, so that what differs is the recorder.
  // The working directory is what the agent sees of the host.
  const std::string stamp = "./gyges-bench-stamp";
  std::error_code code;
  std::filesystem::copy_file(
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "stamp", stamp,
      std::filesystem::copy_options::overwrite_existing, code);
  if (code) {
    std::fprintf(stderr, "start_bench: cannot copy the program stamp here\n");
    return 1;
  }
  for (const char* backend : {"off", "ebpf", "ptrace"}) {
    if (std::strcmp(backend, "ebpf") == 0 && ::geteuid() != 0) continue;
    for (const std::string& program : {stamp, std::string("true")}) {
      const bool stamped = program == stamp;
      contenders.push_back(
          {std::string("bundle, recorder ") + backend + (stamped ? ": until it runs" : ": whole"),
           {gyges, "run", "-q", "--recorder", backend, "--out", "?", "--", program},
           {},
           true,
           stamped});
    }
  }
  int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  int output = ::dup(1);
  int errors = ::dup(2);
  ::dup2(null, 1);
  ::dup2(null, 2);
  for (int round = 0; round < rounds; ++round)
    for (Contender& contender : contenders) {
      std::vector<std::string> arguments = contender.argv;
      std::filesystem::path out = directory->path() / "bundle";
      for (std::string& argument : arguments)
        if (argument == "?") argument = out.string();
      double time = time_once(arguments, contender.stamped);
      std::filesystem::remove_all(out);
      if (time < 0 &&
          (contender.name.starts_with("gyges") || contender.name.starts_with("bundle"))) {
        ::dup2(errors, 2);
        std::fprintf(stderr, "start_bench: %s failed\n", contender.name.c_str());
        return 1;
      }
      contender.works &= time >= 0;
      contender.milliseconds.push_back(time);
    }
  ::dup2(output, 1);
  ::dup2(errors, 2);
  std::filesystem::remove(stamp, code);
  for (const Contender& contender : contenders)
    if (!contender.works) left_out.emplace_back(contender.name, "it fails here");
  std::erase_if(contenders, [](const Contender& contender) { return !contender.works; });
  double peer = 0;
  for (const Contender& contender : contenders)
    if (contender.name == "bwrap with its own dev and proc") peer = median(contender.milliseconds);
  nlohmann::json rows = nlohmann::json::array();
  std::printf("%-34s %10s %10s %10s\n", "", "median ms", "best ms", "x bwrap");
  for (const Contender& contender : contenders) {
    double middle = median(contender.milliseconds);
    double best = *std::min_element(contender.milliseconds.begin(), contender.milliseconds.end());
    rows.push_back(
        {{"name", contender.name},
         {"median_ms", middle},
         {"best_ms", best},
         {"ratio_to_bwrap", peer > 0 ? nlohmann::json(middle / peer) : nlohmann::json()}});
    std::printf("%-34s %10.2f %10.2f %10.2f\n", contender.name.c_str(), middle, best,
                peer > 0 ? middle / peer : 0.0);
  }
  const std::uint64_t memory = idle_memory(gyges);
  std::printf("%-34s %10llu KiB PSS, all its processes\n", "a waiting gyges run",
              static_cast<unsigned long long>(memory));
  nlohmann::json skipped = nlohmann::json::array();
  for (const auto& [name, reason] : left_out) {
    skipped.push_back({{"name", name}, {"reason", reason}});
    std::printf("left out: %s: %s\n", name.c_str(), reason.c_str());
  }
  if (json.empty()) return 0;
  const nlohmann::json document = {{"user", ::geteuid() == 0 ? "root" : "ordinary"},
                                   {"rounds", rounds},
                                   {"starts", rows},
                                   {"left_out", skipped},
                                   {"waiting_run_pss_kib", memory}};
  auto written = gyges::write_file_atomically(json, document.dump(2) + "\n");
  if (!written) std::fprintf(stderr, "start_bench: %s\n", written.error().line().c_str());
  return written ? 0 : 1;
}
