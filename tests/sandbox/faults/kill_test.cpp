// kill -9 of each of our processes (supervisor, pid 1, keeper, tracer, a command on its way to its
// gate) at moments spread over the whole life of a run: nothing is left, and the bundle is absent,
// marked as not whole, or good.
//
// The moments are system calls, drawn by GYGES_SEED (default 1); GYGES_KILLS says how many for each
// recorder (default 20; scripts/soak takes more). GYGES_KILL_ROLE and GYGES_KILL_CALL kill at one
// call again and again.
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "base/files.h"
#include "leftovers.h"
#include "traced_run.h"

namespace gyges::faults {
namespace {

unsigned number_from(const char* variable, unsigned otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

class Kill : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (::access(GYGES_BINARY, X_OK) != 0) GTEST_SKIP() << GYGES_BINARY << " is out of reach";
    if (std::string(GetParam()) == "ebpf" && ::geteuid() != 0)
      GTEST_SKIP() << "loading BPF programs needs root";
    auto directory = TemporaryDirectory::create("gyges-kill");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    token_ = "3153" + std::to_string(::getpid());
  }

  [[nodiscard]] std::filesystem::path bundle() const { return directory_->path() / "bundle"; }

  Traced run(std::vector<std::string> arguments, const Fault& fault, bool traced_commands) const {
    TracedRun run;
    run.argv = {GYGES_BINARY};
    run.argv.insert(run.argv.end(), arguments.begin(), arguments.end());
    run.environment = {"TMPDIR=" + temporary().string(), "ASAN_OPTIONS=detect_leaks=0",
                       "XDG_STATE_HOME=" + (directory_->path() / "state").string()};
    run.fault = fault;
    run.follow_commands = traced_commands;
    // What comes before is the dynamic loader's.
    run.first_call = SYS_rt_sigprocmask;
    return run_traced(run);
  }

  [[nodiscard]] std::filesystem::path temporary() const { return directory_->path() / "tmp"; }

  Traced live(const Fault& fault) const {
    std::error_code ignored;
    std::filesystem::remove_all(bundle(), ignored);
    std::filesystem::create_directory(temporary(), ignored);
    return run({"run", "--recorder", GetParam(), "--out", bundle().string(), "--workspace",
                temporary().string(), "--", "/bin/sh", "-c",
                "setsid sleep " + token_ + " > /dev/null 2>&1 & echo x > /tmp/x; sleep 0.02"},
               fault, std::string(GetParam()) != "ptrace");
  }

  // "" when the bundle is what it may be.
  std::string complaint_about_bundle() const {
    if (!std::filesystem::exists(bundle())) return "";
    Traced verified = run({"verify", bundle().string()}, {}, true);
    bool sealed = std::filesystem::exists(bundle() / "seal.json");
    if (sealed != (verified.status == 0))
      return (sealed ? "sealed and not good: " : "not sealed and good: ") + verified.output;
    if (!WIFEXITED(verified.status)) return "gyges verify died";
    if (!std::filesystem::exists(bundle() / "trace.gyt")) return "";
    Traced shown = run({"trace", "stat", bundle().string()}, {}, true);
    if (!WIFEXITED(shown.status)) return "gyges trace stat died";
    // A trace without its first block is no trace yet; a longer one is read as far as it goes, and
    // the reader says where it ends.
    bool says_end = shown.output.find("it was never finished") != std::string::npos;
    if (WEXITSTATUS(shown.status) != 0 && !says_end &&
        std::filesystem::file_size(bundle() / "trace.gyt") > 4096)
      return "the trace cannot be read: " + shown.output;
    return "";
  }

  std::string complaint(const Traced& traced, const Fault& fault) const {
    if (traced.status == -1) return "gyges did not end";
    if (!traced.left.empty())
      return "processes are left: " + fmt::format("{}", fmt::join(traced.left, "; "));
    if (fault.role != "supervisor" && WIFSIGNALED(traced.status))
      return std::string("gyges died by ") + ::sigabbrev_np(WTERMSIG(traced.status));
    std::string left = leftovers_of(traced.pid, temporary());
    if (!left.empty()) return "left on the host: " + left;
    if (processes_of(token_) > 0) return "a process of the command is left";
    return complaint_about_bundle();
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  std::string token_;
};

TEST_P(Kill, AtAnyMomentLeavesNothing) {
  std::string mounts = mount_table();
  Traced first = live({});
  ASSERT_EQ(first.status, 0) << first.output;
  std::map<Role, std::uint64_t> last;
  for (const Call& call : first.calls) last[call.role] = call.ordinal;
  std::vector<std::pair<Role, std::uint64_t>> roles(last.begin(), last.end());
  ASSERT_GE(roles.size(), 3U);
  std::mt19937 random(number_from("GYGES_SEED", 1));
  unsigned kills = number_from("GYGES_KILLS", 20);
  const char* role_again = std::getenv("GYGES_KILL_ROLE");
  unsigned call_again = number_from("GYGES_KILL_CALL", 1);
  unsigned reached = 0;
  unsigned sealed = 0;
  unsigned absent = 0;
  for (unsigned i = 0; i < kills; ++i) {
    const auto& [role, calls] = roles[i % roles.size()];
    Fault fault{role, 1 + random() % calls, 0, SIGKILL};
    if (role_again != nullptr) fault = Fault{role_again, call_again, 0, SIGKILL};
    Traced traced = live(fault);
    if (!traced.injected) continue;
    ++reached;
    sealed += std::filesystem::exists(bundle() / "seal.json") ? 1 : 0;
    absent += std::filesystem::exists(bundle()) ? 0 : 1;
    std::string wrong = complaint(traced, fault);
    if (!wrong.empty())
      ADD_FAILURE() << fault.role << " killed at its call " << fault.ordinal << " of " << calls
                    << " (" << call_name(traced.injected_number) << "): " << wrong << "\n"
                    << traced.output;
  }
  EXPECT_EQ(mount_table(), mounts);
  EXPECT_GT(reached, kills / 2);
  std::printf("%s: %u kills of %zu kinds of processes; bundles: %u absent, %u sealed, %u marked\n",
              GetParam(), reached, roles.size(), absent, sealed, reached - absent - sealed);
}

INSTANTIATE_TEST_SUITE_P(Recorders, Kill, ::testing::Values("off", "ptrace", "ebpf"),
                         [](const auto& row) { return std::string(row.param); });

}  // namespace
}  // namespace gyges::faults
