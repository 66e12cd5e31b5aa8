// The same programs recorded by each backend and by strace -f: the same calls with the same results
// in the same order, thread by thread.
//
// Rules of comparison, each for a difference that is none:
// - Threads have other numbers in every run: they are matched by who created them, and in what
//   order.
// - Results that are addresses, numbers of processes or times count as success or failure only.
// - strace begins with the execve of the program; so does the comparison.
// - futex(2) is called or not depending on who comes first, and restart_syscall(2) depending on
//   when a signal comes, getrandom(2) again and again until it draws a usable letter for the name
//   of a temporary file: they are left out.
// - A call that never returned is "?", whether by exit or by death: the backends tell the kernel's
// own
//   restart code of a call that a death cut short. Where a leader's number was
//   taken over by an executing thread, the leader's own last call is such a one, which the backends
//   leave out, because the number goes on as that of another thread.
// - The shell's handler of SIGCHLD runs whenever a child happens to end: in the pipeline, returns
// from
//   handlers and the calls that they make start again are left out.
// - A process that starts with a vfork or clone has no first return in strace, and none here.
#include <unistd.h>

#include <filesystem>
#include <set>

#include "truth_fixture.h"

namespace gyges::recorder {
namespace {

const std::set<std::string, std::less<>> unlike = {
    "mmap",    "brk",    "mremap",          "getpid",  "gettid", "getppid", "wait4", "waitid",
    "getpgrp", "setsid", "set_tid_address", "getpgid", "times",  "tgkill",  "clone", "clone3",
    "fork",    "vfork"};

std::string comparable(const StraceCall& call) {
  if (!unlike.contains(call.name) || call.result.starts_with('-') || call.result == "?")
    return call.name + " = " + call.result;
  return call.name + " = ok";
}

using Truth = std::map<std::string, std::vector<std::string>>;

Truth truth_of(const PlacedCalls& placed) {
  Truth truth;
  for (const auto& [label, calls] : placed)
    for (const StraceCall& call : calls) truth[label].push_back(comparable(call));
  return truth;
}

class Truths : public TruthFixture {
 protected:
  Truth by_strace(const std::vector<std::string>& argv) {
    return truth_of(calls_by_strace(argv, {"-X", "raw"}));
  }
  Truth by_backend(CaptureBackend& backend, const std::vector<std::string>& argv) {
    return truth_of(calls_by_backend(backend, argv));
  }

  void compare(const std::vector<std::string>& argv) {
    const Truth truth = by_strace(argv);
    auto bpf = open_bpf_backend({});
    auto ptrace = open_ptrace_backend({});
    ASSERT_TRUE(bpf && ptrace);
    for (CaptureBackend* backend : {bpf->get(), ptrace->get()}) {
      const std::string name(backend_name(backend->backend()));
      const Truth ours = by_backend(*backend, argv);
      std::size_t calls = 0;
      EXPECT_EQ(ours.size(), truth.size()) << name << ": threads";
      for (const auto& [label, lines] : truth) {
        const auto found = ours.find(label);
        ASSERT_NE(found, ours.end()) << name << " has no thread " << label;
        const std::vector<std::string>& recorded = found->second;
        calls += lines.size();
        for (std::size_t i = 0; i < std::max(lines.size(), recorded.size()); ++i) {
          const std::string expected = i < lines.size() ? lines[i] : "(nothing)";
          const std::string actual = i < recorded.size() ? recorded[i] : "(nothing)";
          ASSERT_EQ(actual, expected) << name << ", thread " << label << ", call " << i;
        }
      }
      EXPECT_GT(calls, 10U);
    }
  }

  void compare_own(const std::string& name) { compare({GYGES_TRUTH_PROGRAMS, name}); }

