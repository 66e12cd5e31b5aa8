// What both backends record of real programs.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

#include "recorded_run.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

class CaptureTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::ebpf) {
      if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
      static const std::shared_ptr<CaptureBackend> shared = [] {
        auto opened = open_bpf_backend({});
        EXPECT_TRUE(opened) << opened.error().line();
        return opened ? std::shared_ptr<CaptureBackend>(std::move(*opened)) : nullptr;
      }();
      backend_ = shared;
    } else {
      backend_ = *open_ptrace_backend({});
    }
    ASSERT_NE(backend_, nullptr);
  }

  Recording run(const std::function<int()>& body, std::uint32_t tool_call = 0) {
    Recording result = record(*backend_, body, tool_call);
    const Counters& c = result.coverage.counters;
    EXPECT_TRUE(result.coverage.complete)
        << "enters " << c.enters << "/" << c.recorded_enters << " exits " << c.exits << "/"
        << c.recorded_exits << " lost " << c.lost;
    EXPECT_EQ(c.lost, 0U);
    return result;
  }

  [[nodiscard]] bool bpf() const { return GetParam() == Backend::ebpf; }

  std::shared_ptr<CaptureBackend> backend_;
};

INSTANTIATE_TEST_SUITE_P(Backends, CaptureTest, testing::Values(Backend::ebpf, Backend::ptrace),
                         [](const auto& parameter) {
                           return parameter.param == Backend::ebpf ? "ebpf" : "ptrace";
                         });

TEST_P(CaptureTest, ShellPipeline) {
  const Recording result = run(shell("echo hello | cat | tr a-z A-Z >/dev/null; exit 3"));
  EXPECT_EQ(WEXITSTATUS(result.status), 3);
  EXPECT_EQ(result.of_kind(EventKind::process_start).size(), 3U);
  EXPECT_EQ(result.of_kind(EventKind::process_exit).size(), 4U);
  ASSERT_EQ(result.of_kind(EventKind::process_exec).size(), 3U);
  const KeptEvent& exec = *result.of_kind(EventKind::process_exec)[1];
  EXPECT_NE(exec.named_file().find("/bin/"), std::string::npos) << exec.named_file();
  const auto execs = result.calls("execve");
  ASSERT_GE(execs.size(), 3U);
  EXPECT_EQ(execs[0]->capture(CaptureKind::path), "/bin/sh");
  EXPECT_EQ(execs[0]->capture(CaptureKind::argv).substr(0, 11), std::string("/bin/sh\0-c\0", 11));
  EXPECT_EQ(execs[0]->event.result, 0);
  bool wrote = false;
  for (const KeptEvent* call : result.calls("write"))
    wrote = wrote || call->capture(CaptureKind::buffer_in) == "hello\n";
  EXPECT_TRUE(wrote);
  bool was_read = false;
  for (const KeptEvent* call : result.calls("read"))
    was_read = was_read || call->capture(CaptureKind::buffer_out) == "hello\n";
  EXPECT_TRUE(was_read);
  // The last of each process.
  EXPECT_EQ(result.calls("exit_group").size(), 4U);
  for (const KeptEvent* call : result.calls("exit_group")) EXPECT_FALSE(call->event.has_exit);
}

