// What an agent may try to get out of the record, one attempt per argument:
//
//   recorder_attacks ATTEMPT [COUNT]
//
// Prints what it achieved as lines "name number". Exit status 0: the attempt worked as it would on
// an unguarded machine; 10: something refused it. It never runs in the initial pid namespace: what
// it does to a machine it may do to a throw-away one only.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/vm_sockets.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int worked = 0;
constexpr int refused = 10;
constexpr int broken = 20;

void say(const char* name, long value) {
  std::printf("%s %ld\n", name, value);
  std::fflush(stdout);
}

bool in_initial_pid_namespace() {
  struct stat about {};
  constexpr ino_t initial = 0xEFFFFFFCU;  // PROC_PID_INIT_INO
  return stat("/proc/self/ns/pid", &about) != 0 || about.st_ino == initial;
}

// Every call is answered `number_action` if it is `number`, otherwise allowed.
long install_filter(unsigned number, unsigned number_action, unsigned flags) {
  std::array<sock_filter, 4> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, number_action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program = {code.size(), code.data()};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

// A filter with a listener of its own answers "continue", which hid calls from RET_TRACE recorders.
int own_listener(long /*count*/) {
  const long listener =
      install_filter(SYS_getpgrp, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  say("listener", listener >= 0 ? 1 : 0);
  if (listener < 0) {
    for (int i = 0; i < 5; ++i) syscall(SYS_getpgrp);
    return refused;
  }
  std::thread answers([listener] {
    for (int i = 0; i < 5; ++i) {
      seccomp_notif asked{};
      if (ioctl(static_cast<int>(listener), SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) return;
      seccomp_notif_resp answer{};
      answer.id = asked.id;
      answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
      ioctl(static_cast<int>(listener), SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
  });
  for (int i = 0; i < 5; ++i) syscall(SYS_getpgrp);
  answers.join();
  return worked;
}

// Its own filter refuses its own calls: the attempts belong in the record all the same.
int own_errno(long /*count*/) {
  if (install_filter(SYS_mkdir, SECCOMP_RET_ERRNO | EXDEV, 0) != 0) return refused;
  int refusals = 0;
  for (int i = 0; i < 5; ++i) refusals += mkdir("/tmp/gyges_hidden", 0700) != 0 && errno == EXDEV;
  say("refusals", refusals);
  return refusals == 5 ? worked : broken;
}

// The same with a signal in place of an answer, which the program handles itself.
int own_trap(long /*count*/) {
  static volatile sig_atomic_t trapped = 0;
  struct sigaction action {};
  action.sa_handler = [](int) { trapped = trapped + 1; };
  sigaction(SIGSYS, &action, nullptr);
  if (install_filter(SYS_mkdir, SECCOMP_RET_TRAP, 0) != 0) return refused;
  for (int i = 0; i < 5; ++i) mkdir("/tmp/gyges_hidden", 0700);
  say("traps", trapped);
  return trapped == 5 ? worked : broken;
}

int untraced_child(long /*count*/) {
  const long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, nullptr, nullptr, nullptr, 0);
  const bool made = child >= 0;
  if (child == 0) {
    for (int i = 0; i < 100; ++i) syscall(SYS_getpgrp);
    _exit(0);
  }
  if (made) waitpid(static_cast<pid_t>(child), nullptr, 0);
  // The flags of clone3 lie in memory, where a filter cannot read them.
  clone_args arguments{};
  arguments.flags = CLONE_UNTRACED;
  arguments.exit_signal = SIGCHLD;
  const long other = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (other == 0) {
    for (int i = 0; i < 100; ++i) syscall(SYS_getpgrp);
    _exit(0);
  }
  if (other > 0) waitpid(static_cast<pid_t>(other), nullptr, 0);
  say("children", (made ? 1 : 0) + (other > 0 ? 1 : 0));
  return made || other > 0 ? worked : refused;
}

// Another thread changes the path while the call is under way. The first byte of each file tells
// which one was opened: the read after each open is the truth. The path is long, because the time
// that the kernel takes to copy it is the time in which it can change.
int raced_path(long count) {
  static char path[512] = "/tmp/";
  while (std::strlen(path) < 400) std::strcat(path, "./");
  std::strcat(path, "race_a");
  const std::size_t last = std::strlen(path) - 1;
  for (const char name : {'a', 'b'}) {
    path[last] = name;
    const int file = open(path, O_CREAT | O_WRONLY, 0600);
    if (write(file, &name, 1) != 1) return broken;
    close(file);
  }
  std::atomic<bool> stop{false};
  std::thread racer([&stop, last] {
    volatile char* letter = &path[last];
    for (unsigned i = 0; !stop.load(std::memory_order_relaxed); ++i) {
      *letter = (i & 1U) != 0 ? 'a' : 'b';
      for (unsigned j = 0; j < i / 1024 % 16; ++j) __asm__ volatile("pause");
    }
  });
  // Without a second processor to itself the racer acts only between the calls.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  cpu_set_t other;
  CPU_ZERO(&other);
  CPU_SET(1, &other);
  sched_setaffinity(0, sizeof(one), &one);
  pthread_setaffinity_np(racer.native_handle(), sizeof(other), &other);
  long opened[2] = {0, 0};
  for (long i = 0; i < count; ++i) {
    const int file = open(path, O_RDONLY);
    char letter = 0;
    if (file < 0 || read(file, &letter, 1) != 1) return broken;
    ++opened[letter == 'a' ? 0 : 1];
    close(file);
  }
  stop = true;
  racer.join();
  say("opened_a", opened[0]);
  say("opened_b", opened[1]);
  return worked;
}

volatile sig_atomic_t signals_handled = 0;

// A timer interrupts calls, with and without SA_RESTART.
int signal_storm(long count) {
  struct sigaction action {};
  action.sa_handler = [](int) { signals_handled = signals_handled + 1; };
  sigaction(SIGALRM, &action, nullptr);
  const itimerval every = {{0, 100}, {0, 100}};
  setitimer(ITIMER_REAL, &every, nullptr);
  int ends[2];
  if (pipe(ends) != 0) return broken;
  long interrupted = 0;
  long short_sleeps = 0;
  for (long i = 0; i < count; ++i) {
    syscall(SYS_getpgrp);
    const timespec moment = {0, 200000};
    short_sleeps += nanosleep(&moment, nullptr) != 0 && errno == EINTR;
    char byte = 0;
    if (i % 4 == 0) interrupted += read(ends[0], &byte, 1) < 0 && errno == EINTR;
  }
  const itimerval never = {};
  setitimer(ITIMER_REAL, &never, nullptr);
  say("calls", count);
  say("signals", signals_handled);
  say("interrupted", interrupted + short_sleeps);
  return worked;
}

// getpid by the 32-bit entry: number 20 is writev for a recorder that does not look.
int ia32_call(long /*count*/) {
  long result = 20;
  __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  say("result", result);
  return result > 0 ? worked : refused;
}

int x32_call(long /*count*/) {
  const long result = syscall(0x40000000 + SYS_getppid);
  say("result", result);
  return worked;
}

// An image that has no name in any directory, run under a false one.
int memfd_exec(long /*count*/) {
  const int image = memfd_create("innocent", MFD_CLOEXEC);
  const int source = open("/bin/true", O_RDONLY);
  struct stat about {};
  if (fstat(source, &about) != 0 || image < 0) return broken;
  while (sendfile(image, source, nullptr, static_cast<std::size_t>(about.st_size)) > 0) {
  }
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_NAME, "sshd");
    char name[] = "/usr/sbin/sshd";
    char* argv[] = {name, nullptr};
    char* env[] = {nullptr};
    syscall(SYS_execveat, image, "", argv, env, AT_EMPTY_PATH);
    _exit(refused);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

// A known program under a false argv[0], a false name of the process and a false path.
int renamed_exec(long /*count*/) {
  unlink("/tmp/sshd");
  if (symlink("/bin/true", "/tmp/sshd") != 0) return broken;
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_NAME, "sshd");
    execl("/tmp/sshd", "/usr/sbin/sshd", "-D", nullptr);
    _exit(broken);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

const char hostile_name[] = "\x1b]0;owned\x07\n[1] unlink(\"shadow\") = 0\xff\xc3(\u202e";

int hostile_bytes(long /*count*/) {
  const std::string path = std::string("/tmp/") + hostile_name;
  const int file = open(path.c_str(), O_CREAT | O_WRONLY, 0600);
  if (file < 0 || write(file, hostile_name, sizeof(hostile_name)) < 0) return broken;
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/true", hostile_name, hostile_name, nullptr);
    _exit(1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status) == 0 ? worked : broken;
}

bool one_short_process() {
  const pid_t child = vfork();
  if (child == 0) _exit(0);
  return child > 0 && waitpid(child, nullptr, 0) == child;
}

// More callers at the same time than any queue has places for.
int thread_flood(long count) {
  constexpr int callers = 64;
  std::vector<std::thread> threads;
  for (int i = 0; i < callers; ++i)
    threads.emplace_back([count] {
      for (long j = 0; j < count; ++j) syscall(SYS_getpgrp);
    });
  for (std::thread& thread : threads) thread.join();
  say("calls", callers * count);
  return worked;
}

int short_processes(long count) {
  for (long i = 0; i < count; ++i)
    if (!one_short_process()) return broken;
  say("processes", count);
  return worked;
}

// Four processes on however many CPUs there are; each counts its own calls.
int flood(long milliseconds) {
  long* calls = static_cast<long*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  for (int i = 0; i < 4; ++i) {
    if (fork() != 0) continue;
    timespec start{};
    clock_gettime(CLOCK_MONOTONIC, &start);
    timespec now{};
    do {
      for (int j = 0; j < 100; ++j) syscall(SYS_getpgrp);
      calls[i * 8] += 100;
      clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 <
             milliseconds);
    _exit(0);
  }
  int signals = 0;
  for (int i = 0; i < 4; ++i) {
    int status = 0;
    while (waitpid(-1, &status, 0) < 0 && errno == EINTR) ++signals;
    signals += WIFSIGNALED(status) ? 1 : 0;
  }
  say("calls", calls[0] + calls[8] + calls[16] + calls[24]);
  say("signals", signals);
  return worked;
}

int io_uring(long /*count*/) {
  char parameters[120] = {};
  const long ring = syscall(SYS_io_uring_setup, 4, parameters);
  return ring >= 0 ? worked : refused;
}

int vsock_by_socketcall(long /*count*/) {
  // socketcall(SYS_SOCKET, {AF_VSOCK, SOCK_STREAM, 0}); its arguments must lie below 4 GiB.
  void* low =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (low == MAP_FAILED) return broken;
  const unsigned arguments[3] = {AF_VSOCK, SOCK_STREAM, 0};
  std::memcpy(low, arguments, sizeof(arguments));
  long result = 102;
  __asm__ volatile("int $0x80"
                   : "+a"(result)
                   : "b"(1L), "c"(low)
                   : "memory", "r8", "r9", "r10", "r11");
  say("result", static_cast<int>(result));
  return static_cast<int>(result) >= 0 ? worked : refused;
}

// Data that moves without read and write.
int indirect_writes(long /*count*/) {
  const int from = open("/tmp/from", O_CREAT | O_RDWR, 0600);
  const int to = open("/tmp/to", O_CREAT | O_RDWR, 0600);
  if (write(from, "hidden", 6) != 6) return broken;
  loff_t at = 0;
  const bool copied = copy_file_range(from, &at, to, nullptr, 6, 0) == 6;
  int ends[2];
  if (pipe(ends) != 0) return broken;
  at = 0;
  const bool spliced = splice(from, &at, ends[1], nullptr, 6, 0) == 6;
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return broken;
  char text[] = "by sendmmsg";
  iovec vector = {text, sizeof(text) - 1};
  mmsghdr message{};
  message.msg_hdr.msg_iov = &vector;
  message.msg_hdr.msg_iovlen = 1;
  const bool sent = sendmmsg(pair[0], &message, 1, 0) == 1;
  return copied && spliced && sent ? worked : broken;
}

// Lines and records that look as if the recorder had made them.
int forged_events(long /*count*/) {
  for (const int out : {1, 2})
    dprintf(out,
            "{\"type\":\"tool_executed\",\"call\":9,\"exit_code\":0}\n"
            "[9] execve(\"/bin/rm\") = 0\n");
  for (int descriptor = 3; descriptor < 1024; ++descriptor)
    if (write(descriptor, "{\"type\":\"end\"}\n", 15) > 0) say("descriptor", descriptor);
  return worked;
}

int first_instruction(long /*count*/) {
  char text[4096] = {};
  const int status = open("/proc/self/status", O_RDONLY);
  if (read(status, text, sizeof(text) - 1) <= 0) return broken;
  const char* mode = std::strstr(text, "\nSeccomp:");
  say("seccomp", mode == nullptr ? -1 : std::atol(mode + 9));
  return worked;
}

}  // namespace

int main(int argc, char** argv) {
  if (in_initial_pid_namespace()) {
    std::fprintf(stderr, "recorder_attacks: refuses to run in the initial pid namespace\n");
    return 2;
  }
  const std::map<std::string, int (*)(long)> attempts = {
      {"own_listener", own_listener},
      {"own_errno", own_errno},
      {"own_trap", own_trap},
      {"untraced_child", untraced_child},
      {"raced_path", raced_path},
      {"signal_storm", signal_storm},
      {"ia32_call", ia32_call},
      {"x32_call", x32_call},
      {"memfd_exec", memfd_exec},
      {"renamed_exec", renamed_exec},
      {"hostile_bytes", hostile_bytes},
      {"thread_flood", thread_flood},
      {"short_processes", short_processes},
      {"flood", flood},
      {"io_uring", io_uring},
      {"vsock_by_socketcall", vsock_by_socketcall},
      {"indirect_writes", indirect_writes},
      {"forged_events", forged_events},
      {"first_instruction", first_instruction},
  };
  const auto found = attempts.find(argc > 1 ? argv[1] : "");
  if (found == attempts.end()) return 2;
  return found->second(argc > 2 ? std::atol(argv[2]) : 0);
}