  // strace does not follow such a child (strace#303); both backends do. It is the only difference.
  void compare_untraced(const std::string& name) {
    const std::vector<std::string> argv = {GYGES_TRUTH_PROGRAMS, name};
    const Truth truth = by_strace(argv);
    ASSERT_EQ(truth.size(), 1U);
    auto bpf = open_bpf_backend({});
    auto ptrace = open_ptrace_backend({});
    ASSERT_TRUE(bpf && ptrace);
    for (CaptureBackend* backend : {bpf->get(), ptrace->get()}) {
      const Truth ours = by_backend(*backend, argv);
      ASSERT_EQ(ours.size(), 2U) << backend_name(backend->backend());
      EXPECT_EQ(ours.at("0"), truth.at("0"));
      std::vector<std::string> child(100, "getuid = 0");
      child.emplace_back("exit_group = ?");
      EXPECT_EQ(ours.at("0.0"), child);
    }
  }
};

TEST_F(Truths, Threads) {
  compare_own("threads");
}
TEST_F(Truths, Vforks) {
  compare_own("vforks");
}
TEST_F(Truths, ExecFromThread) {
  compare_own("exec_from_thread");
}
TEST_F(Truths, Clones) {
  compare_own("clones");
}
TEST_F(Truths, Signals) {
  compare_own("signals");
}
TEST_F(Truths, DeniedCalls) {
  compare_own("denied");
}
TEST_F(Truths, AbsentPages) {
  compare_own("absent_pages");
}
TEST_F(Truths, Errors) {
  compare_own("errors");
}
TEST_F(Truths, VectorsAndSockets) {
  compare_own("vectors_and_sockets");
}
TEST_F(Truths, KilledInCall) {
  compare_own("killed_in_call");
}

TEST_F(Truths, ParallelThreads) {
  compare_own("parallel_threads");
}
TEST_F(Truths, CloneParent) {
  compare_own("clone_parent");
}
TEST_F(Truths, Clone3) {
  compare_own("clone3s");
}
TEST_F(Truths, RestartedCall) {
  compare_own("restarted_call");
}
TEST_F(Truths, RacingPaths) {
  compare_own("racing_paths");
}
TEST_F(Truths, CallsOf32Bits) {
  if (run({GYGES_TRUTH_PROGRAMS, "calls_of_32_bits"}) != 0) GTEST_SKIP() << "no 32-bit entry here";
  compare_own("calls_of_32_bits");
}

TEST_F(Truths, CloneUntraced) {
  compare_untraced("clone_untraced");
}
TEST_F(Truths, CloneUntracedBy32Bits) {
  if (run({GYGES_TRUTH_PROGRAMS, "clone_untraced_32"}) != 0) GTEST_SKIP() << "no 32-bit entry here";
  compare_untraced("clone_untraced_32");
}

TEST_F(Truths, ShellPipeline) {
  handlers_ = false;
  compare({"/bin/sh", "-c", "echo hello | cat | tr a-z A-Z; test -e nothing || exit 3"});
}

TEST_F(Truths, Tar) {
  for (int i = 0; i < 20; ++i) {
    const auto file = directory_->path() / "tree" / std::to_string(i);
    std::filesystem::create_directories(file.parent_path());
    ASSERT_TRUE(write_file_atomically(file, std::string(1000 * i, 'x')));
  }
  compare({"/bin/tar", "cf", "out.tar", "tree"});
}

TEST_F(Truths, GitStatus) {
  if (access("/usr/bin/git", X_OK) != 0) GTEST_SKIP() << "git is not installed";
  const std::string make =
      "git init -q . && echo a > a && echo b > b && git add a b && "
      "git -c user.name=x -c user.email=x@x commit -qm x && echo c > c && touch -d @1 a b && "
      "git update-index --refresh";
  ASSERT_EQ(run({"/bin/sh", "-c", make}), 0);
  compare({"/usr/bin/git", "status"});
}

TEST_F(Truths, Python) {
  if (access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "python3 is not installed";
  compare({"/usr/bin/python3", "-E", "-s", "-c",
           "import json, os; print(json.dumps(sorted(os.listdir('/usr'))))"});
}

TEST_F(Truths, Compiler) {
  if (access("/usr/bin/gcc", X_OK) != 0) GTEST_SKIP() << "gcc is not installed";
  ASSERT_TRUE(write_file_atomically(
      directory_->path() / "a.c", "#include <stdio.h>\nint main(void) { return puts(\"x\"); }\n"));
  const std::vector<std::string> compile = {"/usr/bin/gcc", "-O1", "-c", "a.c", "-o", "a.o"};
  ASSERT_EQ(run(compile), 0);  // from now on a.o exists
  compare(compile);
}

}  // namespace
}  // namespace gyges::recorder
