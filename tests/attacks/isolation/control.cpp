#include "control.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "base/fd.h"

extern "C" const char gyges_attack_program_begin[];
extern "C" const char gyges_attack_program_end[];

namespace gyges::attack {
namespace {

void must(bool done, const char* step) {
  if (done) return;
  ::dprintf(STDOUT_FILENO, "control: %s: %m\n", step);
  ::_exit(1);
}

void write_text(const char* path, const std::string& text) {
  UniqueFd fd(::open(path, O_WRONLY | O_CLOEXEC));
  must(fd.valid() && ::write(fd.get(), text.data(), text.size()) >= 0, path);
}

// The host's tree below a layer in memory, so that nothing an attempt changes reaches the host.
void enter_layered_root(const std::string& marker, bool user_namespace) {
  must(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "private mounts");
  must(::mount("tmpfs", "/mnt", "tmpfs", 0, "size=64m") == 0, "mount tmpfs");
  for (const char* name : {"/mnt/u", "/mnt/w", "/mnt/r"}) must(::mkdir(name, 0755) == 0, name);
  // The kernel lets no user namespace look below the host's mounts, so there is no layer over the
  // whole tree for an ordinary user; who needs none, because the host's files are not its own.
  if (user_namespace)
    must(::mount("/", "/mnt/r", nullptr, MS_BIND | MS_REC, nullptr) == 0, "bind /");
  else
    must(::mount("overlay", "/mnt/r", "overlay", 0, "lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w") ==
             0,
         "mount overlay");
  must(::mount("proc", "/mnt/r/proc", "proc", 0, nullptr) == 0, "mount proc");
  must(::mount("/sys", "/mnt/r/sys", nullptr, MS_BIND | MS_REC, nullptr) == 0, "bind /sys");
  must(::mount("tmpfs", "/mnt/r/dev", "tmpfs", 0, "size=64k") == 0, "mount /dev");
  for (const char* name : {"null", "zero", "urandom", "kmsg"}) {
    std::string from = fmt::format("/dev/{}", name);
    std::string to = "/mnt/r" + from;
    UniqueFd place(::open(to.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    (void)::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr);
  }
  must(::mkdir("/mnt/r/dev/pts", 0755) == 0, "make /dev/pts");
  must(::mount("devpts", "/mnt/r/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666") == 0,
       "mount /dev/pts");
  must(::symlink("pts/ptmx", "/mnt/r/dev/ptmx") == 0, "make /dev/ptmx");
  std::string place = "/mnt/r" + std::filesystem::path(marker).parent_path().string();
  std::error_code ignored;
  std::filesystem::create_directories(place, ignored);
  must(::mount(place.c_str() + 6, place.c_str(), nullptr, MS_BIND, nullptr) == 0, "bind marker");
  must(::mount("tmpfs", "/mnt/r/mnt", "tmpfs", 0, "size=1m") == 0, "mount scratch");
  // No chroot: inside one the kernel refuses user namespaces by itself.
  must(::chdir("/mnt/r") == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0,
       "enter the layered root");
  must(::umount2(".", MNT_DETACH) == 0 && ::chdir("/") == 0, "leave the host's root");
}

// As a runtime leaves them that forgets two of the five sets (CVE-2022-27650).
void inherit_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  must(::syscall(SYS_capget, &header, data) == 0, "read capabilities");
  for (__user_cap_data_struct& half : data) half.inheritable = half.permitted;
  must(::syscall(SYS_capset, &header, data) == 0, "set capabilities");
  must(::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_CHROOT, 0, 0) == 0,
       "raise a capability");
}

[[noreturn]] void be_init(const std::string& marker, bool user_namespace) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // An attempt sends it to this process, which the kernel spares as long as it has no handler; a
  // sanitizer has one.
  std::signal(SIGSEGV, SIG_DFL);
  enter_layered_root(marker, user_namespace);
  ::prctl(PR_SET_NAME, "control", 0, 0, 0);
  ::setenv("GYGES_ATTACK_SECRET", "1", 1);
  // A process that is not the attack's own, as a supervisor would be without a pid namespace.
  pid_t victim = ::fork();
  if (victim == 0) {
    ::pause();
    ::_exit(0);
  }
  inherit_capabilities();
  // Leaked on purpose: a directory of the host, open across the exec.
  must(::open("/usr", O_RDONLY | O_DIRECTORY) >= 0, "open /usr");
  UniqueFd image(::memfd_create("attack", 0));
  must(image && write_all(image.get(), attack_program()), "copy the attack program");
  pid_t pid = ::fork();
  if (pid == 0) {
    std::string path = fmt::format("/proc/self/fd/{}", image.get());
    ::execl(path.c_str(), "attack", "/mnt", marker.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

}  // namespace

std::string_view attack_program() {
  return {gyges_attack_program_begin,
          static_cast<std::size_t>(gyges_attack_program_end - gyges_attack_program_begin)};
}

Result<std::string> run_control(const std::string& marker) {
  GYGES_TRY(Pipe pipe, make_pipe());
  bool user_namespace = ::geteuid() != 0;
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
  pid_t pid = ::fork();
  if (pid < 0) return fail_errno("start", "control");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(pipe.write.get(), STDOUT_FILENO);
    int flags =
        CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
    must(::unshare(flags | (user_namespace ? CLONE_NEWUSER : 0)) == 0, "make namespaces");
    if (user_namespace) {
      write_text("/proc/self/setgroups", "deny");
      write_text("/proc/self/uid_map", fmt::format("0 {} 1\n", uid));
      write_text("/proc/self/gid_map", fmt::format("0 {} 1\n", gid));
    }
    pid_t init = ::fork();
    if (init == 0) be_init(marker, user_namespace);
    int status = 0;
    ::waitpid(init, &status, 0);
    ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
  pipe.write.reset();
  auto output = read_all(pipe.read.get(), 1U << 20U);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (output && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
    return fail("run", "control", *output);
  return output;
}

}  // namespace gyges::attack
