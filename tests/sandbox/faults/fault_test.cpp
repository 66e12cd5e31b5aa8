// Every system call in the life of a sandbox fails in turn. Each time there is either one error
// that says what failed, or the sandbox confines exactly as it would have without the fault; and in
// both cases nothing is left behind and the next sandbox starts.
//
// By default every twelfth call fails, with one of the errors in rotation; GYGES_FAULT_ROUND=all
// tries every error at every call (scripts/soak), GYGES_FAULT_ROUND=0 to 4 one error at every call.
// GYGES_FAULT_CALL=mkdir leaves the calls of other names alone.
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "fault_subject.h"
#include "leftovers.h"
#include "traced_run.h"

extern "C" const char gyges_fault_subject_begin[];
extern "C" const char gyges_fault_subject_end[];

namespace gyges::faults {
namespace {

constexpr int errors[] = {EPERM, ENOSYS, ENOSPC, EMFILE, ENOMEM};

// Calls that no kernel, filter or limit makes fail, or that fail for the C library alone.
bool cannot_fail(long number) {
  static const std::set<long> calls = {SYS_exit,
                                       SYS_exit_group,
                                       SYS_rt_sigreturn,  // do not return
                                       SYS_close,         // closes, whatever it answers
                                       SYS_munmap,
                                       SYS_brk,
                                       SYS_mprotect,
                                       SYS_madvise,
                                       SYS_mmap,
                                       SYS_mremap,  // operator new
                                       SYS_futex,
                                       SYS_getpid,
                                       SYS_gettid,
                                       SYS_geteuid,
                                       SYS_getegid,
                                       SYS_getuid,
                                       SYS_getgid,
                                       SYS_sched_yield,
                                       SYS_clock_gettime,
                                       SYS_clock_nanosleep,
                                       SYS_nanosleep,
                                       SYS_umask,
                                       SYS_rt_sigprocmask,
                                       SYS_rt_sigaction,
                                       SYS_set_robust_list,
                                       SYS_rseq,
                                       SYS_arch_prctl,
                                       SYS_set_tid_address,
                                       SYS_poll,   // of valid descriptors
                                       SYS_wait4,  // of children that exist
                                       SYS_restart_syscall};
  return calls.count(number) > 0;
}

struct Said {
  std::string error;
  std::string facts;
  std::vector<std::string> leaks;
  std::string again;
};

// Facts, with those apart that a control group or its stand-in decides.
struct Grouped {
  explicit Grouped(const std::string& facts) {
    for (const std::string& line : split(facts, '\n')) {
      auto take = [&line](std::string_view key, std::string& value) {
        if (!line.starts_with(key)) return false;
        value += line.substr(key.size());
        return true;
      };
      std::string processes;
      if (take("pids.max ", pids_max) || take("memory.max ", memory_max) ||
          take("memory.limit_in_bytes ", memory_max) ||
          take("enforced processes of the ", processes_of) ||
          take("enforced memory of the ", memory_of))
        continue;
      if (take("Max processes", processes))
        processes_limit = std::to_string(std::atol(processes.c_str()));  // the soft one
      else
        others.push_back(line);
    }
  }

  std::string pids_max;
  std::string memory_max;
  std::string processes_of;
  std::string memory_of;
  std::string processes_limit;
  std::vector<std::string> others;
};

Said read_output(const std::string& output) {
  Said said;
  for (const std::string& line : split(output, '\n')) {
    if (line.starts_with("error ")) said.error += line.substr(6);
    if (line.starts_with("fact ")) said.facts += line.substr(5) + "\n";
    if (line.starts_with("leak ")) said.leaks.push_back(line.substr(5));
    if (line.starts_with("again ")) said.again = line.substr(6);
  }
  return said;
}

class Faults : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-faults");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    // Embedded, so that an ordinary user finds it wherever the build lies.
    std::string_view program(
        gyges_fault_subject_begin,
        static_cast<std::size_t>(gyges_fault_subject_end - gyges_fault_subject_begin));
    ASSERT_TRUE(write_file_atomically(directory_->path() / "subject", program, 0755));
    std::filesystem::create_directory(temporary());
  }