TEST_P(CaptureTest, RelativePathsGetTheirDirectory) {
  const Recording result = run([] {
    if (chdir("/tmp") != 0) return 1;
    const std::string name = "gyges_capture_" + std::to_string(getpid());
    if (mkdir(name.c_str(), 0700) != 0) return 2;
    const int directory = open(name.c_str(), O_RDONLY | O_DIRECTORY);
    const int file = openat(directory, "inner", O_CREAT | O_WRONLY, 0600);
    if (write(file, "x", 1) != 1) return 3;
    if (unlinkat(directory, "inner", 0) != 0) return 4;
    if (rmdir(name.c_str()) != 0) return 5;
    if (open("gyges_not_there", O_RDONLY) >= 0) return 6;
    return 0;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const std::string name = "gyges_capture_" + std::to_string(result.pid);
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  EXPECT_EQ(result.calls("mkdir")[0]->capture(CaptureKind::path), name);
  EXPECT_EQ(result.calls("mkdir")[0]->capture(CaptureKind::absolute_path), "/tmp/" + name);
  EXPECT_EQ(result.calls("chdir")[0]->capture(CaptureKind::absolute_path), "/tmp");
  const KeptEvent& unlink = *result.calls("unlinkat")[0];
  EXPECT_EQ(unlink.capture(CaptureKind::path, 1), "inner");
  EXPECT_EQ(unlink.capture(CaptureKind::absolute_path, 1), "/tmp/" + name + "/inner");
  bool opened = false;
  bool failed = false;
  for (const KeptEvent* call : result.calls("openat")) {
    if (call->capture(CaptureKind::path) == "inner") {
      opened = true;
      EXPECT_EQ(call->named_file(), "/tmp/" + name + "/inner");
      const std::string identity = call->capture(CaptureKind::file_identity);
      ASSERT_GE(identity.size(), sizeof(FileIdentity));
      FileIdentity about;
      std::memcpy(&about, identity.data(), sizeof(about));
      EXPECT_EQ(about.mode, 0100600U);
      EXPECT_NE(about.inode, 0U);
    }
    if (call->capture(CaptureKind::path) == "gyges_not_there") {
      failed = true;
      EXPECT_EQ(call->event.result, -ENOENT);
      EXPECT_EQ(call->capture(CaptureKind::absolute_path, 1), "/tmp/gyges_not_there");
    }
  }
  EXPECT_TRUE(opened);
  EXPECT_TRUE(failed);
}

// Paths end at the root of the process, over mounts.
TEST_P(CaptureTest, PathsAreThoseInsideTheRoot) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  const Recording result = run([] {
    char root[] = "/tmp/gyges_root_XXXXXX";
    if (mkdtemp(root) == nullptr || unshare(CLONE_NEWNS) != 0) return 1;
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 2;
    if (mount("none", root, "tmpfs", 0, nullptr) != 0) return 3;
    if (chroot(root) != 0 || chdir("/") != 0 || mkdir("/sub", 0700) != 0) return 4;
    if (mount("none", "/sub", "tmpfs", 0, nullptr) != 0) return 5;
    if (mkdir("/sub/deeper", 0700) != 0 || chdir("/sub/deeper") != 0) return 6;
    const int file = open("../../sub/deeper/./new", O_CREAT | O_RDWR, 0600);
    return file >= 0 && unlink("../deeper/new") == 0 ? 0 : 7;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("openat").size(), 1U);
  EXPECT_EQ(result.calls("openat")[0]->named_file(), "/sub/deeper/new");
  EXPECT_EQ(result.calls("unlink")[0]->capture(CaptureKind::absolute_path), "/sub/deeper/new");
  EXPECT_EQ(result.calls("chdir").back()->capture(CaptureKind::absolute_path), "/sub/deeper");
}

// Relative paths have a meaning from the first call of an image on.
TEST_P(CaptureTest, ExecutionTellsTheDirectory) {
  const Recording result = run([] {
    if (chdir("/usr/share") != 0) return 1;
    return shell("test -e doc")();
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto execs = result.of_kind(EventKind::process_exec);
  ASSERT_EQ(execs.size(), 1U);
  EXPECT_EQ(execs[0]->capture(CaptureKind::absolute_path, 0), "/usr/share");
  ASSERT_EQ(result.calls("execve").size(), 1U);
  EXPECT_EQ(result.calls("execve")[0]->capture(CaptureKind::absolute_path), "-");
}

// What the kernel left is not what the program passed.
TEST_P(CaptureTest, FieldsSayWhereTheyWereRead) {
  const Recording result = run([] {
    char path[] = "/etc/passwd";  // on the stack, whose page is there
    const int file = open(path, O_RDONLY);
    char bytes[16];
    return read(file, bytes, sizeof(bytes)) == sizeof(bytes) ? 0 : 1;
  });
  const auto reads = result.calls("read");
  ASSERT_FALSE(reads.empty());
  ASSERT_FALSE(reads.back()->captures.empty());
  EXPECT_EQ(reads.back()->captures[0].provenance, Provenance::exit);
  EXPECT_EQ(result.calls("openat").back()->captures[0].provenance, Provenance::enter);
  EXPECT_EQ(result.calls("openat").back()->captures[1].provenance, Provenance::kernel);
}

template <class Address>
std::string address_bytes(const Address& address, std::size_t length = sizeof(Address)) {
  return std::string(reinterpret_cast<const char*>(&address), length);
}

// The peer is the kernel's: the program passes no address to accept, and may change the one that it
// passed to connect.
TEST_P(CaptureTest, PeersOfSockets) {
  sockaddr_in there{};
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  there.sin_family = AF_INET;
  there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(server, reinterpret_cast<sockaddr*>(&there), sizeof(there)), 0);
  ASSERT_EQ(listen(server, 1), 0);
  socklen_t length = sizeof(there);
  ASSERT_EQ(getsockname(server, reinterpret_cast<sockaddr*>(&there), &length), 0);
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  std::snprintf(local.sun_path, sizeof(local.sun_path), "/tmp/gyges_peer_%d", getpid());
  const int local_server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(local_server, reinterpret_cast<sockaddr*>(&local), sizeof(local)), 0);
  ASSERT_EQ(listen(local_server, 1), 0);
  const Recording result = run([&] {
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(client, reinterpret_cast<sockaddr*>(&there), sizeof(there)) != 0) return 1;
    if (accept4(server, nullptr, nullptr, 0) < 0) return 2;
    const int other = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(other, reinterpret_cast<sockaddr*>(&local), sizeof(local)) != 0) return 3;
    return accept(local_server, nullptr, nullptr) < 0 ? 4 : 0;
  });
  unlink(local.sun_path);
  close(server);
  close(local_server);
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto connects = result.calls("connect");
  ASSERT_EQ(connects.size(), 2U);
  EXPECT_EQ(connects[0]->capture(CaptureKind::socket_peer, 0), address_bytes(there));
  const std::size_t named = offsetof(sockaddr_un, sun_path) + std::strlen(local.sun_path) + 1;
  EXPECT_EQ(connects[1]->capture(CaptureKind::socket_peer, 0), address_bytes(local, named));
  ASSERT_EQ(result.calls("accept4").size(), 1U);
  const std::string peer = result.calls("accept4")[0]->capture(CaptureKind::socket_peer, 6);
  ASSERT_EQ(peer.size(), sizeof(sockaddr_in));
  EXPECT_EQ(peer.substr(4, 4), address_bytes(there.sin_addr));
  ASSERT_EQ(result.calls("accept").size(), 1U);
  EXPECT_EQ(result.calls("accept")[0]->capture(CaptureKind::socket_peer), "-");  // it has no name
}

