#include "sandbox/init/decoys.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/decoy_door.h"
#include "sandbox/init/protocol.h"

// Where a thread of the maker's memory begins.
asm(R"(
  .pushsection .text.decoy_entry, "ax", @progbits
  .globl gyges_decoy_entry
  .hidden gyges_decoy_entry
gyges_decoy_entry:
  xor %ebp, %ebp
  call gyges_decoy_thread
  .popsection
)");

extern "C" {
void gyges_decoy_entry();
[[noreturn]] void gyges_decoy_thread();
}

namespace gyges::init {
namespace {

constexpr std::size_t most_arguments = 15;
constexpr std::size_t longest_arguments = 4096;
constexpr const char* name_variable = "comm=";

constexpr std::size_t stack_size = 1024;  // of one that has nothing to do but to fall asleep

struct Decoy {
  std::uint32_t step;
  const char* name;
  const char* arguments;
  std::size_t length;
  uid_t user;
  gid_t group;
  bool change_user;
  pid_t wanted;  // 0: any number
};

Decoy noted[max_decoys];
std::uint32_t count = 0;

// What the maker tells pid 1, in memory of both.
struct Shared {
  struct Made {
    pid_t pid;    // not above 0: it could not be made
    int refusal;  // of the wanted number
  } made[max_decoys];
  std::uint32_t ready;    // decoys that are as they should be
  std::uint32_t threads;  // of the maker's memory that are still on the way
};
Shared* shared = nullptr;

// Its writing end is open as long as a decoy is not shut in.
int ready[2] = {-1, -1};

pid_t decoys[max_decoys];
std::uint32_t alive = 0;
pid_t maker = 0;  // the parent of those without memory of their own

bool is_kernel_thread(const Decoy& decoy) {
  return decoy.length == 0 && decoy.user == 0 && decoy.group == 0;
}

[[noreturn]] void sleep_for_ever() {
  for (;;) plain_call(SYS_pause);
}

// From here on the filter lets nothing through but sleep. That the pipe is let go of tells pid 1.
[[noreturn]] void shut_in() {
  plain_call(SYS_munmap, word(shared), sizeof(Shared));
  remove_door();
  plain_call(SYS_close_range, 0, ~0U, 0);
  sleep_for_ever();
}

// clone3(2), with a number where one is wanted and can be had (Linux 5.5), or clone(2) where
// containers forbid it or have it look unknown. Negative: an error.
pid_t make(clone_args how, pid_t wanted, int& refusal) {
  refusal = 0;
  if (wanted != 0) {
    how.set_tid = reinterpret_cast<std::uint64_t>(&wanted);
    how.set_tid_size = 1;
    const long pid = through_door(SYS_clone3, &how, sizeof(how));
    if (pid >= 0) return static_cast<pid_t>(pid);
    refusal = static_cast<int>(-pid);
    how.set_tid = how.set_tid_size = 0;
  }
  const long pid = through_door(SYS_clone3, &how, sizeof(how));
  if (pid != -ENOSYS && pid != -EPERM) return static_cast<pid_t>(pid);
  const std::uint64_t flags = how.flags | how.exit_signal;
  const std::uint64_t stack = how.stack != 0 ? how.stack + how.stack_size : 0;
  return static_cast<pid_t>(
      through_door(SYS_clone, static_cast<long>(flags), static_cast<long>(stack)));
}

void set_name(const char* name) {
  through_door(SYS_prctl, PR_SET_NAME, name);
}

bool hide_memory() {
  return through_door(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0) == 0;
}

bool give_up_capabilities() {
  through_door(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  return through_door(SYS_capset, &header, data) == 0;
}

bool become_user(const Decoy& decoy) {
  if (!decoy.change_user) return true;
  return through_door(SYS_setgroups, 0, nullptr) == 0 &&
         through_door(SYS_setresgid, decoy.group, decoy.group, decoy.group) == 0 &&
         through_door(SYS_setresuid, decoy.user, decoy.user, decoy.user) == 0;
}

// Has /proc/PID/cmdline show these, as an exec would, whose cost is most of that of a process: a
// dozen of them took half of a disguise's start. Linux 3.18 with CONFIG_CHECKPOINT_RESTORE, which
// distributions have.
bool show_arguments(const char* arguments, std::size_t length) {
  if (length >= longest_arguments) return false;
  // Of other memory than anonymous the kernel shows nothing.
  const long memory = through_door(SYS_mmap, 0, longest_arguments, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1);
  if (memory < 0 && memory >= -4095) return false;
  std::memcpy(reinterpret_cast<void*>(memory), arguments, length);
  const auto start = static_cast<std::uint64_t>(memory);
  prctl_mm_map map{};
  // Of these only the arguments are told to anybody; the others have to be in order.
  map.start_code = map.start_data = map.start_brk = map.start_stack = start;
  map.end_code = map.end_data = map.brk = start + 1;
  map.arg_start = start;
  // A thread of the kernel's has none at all.
  map.arg_end = map.env_start = map.env_end = length > 0 ? start + length + 1 : start;
  map.exe_fd = ~0U;
  return through_door(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0;
}

bool can_show_arguments() {
  std::uint32_t size = 0;
  return ::prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, reinterpret_cast<unsigned long>(&size), 0, 0) == 0;
}

void count_as_ready() {
  __atomic_add_fetch(&shared->ready, 1, __ATOMIC_RELEASE);
}

[[noreturn]] void be_daemon(const Decoy& decoy) {
  through_door(SYS_setsid);
  if (!show_arguments(decoy.arguments, decoy.length) || !become_user(decoy) ||
      !give_up_capabilities() || !hide_memory())
    through_door(SYS_exit_group, 1);
  count_as_ready();
  shut_in();
}

// The last one shuts the door for all in this memory. One that is not as it should be is missing
// among those that are ready, and the sandbox does not start.
[[noreturn]] void be_thread() {
  through_door(SYS_setsid);
  if (give_up_capabilities()) count_as_ready();
  if (__atomic_sub_fetch(&shared->threads, 1, __ATOMIC_ACQ_REL) == 0) shut_in();
  sleep_for_ever();
}

// What all threads of the maker's memory have in common.
bool be_kernel_memory(const Decoy& decoy) {
  return show_arguments("", 0) && become_user(decoy) && hide_memory();
}

void make_threads(std::uint32_t own) {
  const long stacks = through_door(SYS_mmap, 0, max_decoys * stack_size, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1);
  // Otherwise pid 1 would wait for threads that are never made.
  if (stacks < 0 && stacks >= -4095) through_door(SYS_exit_group, 1);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (i == own || !is_kernel_thread(noted[i])) continue;
    set_name(noted[i].name);
    clone_args how{};
    how.flags = CLONE_VM | CLONE_FS | CLONE_FILES;
    how.exit_signal = SIGCHLD;
    how.stack = static_cast<std::uint64_t>(stacks) + i * stack_size;
    how.stack_size = stack_size - sizeof(long);
    // Where the door returns to.
    const auto entry = reinterpret_cast<std::uint64_t>(&gyges_decoy_entry);
    std::memcpy(reinterpret_cast<void*>(how.stack + how.stack_size), &entry, sizeof(entry));
    shared->made[i].pid = make(how, noted[i].wanted, shared->made[i].refusal);
    if (shared->made[i].pid < 0) __atomic_sub_fetch(&shared->threads, 1, __ATOMIC_ACQ_REL);
  }
  set_name(noted[own].name);
}

// Makes all others, then is the decoy number `own`. Daemons are children of pid 1, threads of the
// kernel are the maker's, which stands for kthreadd.
[[noreturn]] void be_maker(std::uint32_t own) {
  // Where it expects it; the supervisor's socket is none of its business. Nothing of the host's
  // tree is kept: the root is the sandbox's as soon as there is one.
  if (::dup2(ready[1], control_fd) < 0 || ::chdir("/") != 0 || !load_filter_with_door() ||
      through_door(SYS_close_range, 0, control_fd - 1, 0) != 0 ||
      through_door(SYS_close_range, control_fd + 1, ~0U, 0) != 0)
    ::_exit(1);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (i == own || is_kernel_thread(noted[i])) continue;
    set_name(noted[i].name);
    clone_args how{};
    how.flags = CLONE_PARENT;
    const pid_t pid = make(how, noted[i].wanted, shared->made[i].refusal);
    if (pid == 0) be_daemon(noted[i]);
    shared->made[i].pid = pid;
  }
  set_name(noted[own].name);
  if (!is_kernel_thread(noted[own])) be_daemon(noted[own]);
  if (!be_kernel_memory(noted[own])) through_door(SYS_exit_group, 1);
  make_threads(own);
  be_thread();
}

// As user 0 an exec would give all of it back.
void drop_bounding_set() {
  for (int capability = 0; capability <= 63; ++capability)
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) return;
}

