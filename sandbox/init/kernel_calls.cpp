// What pid 1 uses of a C library, as plain system calls. With glibc's static archive its program
// has 700 KB, which every run copies into a memory file, and start-up code that costs more than all
// of the sandbox's mounts; with these it has a twentieth of that.
//
// One thread, no signal handlers, no locale: errno is one variable, and the calls that glibc makes
// on all threads are made once. Names and meaning are those of the manual pages (sections 2 and 3);
// what is not here does not link. Structures are the kernel's, which on x86-64 are glibc's too.
#include <asm/unistd.h>

#include <cstdarg>
#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#error "system calls of x86-64 only"
#endif

namespace {

int last_error = 0;

long raw(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

// The kernel answers errors as -1 to -4095.
long checked(long result) {
  if (result < 0 && result >= -4095) {
    last_error = static_cast<int>(-result);
    return -1;
  }
  return result;
}

template <class T>
long word(T value) {
  if constexpr (sizeof(T) == sizeof(long))
    return reinterpret_cast<long>(value);
  else
    return static_cast<long>(value);
}
long word(unsigned long value) {
  return static_cast<long>(value);
}
long word(long value) {
  return value;
}

template <class... Arguments>
long call(long number, Arguments... arguments) {
  return checked(raw(number, word(arguments)...));
}

template <class... Arguments>
int call_int(long number, Arguments... arguments) {
  return static_cast<int>(call(number, arguments...));
}

constexpr long kernel_signal_set = 8;  // bytes of it; a sigset_t of the library has 128
struct SignalSet {
  unsigned long words[16];
};

}  // namespace

extern "C" {

int* __errno_location() {
  return &last_error;
}

void* memcpy(void* to, const void* from, std::size_t size) {
  void* result = to;
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
  return result;
}
void* memset(void* to, int byte, std::size_t size) {
  void* result = to;
  asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
  return result;
}
std::size_t strlen(const char* text) {
  std::size_t length = 0;
  while (text[length] != '\0') ++length;
  return length;
}
int strncmp(const char* one, const char* other, std::size_t most) {
  for (; most > 0; --most, ++one, ++other) {
    int difference = static_cast<unsigned char>(*one) - static_cast<unsigned char>(*other);
    if (difference != 0 || *one == '\0') return difference;
  }
  return 0;
}
int strcmp(const char* one, const char* other) {
  return strncmp(one, other, SIZE_MAX);
}
char* strchr(const char* text, int wanted) {
  for (;; ++text) {
    if (*text == static_cast<char>(wanted)) return const_cast<char*>(text);
    if (*text == '\0') return nullptr;
  }
}
char* strcpy(char* to, const char* from) {
  memcpy(to, from, strlen(from) + 1);
  return to;
}
char* strcat(char* to, const char* from) {
  strcpy(to + strlen(to), from);
  return to;
}

[[noreturn]] void _exit(int status) {
  for (;;) raw(__NR_exit_group, status);
}
long syscall(long number, long a, long b, long c, long d, long e, long f) {
  return call(number, a, b, c, d, e, f);
}

// Files.
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  unsigned mode = va_arg(rest, unsigned);  // heeded by the kernel where the flags make a file
  va_end(rest);
  return call_int(__NR_open, path, flags, mode);
}
int close(int fd) {
  return call_int(__NR_close, fd);
}
long read(int fd, void* buffer, std::size_t size) {
  return call(__NR_read, fd, buffer, size);
}
long write(int fd, const void* buffer, std::size_t size) {
  return call(__NR_write, fd, buffer, size);
}
int access(const char* path, int mode) {
  return call_int(__NR_access, path, mode);
}
int stat(const char* path, void* info) {
  return call_int(__NR_stat, path, info);
}
int fstat(int fd, void* info) {
  return call_int(__NR_fstat, fd, info);
}
int chdir(const char* path) {
  return call_int(__NR_chdir, path);
}
int chmod(const char* path, unsigned mode) {
  return call_int(__NR_chmod, path, mode);
}
int chown(const char* path, unsigned uid, unsigned gid) {
  return call_int(__NR_chown, path, uid, gid);
}
int mkdir(const char* path, unsigned mode) {
  return call_int(__NR_mkdir, path, mode);
}
int rmdir(const char* path) {
  return call_int(__NR_rmdir, path);
}
int symlink(const char* target, const char* path) {
  return call_int(__NR_symlink, target, path);
}
unsigned umask(unsigned mask) {
  return static_cast<unsigned>(raw(__NR_umask, word(mask)));
}
int dup2(int fd, int wanted) {
  return call_int(__NR_dup2, fd, wanted);
}
int pipe2(int* fds, int flags) {
  return call_int(__NR_pipe2, fds, flags);
}
int fcntl(int fd, int command, long argument) {
  return call_int(__NR_fcntl, fd, command, argument);
}
int ioctl(int fd, unsigned long request, long argument) {
  return call_int(__NR_ioctl, fd, request, argument);
}
int poll(struct pollfd* entries, unsigned long count, int milliseconds) {
  return call_int(__NR_poll, entries, count, milliseconds);
}

// Directories, one at a time. An entry of getdents64(2) is a dirent.
struct __dirstream {
  int fd;
  long at;
  long end;
  alignas(8) char entries[8192];
};
static __dirstream directory_stream{-1, 0, 0, {}};

__dirstream* opendir(const char* path) {
  constexpr int read_directory = 0200000 | 02000000;  // O_DIRECTORY, O_CLOEXEC
  if (directory_stream.fd >= 0) {
    last_error = 24;  // EMFILE
    return nullptr;
  }
  directory_stream.fd = open(path, read_directory, 0);
  directory_stream.at = directory_stream.end = 0;
  return directory_stream.fd < 0 ? nullptr : &directory_stream;
}
struct dirent* readdir(__dirstream* stream) {
  if (stream->at >= stream->end) {
    stream->at = 0;
    stream->end = call(__NR_getdents64, stream->fd, +stream->entries, sizeof(stream->entries));
    if (stream->end <= 0) return nullptr;
  }
  char* entry = stream->entries + stream->at;
  unsigned short length = 0;
  memcpy(&length, entry + 16, sizeof(length));  // d_reclen, after d_ino and d_off
  stream->at += length;
  return reinterpret_cast<struct dirent*>(entry);
}
int closedir(__dirstream* stream) {
  int result = close(stream->fd);
  stream->fd = -1;
  return result;
}

// Memory.
void* mmap(void* where, std::size_t size, int protection, int flags, int fd, long offset) {
  return reinterpret_cast<void*>(call(__NR_mmap, where, size, protection, flags, fd, offset));
}
int mprotect(void* where, std::size_t size, int protection) {
  return call_int(__NR_mprotect, where, size, protection);
}
int munmap(void* where, std::size_t size) {
  return call_int(__NR_munmap, where, size);
}

// Mounts and namespaces.
int mount(const char* source, const char* target, const char* type, unsigned long flags,
          const void* data) {
  return call_int(__NR_mount, source, target, type, flags, data);
}
int umount2(const char* target, int flags) {
  return call_int(__NR_umount2, target, flags);
}
int open_tree(int directory, const char* path, unsigned flags) {
  return call_int(__NR_open_tree, directory, path, flags);
}
int move_mount(int from, const char* from_path, int to, const char* to_path, unsigned flags) {
  return call_int(__NR_move_mount, from, from_path, to, to_path, flags);
}
int mount_setattr(int directory, const char* path, unsigned flags, struct mount_attr* attributes,
                  std::size_t size) {
  return call_int(__NR_mount_setattr, directory, path, flags, attributes, size);
}
int unshare(int flags) {
  return call_int(__NR_unshare, flags);
}
int setns(int fd, int type) {
  return call_int(__NR_setns, fd, type);
}
int sethostname(const char* name, std::size_t length) {
  return call_int(__NR_sethostname, name, length);
}

// Sockets.
int socket(int family, int type, int protocol) {
  return call_int(__NR_socket, family, type, protocol);
}
int setsockopt(int fd, int level, int option, const void* value, unsigned size) {
  return call_int(__NR_setsockopt, fd, level, option, value, size);
}
int bind(int fd, const struct sockaddr* address, unsigned size) {
  return call_int(__NR_bind, fd, address, size);
}
int listen(int fd, int backlog) {
  return call_int(__NR_listen, fd, backlog);
}
long sendmsg(int fd, const struct msghdr* message, int flags) {
  return call(__NR_sendmsg, fd, message, flags);
}
long recvmsg(int fd, struct msghdr* message, int flags) {
  return call(__NR_recvmsg, fd, message, flags);
}

// Processes.
int getpid() {
  return static_cast<int>(raw(__NR_getpid));
}
int fork() {
  return call_int(__NR_fork);
}
// The new stack holds what the child runs, because nothing else of the parent's frame is there.
int start_on_stack(unsigned long flags, void* top, std::uint32_t* child_tid, void (*body)(void*),
                   void* argument) {
  auto** stack = static_cast<void**>(top);
  *--stack = argument;
  *--stack = reinterpret_cast<void*>(body);
  long result;
  register std::uint32_t* r10 asm("r10") = child_tid;
  register long r8 asm("r8") = 0;
  asm volatile(
      "syscall\n"
      "test %%rax, %%rax\n"
      "jnz 1f\n"
      "xor %%ebp, %%ebp\n"
      "pop %%rax\n"
      "pop %%rdi\n"
      "and $-16, %%rsp\n"
      "call *%%rax\n"
      "hlt\n"
      "1:\n"
      : "=a"(result)
      : "a"(static_cast<long>(__NR_clone)), "D"(flags), "S"(stack), "d"(0L), "r"(r10), "r"(r8)
      : "rcx", "r11", "memory");
  return static_cast<int>(checked(result));
}
long read_quietly(int fd, void* to, std::size_t size) {
  return raw(__NR_read, word(fd), word(to), word(size));
}
long write_quietly(int fd, const void* from, std::size_t size) {
  return raw(__NR_write, word(fd), word(from), word(size));
}
int execute_program(const char* path, char* const* arguments, char* const* environment) {
  return static_cast<int>(raw(__NR_execve, word(path), word(arguments), word(environment)));
}
int execve(const char* path, char* const* arguments, char* const* environment) {
  return call_int(__NR_execve, path, arguments, environment);
}
int wait4(int pid, int* status, int options, struct rusage* usage) {
  return call_int(__NR_wait4, pid, status, options, usage);
}
int kill(int pid, int signal_number) {
  return call_int(__NR_kill, pid, signal_number);
}
int setsid() {
  return call_int(__NR_setsid);
}
int setgroups(std::size_t count, const unsigned* groups) {
  return call_int(__NR_setgroups, count, groups);
}
int setresuid(unsigned real, unsigned effective, unsigned saved) {
  return call_int(__NR_setresuid, real, effective, saved);
}
int setresgid(unsigned real, unsigned effective, unsigned saved) {
  return call_int(__NR_setresgid, real, effective, saved);
}
int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d) {
  return call_int(__NR_prctl, option, a, b, c, d);
}
int getrlimit(int resource, struct rlimit* limit) {
  return call_int(__NR_getrlimit, resource, limit);
}
int setrlimit(int resource, const struct rlimit* limit) {
  return call_int(__NR_setrlimit, resource, limit);
}