  [[nodiscard]] std::filesystem::path temporary() const { return directory_->path() / "tmp"; }

  // `demanding`: under a policy that accepts no stand-in for the control groups.
  Traced live(const Fault& fault, bool demanding = false) const {
    TracedRun run;
    run.argv = {directory_->path() / "subject", GetParam()};
    if (demanding) run.argv.emplace_back("demanding");
    // A process that is traced cannot look for leaks itself.
    run.environment = {"TMPDIR=" + temporary().string(), "ASAN_OPTIONS=detect_leaks=0"};
    run.fault = fault;
    run.marker_signal = marker_signal;
    return run_traced(run);
  }

  [[nodiscard]] bool cold() const { return std::string(GetParam()) == "cold"; }

  // What a process keeps for its next sandbox: made by the first one.
  [[nodiscard]] bool is_kept(const std::string& leak) const {
    return cold() && (leak.find("memfd:init") != leak.npos || leak.find("socket:") != leak.npos ||
                      leak.find("gyges-keeper") != leak.npos);
  }

  // What is wrong with a life in which `fault` happened; empty: nothing.
  std::string complaint(const Traced& traced, const Fault& fault, const Said& expected) {
    if (traced.status == -1) return "it did not end";
    if (WIFSIGNALED(traced.status))
      return std::string("it died by ") + ::sigabbrev_np(WTERMSIG(traced.status));
    if (traced.status != 0)
      return "exit status " + std::to_string(WEXITSTATUS(traced.status)) + ": " + traced.output;
    Said said = read_output(traced.output);
    // A list of changes that says that it is not whole is an answer too, and so is a pid 1 that
    // says why it ended early.
    bool incomplete = said.facts.find("changes incomplete\n") != std::string::npos ||
                      said.facts.find("limit sandbox\n") != std::string::npos;
    if (said.error.empty() && !incomplete && said.facts != expected.facts &&
        !is_stated_stand_in(expected.facts, said.facts, fault))
      return "no error, and the confinement differs: " + difference(expected.facts, said.facts);
    if (!said.error.empty() && fault.error != 0 && !says_why(said.error, fault))
      return "the error does not say why: " + said.error;
    for (const std::string& leak : said.leaks)
      if (!is_kept(leak)) return "left in the process: " + leak;
    if (said.again != "ok") return "the next sandbox: " + said.again;
    if (!traced.left.empty())
      return "processes are left: " + fmt::format("{}", fmt::join(traced.left, "; "));
    std::string left = leftovers_of(traced.pid, temporary());
    if (!left.empty()) return "left on the host: " + left;
    ++(said.error.empty() && !incomplete ? tolerated_ : reported_);
    return "";
  }

  // What the policy accepts in place of a control group that this host refuses
  // (limits.processes_of, limits.memory_of), stated by the sandbox, with the numbers of the group;
  // everything else is as it was, and under a policy that accepts none the same fault is an error.
  [[nodiscard]] bool is_stated_stand_in(const std::string& before, const std::string& after,
                                        const Fault& fault) const {
    const Grouped expected(before);
    const Grouped found(after);
    if (found.others != expected.others) return false;
    const bool processes = found.processes_of == "user" && expected.processes_of == "sandbox";
    const bool memory = found.memory_of == "process" && expected.memory_of == "sandbox";
    if (!processes &&
        (found.processes_of != expected.processes_of || found.pids_max != expected.pids_max ||
         found.processes_limit != expected.processes_limit))
      return false;
    if (processes && (!found.pids_max.empty() || expected.pids_max.empty() ||
                      found.processes_limit != expected.pids_max))
      return false;
    if (memory ? !found.memory_max.empty() : found.memory_of != expected.memory_of) return false;
    if (!processes && !memory) return false;
    const Said demanded = read_output(live(fault, true).output);
    return demanded.error.find("cgroup") != std::string::npos &&
           std::all_of(demanded.leaks.begin(), demanded.leaks.end(),
                       [this](const std::string& leak) { return is_kept(leak); });
  }