[[noreturn]] void execute(const Decoy& decoy) {
  char* argv[most_arguments + 1] = {};
  std::size_t parts = 0;
  for (std::size_t at = 0; at <= decoy.length && parts < most_arguments;) {
    argv[parts++] = const_cast<char*>(decoy.arguments + at);
    at += std::strlen(decoy.arguments + at) + 1;
  }
  char variable[32];
  std::strcpy(variable, name_variable);
  if (std::strlen(decoy.name) < 16) std::strcat(variable, decoy.name);
  char* const environment[] = {variable, nullptr};
  const int image = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ::syscall(SYS_execveat, image, "", argv, environment, AT_EMPTY_PATH);
  ::_exit(1);
}

// Where only an exec shows arguments, each is a child of pid 1 that executes this program again.
int execute_all() {
  for (std::uint32_t i = 0; i < count; ++i) {
    clone_args how{};
    how.exit_signal = SIGCHLD;
    const pid_t pid = make(how, noted[i].wanted, shared->made[i].refusal);
    if (pid == 0) {
      ::setsid();
      if (::dup2(ready[1], control_fd) < 0 || ::chdir("/") != 0) ::_exit(1);
      drop_bounding_set();
      if (!become_user(noted[i]) || !give_up_capabilities()) ::_exit(1);
      execute(noted[i]);
    }
    if (pid < 0) {
      errno = -pid;
      return -1;
    }
    shared->made[i].pid = pid;
  }
  return 0;
}

