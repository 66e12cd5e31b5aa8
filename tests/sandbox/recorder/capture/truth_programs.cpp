// Small programs that do one difficult thing each, the same calls in every run:
//
//   truth_programs NAME
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <pthread.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <map>
#include <string>
#include <thread>

#include "truth_structures.h"

namespace {

int threads() {
  for (int i = 0; i < 3; ++i)
    std::thread([i] {
      for (int j = 0; j < 10 + i; ++j) syscall(SYS_getpgrp);
    }).join();
  return 0;
}

int wait_for(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

int vforks() {
  const pid_t child = vfork();
  if (child == 0) {
    execl("/bin/true", "true", nullptr);
    _exit(1);
  }
  return wait_for(child);
}

int exec_from_thread() {
  std::thread([] {
    usleep(50000);  // by then the leader waits
    execl("/bin/true", "true", nullptr);
  }).join();
  return 1;
}

int clones() {
  const long plain = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (plain == 0) _exit(close(-1) == -1 ? 0 : 1);
  wait_for(static_cast<pid_t>(plain));
  const long files =
      syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (files == 0) {
    const int opened = open("/etc/passwd", O_RDONLY);
    _exit(chdir("/usr") == 0 && opened >= 0 ? 0 : 1);
  }
  wait_for(static_cast<pid_t>(files));
  return close(3) == 0 && access("share", F_OK) == 0 ? 0 : 1;  // both were shared
}

int signals() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child == 0) {
    usleep(50000);  // by then the parent has called
    kill(self, SIGUSR1);
    usleep(50000);
    _exit(0);
  }
  const bool interrupted = pause() == -1 && errno == EINTR;
  raise(SIGUSR1);
  return wait_for(child) == 0 && interrupted ? 0 : 1;
}

int denied() {
  std::array<sock_filter, 4> code = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program = {code.size(), code.data()};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) return 1;
  return mkdir("never", 0700) == -1 && errno == EXDEV ? 0 : 2;
}

int absent_pages() {
  const int file = open("/etc/passwd", O_RDONLY);
  void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0);
  return open(static_cast<const char*>(page), O_RDONLY) == -1 ? 0 : 1;
}

int errors() {
  char byte = 0;
  open("/not/there", O_RDONLY);
  open(reinterpret_cast<const char*>(1), O_RDONLY);
  if (read(-1, &byte, 1) >= 0) return 1;
  mkdir("/proc/self/x", 0700);
  syscall(SYS_lseek, 77, 0, 0);
  syscall(999, 1, 2, 3);
  return 0;
}

int vectors_and_sockets() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
  char first[] = "one";
  char second[] = "two";
  iovec vectors[2] = {{first, 3}, {second, 3}};
  if (writev(pair[0], vectors, 2) != 6) return 2;
  char bytes[16];
  if (recv(pair[1], bytes, sizeof(bytes), 0) != 6) return 3;
  sockaddr_un nobody{};
  nobody.sun_family = AF_UNIX;
  std::strcpy(nobody.sun_path, "/not/there/socket");
  const int client = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(client, reinterpret_cast<sockaddr*>(&nobody), sizeof(nobody)) == -1 ? 0 : 4;
}

int killed_in_call() {
  const pid_t child = fork();
  if (child == 0)
    for (;;) pause();
  usleep(50000);
  kill(child, SIGKILL);
  wait_for(child);
  return 0;
}

std::atomic<bool> all_made{false};

// All at the same time: calls of one thread stay in order whatever the others do. Small stacks and
// no use of the heap, so that every thread makes the same calls in every run.
int parallel_threads() {
  std::array<pthread_t, 8> made{};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 256U << 10U);
  const auto body = [](void*) -> void* {
    while (!all_made) __builtin_ia32_pause();
    for (int i = 0; i < 50; ++i) syscall(i % 2 == 0 ? SYS_getpgrp : SYS_getuid);
    return nullptr;
  };
  for (pthread_t& thread : made)
    if (pthread_create(&thread, &attributes, body, nullptr) != 0) return 1;
  all_made = true;
  for (const pthread_t thread : made) pthread_join(thread, nullptr);
  return 0;
}

// The child's parent is the parent of this process, which this process cannot wait for.
int clone_parent() {
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const long child = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (child == 0) {
    for (int i = 0; i < 5; ++i) syscall(SYS_getuid);
    _exit(0);
  }
  close(ends[1]);
  char byte = 0;
  return read(ends[0], &byte, 1) == 0 ? 0 : 2;  // the end of the child
}