  static bool says_why(const std::string& error, const Fault& fault) {
    if (error.find(std::strerror(fault.error)) != std::string::npos) return true;
    // libnl keeps the errno of its socket to itself; the step is named.
    if (error.find("interface lo") != std::string::npos) return true;
    // pid 1 that cannot speak to the supervisor cannot say so.
    return fault.role == "init" && error.find("pid 1 of the sandbox") != std::string::npos;
  }

  static std::string difference(const std::string& before, const std::string& after) {
    std::vector<std::string> x = split(before, '\n');
    std::vector<std::string> y = split(after, '\n');
    std::string text;
    for (const std::string& line : x)
      if (std::find(y.begin(), y.end(), line) == y.end()) text += "\n  - " + line;
    for (const std::string& line : y)
      if (std::find(x.begin(), x.end(), line) == x.end()) text += "\n  + " + line;
    return text;
  }

  void try_fault(const Call& call, Fault fault, const Said& expected) {
    fault.role = call.role;
    // The order of a few calls varies, and a demanding policy makes others between them.
    fault.number = call.number;
    fault.turn = call.turn;
    Traced traced = live(fault);
    if (!traced.injected) {
      ++unmet_;
      return;
    }
    ++tried_;
    std::string wrong = complaint(traced, fault, expected);
    if (wrong.empty()) return;
    ADD_FAILURE() << call.role << " call " << call.ordinal << " (" << call_name(call.number)
                  << ", its turn " << call.turn << ") "
                  << (fault.error != 0 ? ::strerrorname_np(fault.error)
                                       : ::sigabbrev_np(fault.signal))
                  << ": " << wrong;
  }

  void report(const char* what) const {
    std::printf("%s, %s: %d faults, %d reported as errors, %d without effect; %d not met\n", what,
                GetParam(), tried_, reported_, tolerated_, unmet_);
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  int tried_ = 0;
  int unmet_ = 0;  // calls that the life with the fault did not make
  int reported_ = 0;
  int tolerated_ = 0;
};

TEST_P(Faults, EveryCallFailsInTurn) {
  std::string mounts = mount_table();
  Traced first = live({});
  ASSERT_EQ(first.status, 0) << first.output;
  Said expected = read_output(first.output);
  ASSERT_EQ(expected.error, "");
  ASSERT_NE(expected.facts.find("Seccomp: 2"), std::string::npos) << first.output;
  const char* round = std::getenv("GYGES_FAULT_ROUND");
  bool all = round != nullptr && std::strcmp(round, "all") == 0;
  std::size_t turn = round != nullptr ? static_cast<std::size_t>(std::atoi(round)) : 0;
  std::size_t stride = round != nullptr ? 1 : 12;
  const char* only = std::getenv("GYGES_FAULT_CALL");
  for (const Call& call : first.calls) {
    if (cannot_fail(call.number)) continue;
    if (only != nullptr && call_name(call.number) != only) continue;
    // The calls of a command on its way to its gate are few and all of them confine it.
    if (call.role != "command" && call.ordinal % stride != 0) continue;
    for (std::size_t i = 0; i < std::size(errors); ++i)
      if (all || i == (call.ordinal / stride + turn) % std::size(errors))
        try_fault(call, Fault{"", 0, errors[i], 0}, expected);
  }
  EXPECT_EQ(mount_table(), mounts);
  EXPECT_GT(tried_, only != nullptr ? 0 : 25);
  report("errors");
}

INSTANTIATE_TEST_SUITE_P(Processes, Faults, ::testing::Values("warm", "cold"),
                         [](const auto& row) { return std::string(row.param); });

}  // namespace
}  // namespace gyges::faults