int start_maker() {
  std::uint32_t own = 0;
  for (std::uint32_t i = count; i-- > 0;)
    if (is_kernel_thread(noted[i])) {
      own = i;
      ++shared->threads;
    }
  clone_args how{};
  how.exit_signal = SIGCHLD;
  maker = make(how, noted[own].wanted, shared->made[own].refusal);
  if (maker == 0) be_maker(own);
  if (maker < 0) {
    errno = -maker;
    return -1;
  }
  shared->made[own].pid = maker;
  return 0;
}

}  // namespace

int note_decoy(std::uint32_t step, const char* name, const char* arguments, std::size_t length,
               const std::uint64_t (&number)[3]) {
  if (count == max_decoys) {
    errno = E2BIG;
    return -1;
  }
  noted[count++] = {step,
                    name,
                    arguments,
                    length,
                    static_cast<uid_t>(number[0]),
                    static_cast<gid_t>(number[1]),
                    (number[2] & 1U) != 0,
                    static_cast<pid_t>(number[2] >> 32U)};
  return 0;
}

int start_decoys() {
  if (count == 0) return 0;
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || ::pipe2(ready, O_CLOEXEC) != 0) return -1;
  shared = static_cast<Shared*>(memory);
  const int result = can_show_arguments() ? start_maker() : execute_all();
  const int code = errno;
  // Only theirs is left: an end of file says that all are shut in, or dead.
  ::close(ready[1]);
  errno = code;
  return result;
}

int await_decoys(void (*unnumbered)(std::uint32_t step, int code)) {
  if (shared == nullptr) return 0;
  std::uint32_t executed = 0;
  for (;;) {
    char bytes[max_decoys];
    const ssize_t n = ::read(ready[0], bytes, sizeof(bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    executed += static_cast<std::uint32_t>(n);
  }
  ::close(ready[0]);
  const bool whole = __atomic_load_n(&shared->ready, __ATOMIC_ACQUIRE) + executed == count;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Shared::Made& made = shared->made[i];
    if (made.pid > 0) decoys[alive++] = made.pid;
    if (made.pid > 0 && made.refusal != 0) unnumbered(noted[i].step, made.refusal);
  }
  ::munmap(shared, sizeof(Shared));
  shared = nullptr;
  errno = ECHILD;
  return whole ? 0 : -1;
}

const char* decoy_name(char* const* environment) {
  const std::size_t length = std::strlen(name_variable);
  if (environment[0] == nullptr || std::strncmp(environment[0], name_variable, length) != 0)
    return nullptr;
  return environment[0] + length;
}

void be_decoy(const char* name) {
  ::prctl(PR_SET_NAME, reinterpret_cast<unsigned long>(name), 0, 0, 0);
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) ::_exit(1);
  if (!load_filter_without_door()) ::_exit(1);
  if (::write(control_fd, "", 1) != 1) ::_exit(1);
  ::syscall(SYS_close_range, 0, ~0U, 0);
  sleep_for_ever();
}

void forget_decoy(pid_t pid) {
  for (std::uint32_t i = 0; i < alive; ++i)
    if (decoys[i] == pid) decoys[i] = decoys[--alive];
  // Its number may be another process's from now on.
  if (pid == maker) maker = 0;
}

std::uint32_t decoys_alive() {
  return alive;
}

void end_decoys() {
  for (std::uint32_t i = 0; i < alive; ++i) ::kill(decoys[i], SIGKILL);
  auto wait_for = [](pid_t pid) {
    int status = 0;
    while (::wait4(pid, &status, __WALL, nullptr) < 0 && errno == EINTR) {
    }
  };
  // Its children become pid 1's with its end. Where it has ended before, they are.
  if (maker > 0) wait_for(maker);
  for (std::uint32_t i = 0; i < alive; ++i)
    if (decoys[i] != maker) wait_for(decoys[i]);
  alive = 0;
}

}  // namespace gyges::init

extern "C" void gyges_decoy_thread() {
  gyges::init::be_thread();
}
