// Calls that wait and never come back, or come back because their process ends or becomes another
// program: each is there once, with the end that it had.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fuse.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "capture_fixture.h"

namespace gyges::recorder {
namespace {

class InterruptedCalls : public CaptureTest {
 protected:
  // Calls that waited when their thread ended: as the kernel broke them off, or without an end.
  static void expect_broken_off(const Recording& result, const char* name, std::size_t count) {
    std::size_t waited = 0;
    for (const KeptEvent* call : result.calls(name)) {
      const Event& event = call->event;
      if (event.has_exit && event.result > -512) continue;
      ++waited;
      EXPECT_TRUE(event.has_enter) << name;
      EXPECT_EQ(event.verdict, Verdict::allowed) << name;
      if (event.has_exit) {
        EXPECT_GE(event.duration_ns, 20'000'000U) << name;
      }
    }
    EXPECT_EQ(waited, count) << name;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, InterruptedCalls, both_backends, backend_of_test);

constexpr useconds_t while_they_wait = 150'000;

// Threads that wait in a read, a poll, a sleep and a futex, for ever.
void wait_in_calls(int silent_pipe) {
  std::thread([=] {
    char byte = 0;
    syscall(SYS_read, silent_pipe, &byte, 1);
  }).detach();
  std::thread([=] {
    pollfd one{silent_pipe, POLLIN, 0};
    syscall(SYS_poll, &one, 1, -1);
  }).detach();
  std::thread([] {
    const timespec long_time{1000, 0};
    syscall(SYS_nanosleep, &long_time, nullptr);
  }).detach();
  std::thread([] {
    int word = 0;
    syscall(SYS_futex, &word, 0, 0, nullptr, nullptr, 0);
  }).detach();
}

void expect_all_broken_off(const Recording& result,
                           void (*expect)(const Recording&, const char*, std::size_t)) {
  for (const char* name : {"read", "poll", "nanosleep", "futex"}) expect(result, name, 1);
}

TEST_P(InterruptedCalls, ByTheEndOfTheProcess) {
  const Recording result = run([] {
    std::array<int, 2> silent{};
    if (pipe(silent.data()) != 0) return 1;
    wait_in_calls(silent[0]);
    usleep(while_they_wait);
    syscall(SYS_exit_group, 7);
    return 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 7);
  expect_all_broken_off(result, expect_broken_off);
  EXPECT_EQ(result.of_kind(EventKind::process_exit).size(), 5U);
}

TEST_P(InterruptedCalls, ByAnotherProgramInTheirPlace) {
  const Recording result = run([] {
    std::array<int, 2> silent{};
    if (pipe2(silent.data(), O_CLOEXEC) != 0) return 1;
    wait_in_calls(silent[0]);
    std::thread([] {
      usleep(while_they_wait);
      execl("/bin/sh", "sh", "-c", "exit 6", nullptr);
    }).detach();
    for (;;) pause();  // the leader waits, too, and is replaced by the thread
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 6);
  expect_all_broken_off(result, expect_broken_off);
  expect_broken_off(result, "pause", 1);
  // The four, the leader, and in the end what the thread became.
  const auto ends = result.of_kind(EventKind::process_exit);
  ASSERT_EQ(ends.size(), 6U);
  for (const KeptEvent* end : ends)
    EXPECT_EQ(end->event.result, end == ends.back() ? result.status : 0) << end->event.tid;
  ASSERT_EQ(result.calls("execve").size(), 1U);
  EXPECT_EQ(result.calls("execve")[0]->event.result, 0);
  EXPECT_EQ(result.calls("execve")[0]->event.tid, result.pid);
  EXPECT_EQ(result.calls("execve")[0]->capture(CaptureKind::path), "/bin/sh");
}

TEST_P(InterruptedCalls, ByAKillFromOutside) {
  const Recording result = run([] {
    const pid_t child = fork();
    if (child == 0) {
      std::array<int, 2> silent{};
      if (pipe(silent.data()) != 0) _exit(1);
      wait_in_calls(silent[0]);
      for (;;) pause();
    }
    usleep(while_they_wait);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 1;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  expect_all_broken_off(result, expect_broken_off);
  expect_broken_off(result, "pause", 1);
}

// The child of a vfork is killed before it executes anything: its parent's call ends then.
TEST_P(InterruptedCalls, AVforkWhoseChildIsKilled) {
  const Recording result = run([] {
    const pid_t self = getpid();
    const pid_t killer = fork();
    if (killer == 0) {
      usleep(while_they_wait);
      // The only other child of `self`, by its place in /proc.
      char path[64];
      std::snprintf(path, sizeof(path), "/proc/%d/task/%d/children", self, self);
      FILE* const children = std::fopen(path, "r");
      if (children == nullptr) _exit(1);
      int first = 0;
      int second = 0;
      if (std::fscanf(children, "%d %d", &first, &second) != 2) _exit(2);
      kill(first == getpid() ? second : first, SIGKILL);
      _exit(0);
    }
    const pid_t child = vfork();
    if (child == 0)
      for (;;) pause();
    int status = 0;
    waitpid(child, &status, 0);
    waitpid(killer, nullptr, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 3;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  ASSERT_EQ(result.calls("vfork").size(), 1U);
  const Event& call = result.calls("vfork")[0]->event;
  EXPECT_GT(call.result, 0);
  EXPECT_GE(call.duration_ns, 100'000'000U);
  expect_broken_off(result, "pause", 1);
}

// A socket whose last bytes nobody takes: its close waits as long as it was told to, or until its
// process is killed.
int lingering_socket(int seconds) {
  const int server = socket(AF_INET, SOCK_STREAM, 0);
  const int small = 4096;
  setsockopt(server, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(server, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(server, 1) != 0 ||
      getsockname(server, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return -1;
  const int client = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(client, reinterpret_cast<sockaddr*>(&address), size) != 0) return -1;
  fcntl(client, F_SETFL, O_NONBLOCK);
  std::array<char, 65536> bytes{};
  while (write(client, bytes.data(), bytes.size()) > 0) {
  }
  fcntl(client, F_SETFL, 0);
  const linger waits{1, seconds};
  setsockopt(client, SOL_SOCKET, SO_LINGER, &waits, sizeof(waits));
  return client;
}

TEST_P(InterruptedCalls, ALingeringCloseAndItsKilledTwin) {
  const Recording result = run([] {
    const int brief = lingering_socket(1);
    if (brief < 0 || close(brief) != 0) return 1;
    const pid_t child = fork();
    if (child == 0) {
      const int longer = lingering_socket(1000);
      close(longer < 0 ? 0 : longer);
      _exit(2);
    }
    usleep(3 * while_they_wait);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 0 : 3;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  std::size_t waited_a_second = 0;
  std::size_t killed = 0;
  for (const KeptEvent* call : result.calls("close")) {
    const Event& event = call->event;
    if (event.pid == result.pid) {
      waited_a_second += event.has_exit && event.duration_ns > 900'000'000U;
      continue;
    }
    killed += !event.has_exit || event.duration_ns > 100'000'000U;
  }
  EXPECT_EQ(waited_a_second, 1U);
  EXPECT_EQ(killed, 1U);
}

// A file system whose server answers a question about its root late.
class LateFileSystem {
 public:
  explicit LateFileSystem(useconds_t late) : late_(late) {
    auto made = TemporaryDirectory::create("gyges_late");
    if (!made) return;
    directory_ = std::move(*made);
    void* shared = mmap(nullptr, sizeof(*questions_), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return;
    questions_ = new (shared) std::atomic<unsigned>(0);
    server_.reset(open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string options =
        "fd=" + std::to_string(server_.get()) + ",rootmode=40000,user_id=0,group_id=0";
    mounted_ = server_ && mount("gyges", path().c_str(), "fuse", 0, options.c_str()) == 0;
    if (mounted_) serving_ = std::thread([this] { serve(); });
  }
  ~LateFileSystem() {
    if (!mounted_) return;
    umount2(path().c_str(), MNT_DETACH);
    serving_.join();  // reading fails when nobody holds the mount any more
  }
  LateFileSystem(const LateFileSystem&) = delete;
  LateFileSystem& operator=(const LateFileSystem&) = delete;
  [[nodiscard]] bool mounted() const { return mounted_; }
  // How often it was asked so far, in processes that were forked, too.
  [[nodiscard]] unsigned questions() const { return questions_->load(); }
  [[nodiscard]] std::string path() const { return directory_->path().string(); }

 private:
  template <class Answer>
  void answer(const fuse_in_header& asked, const Answer& body) {
    fuse_out_header head{};
    head.len = sizeof(head) + sizeof(body);
    head.unique = asked.unique;
    const std::array<iovec, 2> parts = {
        {{&head, sizeof(head)}, {const_cast<Answer*>(&body), sizeof(body)}}};
    EXPECT_GT(writev(server_.get(), parts.data(), 2), 0);
  }
  void refuse(const fuse_in_header& asked) {
    fuse_out_header head{};
    head.len = sizeof(head);
    head.error = -ENOSYS;
    head.unique = asked.unique;
    EXPECT_GT(write(server_.get(), &head, sizeof(head)), 0);
  }
  void serve() {
    std::vector<char> request(1U << 17U);
    while (read(server_.get(), request.data(), request.size()) > 0) {
      fuse_in_header asked{};
      std::memcpy(&asked, request.data(), sizeof(asked));
      if (asked.opcode == FUSE_INIT) {
        fuse_init_out ready{};
        ready.major = FUSE_KERNEL_VERSION;
        ready.minor = FUSE_KERNEL_MINOR_VERSION;
        ready.max_write = 4096;
        answer(asked, ready);
      } else if (asked.opcode == FUSE_GETATTR) {
        questions_->fetch_add(1);
        usleep(late_);
        fuse_attr_out about{};
        about.attr.ino = 1;
        about.attr.mode = S_IFDIR | 0755;
        about.attr.nlink = 2;
        answer(asked, about);
      } else if (asked.opcode != FUSE_INTERRUPT && asked.opcode != FUSE_FORGET) {
        refuse(asked);
      }
    }
  }

  useconds_t late_;
  std::optional<TemporaryDirectory> directory_;
  UniqueFd server_;
  std::thread serving_;
  std::atomic<unsigned>* questions_ = nullptr;  // shared memory, for as long as the program runs
  bool mounted_ = false;
};

// fstat as a rule waits for nobody, and is handed over with ebpf when it returns. Here it waits,
// and its process is killed meanwhile.
TEST_P(InterruptedCalls, AFileSystemThatAnswersLate) {
  const LateFileSystem late(3 * while_they_wait);
  if (!late.mounted()) GTEST_SKIP() << "no file system of FUSE can be mounted here";
  const std::string path = late.path();
  const Recording result = run([&] {
    const pid_t child = fork();
    if (child == 0) {
      const int root = open(path.c_str(), O_PATH | O_DIRECTORY);
      struct stat about {};
      syscall(SYS_fstat, root, &about);
      _exit(1);
    }
    for (int i = 0; i < 10'000 && late.questions() == 0; ++i) usleep(1000);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 0 : 2;
  });
  ASSERT_EQ(WEXITSTATUS(result.status), 0);
  std::size_t waited = 0;
  for (const KeptEvent* call : result.calls("fstat"))
    waited += call->event.pid != result.pid &&
              (!call->event.has_exit || call->event.duration_ns > 100'000'000U);
  EXPECT_EQ(waited, 1U);
  EXPECT_EQ(late.questions(), 1U) << "the recorder asked and waited, too";
}

}  // namespace
}  // namespace gyges::recorder