// Signals and time.
int sigemptyset(SignalSet* set) {
  *set = SignalSet{};
  return 0;
}
int sigfillset(SignalSet* set) {
  *set = SignalSet{};
  set->words[0] = ~0UL;
  return 0;
}
int sigaddset(SignalSet* set, int signal_number) {
  set->words[0] |= 1UL << static_cast<unsigned>(signal_number - 1);
  return 0;
}
int sigprocmask(int how, const SignalSet* set, SignalSet* before) {
  return call_int(__NR_rt_sigprocmask, how, set, before, kernel_signal_set);
}
int signalfd(int fd, const SignalSet* set, int flags) {
  return call_int(__NR_signalfd4, fd, set, kernel_signal_set, flags);
}
int eventfd(unsigned start, int flags) {
  return call_int(__NR_eventfd2, start, flags);
}
int timerfd_create(int clock, int flags) {
  return call_int(__NR_timerfd_create, clock, flags);
}
int timerfd_settime(int fd, int flags, const struct itimerspec* when, struct itimerspec* before) {
  return call_int(__NR_timerfd_settime, fd, flags, when, before);
}
int clock_gettime(int clock, struct timespec* now) {
  return call_int(__NR_clock_gettime, clock, now);
}
int nanosleep(const struct timespec* time, struct timespec* left) {
  return call_int(__NR_nanosleep, time, left);
}

int main(int argc, char** argv);

// The kernel's entry leaves argc and argv on the stack (System V ABI, x86-64, 3.4.1).
[[noreturn, gnu::used]] void gyges_init_start(long* stack) {
  _exit(main(static_cast<int>(stack[0]), reinterpret_cast<char**>(stack + 1)));
}
}

asm(".globl _start\n"
    ".type _start, @function\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call gyges_init_start\n");