int clone3s() {
  clone_args arguments{};
  arguments.flags = CLONE_FS;
  arguments.exit_signal = SIGCHLD;
  const long child = syscall(SYS_clone3, &arguments, sizeof(arguments));
  if (child == 0) _exit(chdir("/usr") == 0 ? 0 : 1);
  if (child < 0 || wait_for(static_cast<pid_t>(child)) != 0) return 1;
  arguments.flags = CLONE_SIGHAND;  // not without CLONE_VM
  if (syscall(SYS_clone3, &arguments, sizeof(arguments)) != -1) return 2;
  if (syscall(SYS_clone3, nullptr, sizeof(arguments)) != -1) return 3;
  return access("share", F_OK);
}

int clone_untraced() {
  const long child = syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, nullptr, nullptr, nullptr, 0);
  if (child == 0) {
    for (int i = 0; i < 100; ++i) syscall(SYS_getuid);
    _exit(0);
  }
  return wait_for(static_cast<pid_t>(child));
}

long by_32_bit_entry(long number, long first) {
  long result = number;
  __asm__ volatile("int $0x80" : "+a"(result) : "b"(first) : "memory", "r8", "r9", "r10", "r11");
  return result;
}

// The same by the 32-bit entry: 120 is clone there.
int clone_untraced_32() {
  const long child = by_32_bit_entry(120, CLONE_UNTRACED | SIGCHLD);
  if (child == -ENOSYS) return 1;
  if (child == 0) {
    for (int i = 0; i < 100; ++i) syscall(SYS_getuid);
    _exit(0);
  }
  return wait_for(static_cast<pid_t>(child));
}

int calls_of_32_bits() {
  if (by_32_bit_entry(20, 0) != getpid()) return 1;               // getpid; 20 is writev otherwise
  if (by_32_bit_entry(6, 77) != -EBADF) return 2;                 // close
  return syscall(SYS_getuid) == by_32_bit_entry(199, 0) ? 0 : 3;  // getuid32
}

// A call that a handler interrupts starts again.
int restarted_call() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  sigaction(SIGUSR1, &action, nullptr);
  int ends[2];
  if (pipe(ends) != 0) return 1;
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 2; ++i) {
      usleep(50000);  // by then the parent reads
      kill(self, SIGUSR1);
    }
    usleep(50000);
    _exit(write(ends[1], "x", 1) == 1 ? 0 : 1);
  }
  char byte = 0;
  if (read(ends[0], &byte, 1) != 1) return 2;
  return wait_for(child);
}

// Another thread changes the name while it is being opened; both files are there.
int racing_paths() {
  static char path[] = "race_a";
  for (const char name : {'a', 'b'}) {
    path[5] = name;
    close(open(path, O_CREAT | O_WRONLY, 0600));
  }
  static std::atomic<bool> stop{false};
  pthread_t racer{};
  const auto body = [](void*) -> void* {
    volatile char* letter = &path[5];
    while (!stop) *letter = *letter == 'a' ? 'b' : 'a';
    return nullptr;
  };
  if (pthread_create(&racer, nullptr, body, nullptr) != 0) return 1;
  int opened = 0;
  for (int i = 0; i < 200; ++i) {
    const int file = open(path, O_RDONLY);
    opened += file >= 0;
    close(file);
  }
  stop = true;
  pthread_join(racer, nullptr);
  return opened == 200 ? 0 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, int (*)()> programs = {
      {"structures", structures},
      {"threads", threads},
      {"vforks", vforks},
      {"exec_from_thread", exec_from_thread},
      {"clones", clones},
      {"signals", signals},
      {"denied", denied},
      {"absent_pages", absent_pages},
      {"errors", errors},
      {"vectors_and_sockets", vectors_and_sockets},
      {"killed_in_call", killed_in_call},
      {"parallel_threads", parallel_threads},
      {"clone_parent", clone_parent},
      {"clone3s", clone3s},
      {"clone_untraced", clone_untraced},
      {"clone_untraced_32", clone_untraced_32},
      {"calls_of_32_bits", calls_of_32_bits},
      {"restarted_call", restarted_call},
      {"racing_paths", racing_paths},
  };
  const auto found = programs.find(argc > 1 ? argv[1] : "");
  return found == programs.end() ? 99 : found->second();
}