TEST_P(CaptureTest, OpenThatReturnsDescriptorZero) {
  const Recording result = run([] {
    close(0);
    return open("/etc/passwd", O_RDONLY) == 0 ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("openat").size(), 1U);
  EXPECT_EQ(result.calls("openat")[0]->event.result, 0);
  EXPECT_EQ(result.calls("openat")[0]->named_file(), "/etc/passwd");
}

TEST_P(CaptureTest, Threads) {
  const Recording result = run([] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([] {
        for (int j = 0; j < 100; ++j) syscall(SYS_getppid);
      });
    for (std::thread& thread : threads) thread.join();
    return 0;
  });
  EXPECT_EQ(result.calls("getppid").size(), 400U);
  std::map<int, int> by_thread;
  for (const KeptEvent* call : result.calls("getppid")) {
    ++by_thread[call->event.tid];
    EXPECT_EQ(call->event.pid, result.pid);
  }
  EXPECT_EQ(by_thread.size(), 4U);
}

TEST_P(CaptureTest, VforkAndExecFromThread) {
  const Recording result = run([] {
    const pid_t child = vfork();
    if (child == 0) {
      execl("/bin/true", "true", nullptr);
      _exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    std::thread([] { execl("/bin/echo", "echo", "-n", nullptr); }).join();
    return 1;
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 0);
  const auto execs = result.calls("execve");
  ASSERT_EQ(execs.size(), 2U);
  EXPECT_EQ(execs[0]->capture(CaptureKind::path), "/bin/true");
  EXPECT_EQ(execs[1]->capture(CaptureKind::path), "/bin/echo");
  EXPECT_EQ(execs[1]->event.result, 0);
  EXPECT_EQ(execs[1]->event.tid, result.pid);  // the thread took over the number of the leader
  EXPECT_EQ(result.of_kind(EventKind::process_exec).size(), 2U);
}

int load_filter(std::uint32_t action, int call) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  if (filter == nullptr || seccomp_rule_add(filter, action, call, 0) != 0) return -1;
  return seccomp_load(filter);
}

TEST_P(CaptureTest, CallsRefusedBySeccomp) {
  const Recording result = run([] {
    if (load_filter(SCMP_ACT_ERRNO(EPERM), SYS_mkdir) != 0) return 1;
    const std::string path = "/tmp/gyges_refused";  // on the stack: present when the call is made
    return mkdir(path.c_str(), 0700) == -1 && errno == EPERM ? 0 : 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  const KeptEvent& call = *result.calls("mkdir")[0];
  EXPECT_EQ(call.event.result, -EPERM);
  EXPECT_EQ(call.capture(CaptureKind::path), "/tmp/gyges_refused");
  EXPECT_EQ(call.event.verdict, Verdict::refused);
  EXPECT_EQ(call.event.has_enter, !bpf());  // a tracer sees it before seccomp does
}

// A page that was never touched: the refused call does not touch it either.
TEST_P(CaptureTest, ArgumentInAnAbsentPage) {
  const Recording result = run([] {
    const int file = open("/etc/passwd", O_RDONLY);
    void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    return open(static_cast<const char*>(page), O_RDONLY) == -1 ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  const auto calls = result.calls("openat");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[1]->capture(CaptureKind::path).substr(0, 5), "root:");
  if (bpf()) {
    EXPECT_EQ(calls[1]->captures[0].provenance, Provenance::exit_retry);
  }
}

TEST_P(CaptureTest, CallThatSeccompKillsFor) {
  const Recording result = run([] {
    if (load_filter(SCMP_ACT_KILL_PROCESS, SYS_mkdir) != 0) return 1;
    mkdir("/tmp/gyges_killed", 0700);
    return 0;
  });
  ASSERT_TRUE(WIFSIGNALED(result.status));
  EXPECT_EQ(WTERMSIG(result.status), SIGSYS);
  ASSERT_EQ(result.calls("mkdir").size(), 1U);
  EXPECT_EQ(result.calls("mkdir")[0]->event.verdict, Verdict::killed);
  EXPECT_FALSE(result.calls("mkdir")[0]->event.has_exit);
}

TEST_P(CaptureTest, SignalsInTheMiddleOfCalls) {
  const Recording result = run([] {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
    const pid_t self = getpid();
    const pid_t child = fork();
    if (child == 0) {
      for (int i = 0; i < 5; ++i) {
        usleep(20000);
        kill(self, SIGUSR1);
      }
      _exit(0);
    }
    int interrupted = 0;
    for (int i = 0; i < 5; ++i) interrupted += pause() == -1 && errno == EINTR;
    waitpid(child, nullptr, 0);
    return interrupted;
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 5);
  ASSERT_EQ(result.calls("pause").size(), 5U);
  EXPECT_EQ(result.calls("pause")[0]->event.result, -514);  // as the kernel has it
  EXPECT_EQ(result.calls("rt_sigreturn").size(), 5U);
  int delivered = 0;
  for (const KeptEvent* event : result.of_kind(EventKind::signal))
    delivered += event->event.args[0] == SIGUSR1;
  EXPECT_EQ(delivered, 5);
}

TEST_P(CaptureTest, StopAndContinue) {
  const Recording result = run([] {
    const pid_t child = fork();
    if (child == 0) {
      raise(SIGSTOP);
      _exit(7);
    }
    int status = 0;
    waitpid(child, &status, WUNTRACED);
    if (!WIFSTOPPED(status)) return 1;
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 7);
}

// Processes that call all the time do not keep older ones from calling.
TEST_P(CaptureTest, NobodyStarves) {
  constexpr int callers = 6;
  const Recording result = run([] {
    auto* calls = static_cast<std::atomic<long>*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    auto& stop = calls[callers];
    for (int i = 0; i < callers; ++i) {
      if (fork() != 0) continue;
      while (stop.load() == 0) {
        syscall(SYS_getppid);
        ++calls[i];
      }
      _exit(0);
    }
    usleep(700000);
    stop = 1;
    while (wait(nullptr) > 0) {
    }
    long least = calls[0];
    long most = calls[0];
    for (int i = 1; i < callers; ++i) {
      least = std::min(least, calls[i].load());
      most = std::max(most, calls[i].load());
    }
    return least > 0 && most < 100 * least ? 0 : 1;
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 0);
}

TEST_P(CaptureTest, ShortProcesses) {
  constexpr int count = 2000;
  const Recording result = run([] {
    for (int i = 0; i < count; ++i) {
      const pid_t child = fork();
      if (child == 0) _exit(0);
      waitpid(child, nullptr, 0);
    }
    return 0;
  });
  EXPECT_EQ(result.of_kind(EventKind::process_start).size(), count);
  EXPECT_EQ(result.of_kind(EventKind::process_exit).size(), count + 1);
  EXPECT_EQ(result.calls("exit_group").size(), count + 1);
}

// Two processes with the same number, one after the other, as the kernel is made to give it twice.
TEST_P(CaptureTest, NumbersThatComeRoundAgain) {
  if (geteuid() != 0) GTEST_SKIP() << "choosing the next process number needs root";
  const Recording result = run([] {
    for (int tries = 0; tries < 200; ++tries) {
      const pid_t first = fork();
      if (first == 0) {
        for (int i = 0; i < 3; ++i) syscall(SYS_getuid);
        _exit(0);
      }
      waitpid(first, nullptr, 0);
      const int next = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);
      const std::string before = std::to_string(first - 1);
      if (write(next, before.data(), before.size()) < 0) return 1;
      close(next);
      const pid_t second = fork();
      if (second == 0) {
        if (getpid() != first) _exit(1);  // another process of this machine was faster
        for (int i = 0; i < 5; ++i) syscall(SYS_getgid);
        _exit(0);
      }
      int status = 0;
      waitpid(second, &status, 0);
      if (WEXITSTATUS(status) == 0) return 0;
    }
    return 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_FALSE(result.calls("getgid").empty());
  const std::int32_t number = result.calls("getgid")[0]->event.tid;
  std::vector<std::string> lives(1);
  for (const KeptEvent& kept : result.events) {
    if (kept.event.tid != number) continue;
    if (kept.event.kind == EventKind::process_exit) lives.emplace_back();
    if (kept.event.kind != EventKind::syscall) continue;
    const std::string name = syscall_name(kept.event.abi, kept.event.number);
    if (name != "set_robust_list" && name != "rseq") lives.back() += name + " ";  // of fork itself
  }
  ASSERT_EQ(lives.size(), 3U);
  EXPECT_EQ(lives[0], "getuid getuid getuid exit_group ");
  EXPECT_EQ(lives[1], "getpid getgid getgid getgid getgid getgid exit_group ");
  EXPECT_EQ(lives[2], "");
}

TEST_P(CaptureTest, CloneUntraced) {
  const Recording result = run([] {
    const long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, nullptr, nullptr, nullptr, 0);
    if (child == 0) {
      for (int i = 0; i < 100; ++i) syscall(SYS_getppid);
      _exit(0);
    }
    int status = 0;
    waitpid(static_cast<pid_t>(child), &status, 0);
    return WEXITSTATUS(status);
  });
  EXPECT_EQ(WEXITSTATUS(result.status), 0);
  EXPECT_EQ(result.calls("getppid").size(), 100U);
}

TEST_P(CaptureTest, DaemonKeepsItsToolCall) {
  const Recording result = run(
      [] {
        if (fork() == 0) {
          setsid();
          if (fork() == 0) {
            usleep(50000);
            syscall(SYS_getppid);
          }
          _exit(0);
        }
        return 0;
      },
      42);
  ASSERT_EQ(result.calls("getppid").size(), 1U);
  EXPECT_EQ(result.calls("getppid")[0]->event.origin_call, 42U);
  EXPECT_EQ(result.calls("getppid")[0]->event.active_call, 42U);
  EXPECT_NE(result.calls("getppid")[0]->event.pid, result.pid);
}

// Name, result and what was captured at entry of every call, without what differs from run to run.
std::vector<std::string> summary(const Recording& recording) {
  std::vector<std::string> lines;
  for (const KeptEvent& kept : recording.events) {
    if (kept.event.kind != EventKind::syscall) continue;
    const std::string name = syscall_name(kept.event.abi, kept.event.number);
    if (lines.empty() && name != "openat") continue;  // on the way to the start gate
    std::string line = name;
    const bool moves = name == "brk" || name == "mmap" || name.find("tid") != std::string::npos ||
                       name.find("pid") != std::string::npos;
    if (!moves) line += " " + std::to_string(kept.event.result);
    for (const KeptCapture& c : kept.captures) {
      line += " " + std::to_string(c.argument) + ":" + std::to_string(static_cast<int>(c.kind)) +
              ":" + std::to_string(c.full_length);
      const bool text = c.kind == CaptureKind::path || c.kind == CaptureKind::argv ||
                        c.kind == CaptureKind::absolute_path || c.kind == CaptureKind::iovec_in;
      if (text) line += "=" + c.bytes;
      if (c.kind == CaptureKind::file_identity) line += "=" + c.bytes;
    }
    lines.push_back(line);
  }
  return lines;
}

TEST(CaptureParity, BothBackendsRecordTheSame) {
  if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  auto bpf = open_bpf_backend({});
  auto ptrace = open_ptrace_backend({});
  ASSERT_TRUE(bpf && ptrace);
  const auto body = program({"/bin/cat", "/etc/passwd", "/gyges_is_not_here"});
  const auto quiet = [&body] {
    const int null = open("/dev/null", O_RDWR);
    dup2(null, 1);
    dup2(null, 2);
    return body();
  };
  EXPECT_EQ(summary(record(**bpf, quiet)), summary(record(**ptrace, quiet)));
}

TEST_P(CaptureTest, TwoSessionsDoNotMix) {
  const auto loop = [](int call) {
    return [call] {
      for (int i = 0; i < 2000; ++i) syscall(call);
      return 0;
    };
  };
  auto first_events = std::make_shared<Events>();
  auto second_events = std::make_shared<Events>();
  auto first = backend_->start_with(std::make_unique<KeepingSink>(first_events), {});
  auto second = backend_->start_with(std::make_unique<KeepingSink>(second_events), {});
  ASSERT_TRUE(first && second);
  GatedChild first_child(loop(SYS_getppid));
  GatedChild second_child(loop(SYS_getpgrp));
  ASSERT_TRUE((*first)->adopt(first_child.pidfd(), first_child.pid(), 0));
  ASSERT_TRUE((*second)->adopt(second_child.pidfd(), second_child.pid(), 0));
  first_child.open_gate();
  second_child.open_gate();
  first_child.wait();
  second_child.wait();
  Recording one;
  Recording two;
  one.coverage = *(*first)->close();
  two.coverage = *(*second)->close();
  one.events = *first_events;
  two.events = *second_events;
  EXPECT_EQ(one.calls("getppid").size(), 2000U);
  EXPECT_EQ(one.calls("getpgrp").size(), 0U);
  EXPECT_EQ(two.calls("getppid").size(), 0U);
  EXPECT_EQ(two.calls("getpgrp").size(), 2000U);
  EXPECT_TRUE(one.coverage.complete);
  EXPECT_TRUE(two.coverage.complete);
}

// Links of files and directories, "..", other names of one file and files without a name are no
// disagreement; the control for it is the raced path of the attack tests.
TEST_P(CaptureTest, LinksAreNoDisagreement) {
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / ("gyges_links_" + std::to_string(getpid()));
  std::filesystem::create_directories(directory / "real/deep");
  const std::string place = directory.string();
  const Recording result = run([place] {
    const auto opens = [](const std::string& path, int flags) {
      const int file = open(path.c_str(), flags | O_CLOEXEC, 0600);
      if (file >= 0) close(file);
      return file >= 0;
    };
    const std::string file = place + "/real/file";
    if (!opens(file, O_CREAT | O_RDWR)) return 1;
    if (link(file.c_str(), (place + "/real/twin").c_str()) != 0) return 2;
    if (symlink("real", (place + "/alias").c_str()) != 0) return 3;
    if (symlink("real/file", (place + "/name").c_str()) != 0) return 4;
    for (const char* path : {"/alias/file", "/name", "/alias/twin", "/real/deep/../file",
                             "/alias/deep/../file", "//alias/./file", "/alias"})
      if (!opens(place + path, O_RDONLY)) return 5;
    if (!opens(place + "/name", O_PATH | O_NOFOLLOW)) return 6;
    opens(place + "/alias", O_TMPFILE | O_RDWR);  // not every filesystem can
    if (chdir((place + "/real/deep").c_str()) != 0) return 7;
    for (const char* path : {"../file", "../../name", "/proc/self/status", "/dev/null"})
      if (!opens(path, O_RDONLY)) return 8;
    return 0;
  });
  std::filesystem::remove_all(directory);
  EXPECT_EQ(result.status, 0);
  EXPECT_GE(result.calls("openat").size(), 13U);
  for (const KeptEvent* event : result.of_kind(EventKind::path_disagreement))
    ADD_FAILURE() << event->capture(CaptureKind::path) << " is not "
                  << event->capture(CaptureKind::file_identity).substr(sizeof(FileIdentity));
}

}  // namespace
}  // namespace gyges::recorder
