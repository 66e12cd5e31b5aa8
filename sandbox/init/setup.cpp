#include "sandbox/init/setup.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/init/bus_sockets.h"
#include "sandbox/init/channel.h"
#include "sandbox/init/decoys.h"
#include "sandbox/init/disguise.h"
#include "sandbox/init/gateway_sockets.h"
#include "sandbox/init/landlock.h"
#include "sandbox/init/supplies.h"

namespace gyges::init {
namespace {

int slots[max_slots];
std::uint32_t taken = 0;  // of them, by take_mount

struct Step {
  StepHeader header;
  const char* a;
  const char* b;
  const char* c;
};

int write_whole(const char* path, const char* content, std::size_t length) {
  int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t n = ::write(fd, content, length);
  int code = errno;
  ::close(fd);
  errno = code;
  return n == static_cast<ssize_t>(length) ? 0 : -1;
}

// Makes the parents of a path relative to the new root; existing directories are fine.
int make_parents(const char* path) {
  char part[4096];
  std::size_t length = std::strlen(path);
  if (length >= sizeof(part)) {
    errno = ENAMETOOLONG;
    return -1;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (path[i] != '/') continue;
    std::memcpy(part, path, i);
    part[i] = '\0';
    if (::mkdir(part, 0755) != 0 && errno != EEXIST && errno != EROFS) return -1;
  }
  return 0;
}

bool is_directory(const char* path) {
  struct stat info {};
  return ::stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

// The result of `make`, which mostly finds the parents there; they are made where it does not.
template <class Make>
int with_parents(const char* path, Make make) {
  int result = make();
  if (result >= 0 || errno != ENOENT) return result;
  return make_parents(path) != 0 ? -1 : make();
}

int make_path(const char* path, mode_t mode) {
  // mkdir(2) takes no set-id bits, which the host's directory may have.
  if (with_parents(path, [&] { return ::mkdir(path, mode); }) == 0)
    return (mode & 06000U) != 0 ? ::chmod(path, mode) : 0;
  return (errno == EEXIST || errno == EROFS) && is_directory(path) ? 0 : -1;
}

int make_file(const char* path, mode_t mode) {
  int fd = with_parents(path, [&] {
    return ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  });
  if (fd >= 0) return ::close(fd);
  return (errno == EEXIST || errno == EROFS) && ::access(path, F_OK) == 0 ? 0 : -1;
}

int make_symlink(const char* target, const char* path) {
  if (with_parents(path, [&] { return ::symlink(target, path); }) == 0) return 0;
  return errno == EEXIST ? 0 : -1;
}

// The place of the next mount as check_path found it, held open: what others do to the path between
// the look and the mount leads the mount nowhere else (runc CVE-2025-31133, CVE-2025-52565).
struct CheckedPlace {
  int fd = -1;
  const char* path = nullptr;
};
CheckedPlace checked;

bool is_checked(const char* path) {
  return checked.fd >= 0 && std::strcmp(path, checked.path) == 0;
}

void forget_checked() {
  if (checked.fd >= 0) ::close(checked.fd);
  checked = {};
}

int check_path(const char* path) {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  forget_checked();
  checked.fd = static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)));
  checked.path = path;
  return checked.fd < 0 ? -1 : 0;
}

// As mount(2), onto what is open: by the name that /proc has for it.
int mount_on(int fd, const char* source, const char* type, unsigned long flags, const char* data) {
  char place[32] = "/proc/self/fd/";
  char* at = place + std::strlen(place);
  char digits[12];
  int count = 0;
  for (int rest = fd; count == 0 || rest > 0; rest /= 10)
    digits[count++] = static_cast<char>('0' + rest % 10);
  while (count > 0) *at++ = digits[--count];
  *at = '\0';
  return ::mount(source, place, type, flags, data);
}

// As mount(2), onto the checked place where the path is that.
int mount_at(const char* source, const char* path, const char* type, unsigned long flags,
             const char* data) {
  if (!is_checked(path)) return ::mount(source, path, type, flags, data);
  const int result = mount_on(checked.fd, source, type, flags, data);
  const int code = errno;
  forget_checked();
  errno = code;
  return result;
}

int attach(const Step& step) {
  int fd = slots[step.header.number[0] % max_slots];
  mount_attr attributes{};
  attributes.attr_set = step.header.number[1];
  if (attributes.attr_set != 0 &&
      ::mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) != 0)
    return -1;
  const bool held = is_checked(step.a);
  if (::move_mount(fd, "", held ? checked.fd : AT_FDCWD, held ? "" : step.a,
                   MOVE_MOUNT_F_EMPTY_PATH | (held ? MOVE_MOUNT_T_EMPTY_PATH : 0U)) != 0)
    return -1;
  if (held) forget_checked();
  return ::close(fd);
}

// An open place reads as empty from now on. `slot` holds an empty file to cover a file with where
// there is no /dev/null; -1: there is.
int mask_open(int fd, const char* path, int slot) {
  constexpr unsigned long tmpfs_flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  constexpr const char* tmpfs_data = "size=0,nr_inodes=1,mode=555";
  struct stat info {};
  if (::fstat(fd, &info) != 0) return -1;
  // By path where a mask covers /proc already.
  if (S_ISDIR(info.st_mode)) {
    if (mount_on(fd, "tmpfs", "tmpfs", tmpfs_flags, tmpfs_data) == 0) return 0;
    return errno == ENOENT ? ::mount("tmpfs", path, "tmpfs", tmpfs_flags, tmpfs_data) : -1;
  }
  if (slot < 0) {
    if (mount_on(fd, "dev/null", nullptr, MS_BIND, nullptr) == 0) return 0;
    return errno == ENOENT ? ::mount("dev/null", path, nullptr, MS_BIND, nullptr) : -1;
  }
  mount_attr attributes{};
  attributes.attr_set =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (::mount_setattr(slots[slot], "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) != 0)
    return -1;
  return ::move_mount(slots[slot], "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

// Through links, because that is how the path is read too; by descriptor, so that what was looked
// at is what is masked.
int mask(const char* path, int slot) {
  const int fd = ::open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -1;
  const int result = mask_open(fd, path, slot);
  const int code = errno;
  ::close(fd);
  errno = code;
  return result;
}

// The root of a file system that a disk has is number 2; of a tmpfs it is 1, and the first
// directory in it 2, which then stands for it.
int new_root(const char* place, const char* data, bool second) {
  if (::mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, data) != 0) return -1;
  if (::chdir(place) != 0) return -1;
  if (!second) return 0;
  if (::mkdir("r", 0755) != 0 || ::chmod("r", 0755) != 0) return -1;
  if (::mount("r", place, nullptr, MS_BIND, nullptr) != 0) return -1;
  return ::chdir(place);
}

// pivot_root(".", ".") stacks the old root on the new one, so that no directory for it is needed;
// the detach then uncovers the new root (pivot_root(2), "notes").
int enter_root() {
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return -1;
  if (::umount2(".", MNT_DETACH) != 0) return -1;
  return ::chdir("/");
}

int drop_privileges(std::uint64_t keep) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) return -1;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  data[0].permitted = data[0].effective = static_cast<std::uint32_t>(keep);
  data[1].permitted = data[1].effective = static_cast<std::uint32_t>(keep >> 32U);
  return static_cast<int>(::syscall(SYS_capset, &header, data));
}

// With ::1 and 127.0.0.1, which the kernel gives it when it comes up.
int loopback_up() {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  int result = ::ioctl(fd, SIOCGIFFLAGS, &request);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (result == 0) result = ::ioctl(fd, SIOCSIFFLAGS, &request);
  int code = errno;
  ::close(fd);
  errno = code;
  return result;
}

// Unlocked: its other end can be opened, by the supervisor through the master (TIOCGPTPEER).
int hand_terminal(const char* path) {
  int fd = ::open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
  int unlock = 0;
  if (fd < 0 || ::ioctl(fd, TIOCSPTLCK, &unlock) != 0) return -1;
  return hand(fd, Hand::terminal);
}

void report(std::uint32_t step, Tell what) {
  Reply reply;
  reply.tell = what;
  reply.id = step;
  reply.error = errno;
  tell(reply);
  if (what == Tell::failed) ::_exit(1);
}

int run_step(const Step& step, std::uint32_t index) {
  const auto* number = step.header.number;
  switch (step.header.op) {
    case Op::write_file:
      return write_whole(step.a, step.b, step.header.lengths[1]);
    case Op::private_mounts:
      return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    case Op::open_tree: {
      int fd =
          ::open_tree(AT_FDCWD, step.a,
                      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
      slots[number[0] % max_slots] = fd;
      return fd < 0 ? -1 : 0;
    }
    case Op::new_root:
      return new_root(step.a, step.b, number[0] != 0);
    case Op::make_path:
      return make_path(step.a, static_cast<mode_t>(number[0]));
    case Op::make_file:
      return make_file(step.a, number[0] == 0 ? 0644 : static_cast<mode_t>(number[0]));
    case Op::make_symlink:
      return make_symlink(step.a, step.b);
    case Op::check_path:
      return check_path(step.a);
    case Op::set_owner:
      if (::chown(step.a, static_cast<uid_t>(number[0]), static_cast<gid_t>(number[1])) != 0)
        return -1;
      return ::chmod(step.a, static_cast<mode_t>(number[2]));
    case Op::attach:
      return attach(step);
    case Op::mount:
      return mount_at(step.a, step.b, step.a, number[0],
                      step.header.lengths[2] > 0 ? step.c : nullptr);
    case Op::bind:
      return mount_at(step.a, step.b, nullptr, MS_BIND, nullptr);
    case Op::hand_over:
      return (number[1] != 0 ? offer : hand)(::open(step.a, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                             static_cast<Hand>(number[0]));
    case Op::await_answer:
      return await_answer(static_cast<Hand>(number[0]));
    case Op::await_cgroup:
      return await_cgroup();
    case Op::set_time:
      return set_time(step.a, static_cast<std::int64_t>(number[0]));
    case Op::date_root:
      return date_root(static_cast<std::int64_t>(number[0]));
    case Op::hand_copy:
      return offer(::open_tree(AT_FDCWD, step.a, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC),
                   static_cast<Hand>(number[0]));
    case Op::leave_behind:
      return leave_behind(step.a);
    case Op::enter_root:
      return enter_root();
    case Op::freeze_root:
      return ::mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV,
                     nullptr);
    case Op::mask:
      return mask(step.a, static_cast<int>(number[0] % (max_slots + 1)) - 1);
    case Op::set_hostname:
      return ::sethostname(step.a, step.header.lengths[0]);
    case Op::new_namespaces:
      return ::unshare(static_cast<int>(number[0]));
    case Op::hand_terminal:
      return hand_terminal(step.a);
    case Op::hand_netlink:
      return hand(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), Hand::route);
    case Op::hand_gateway:
      return hand_gateway(step.a, number[0] != 0);
    case Op::drop_privileges:
      return drop_privileges(number[0]);
    case Op::landlock_begin:
      return begin_ruleset(number[0], number[1], number[2]);
    case Op::landlock_path:
      return allow_path(step.a, number[0]);
    case Op::landlock_port:
      return allow_port(number[0], number[1]);
    case Op::landlock_enforce:
      return enforce_ruleset();
    case Op::loopback_up:
      return loopback_up();
    case Op::cover:
      return cover(step.a, step.b);
    case Op::show_network:
      return show_network(step.a, step.b);
    case Op::set_name:
      return ::prctl(PR_SET_NAME, reinterpret_cast<unsigned long>(step.a), 0, 0, 0);
    case Op::next_pid:
      return choose_next_pid(number[0]);
    case Op::decoy:
      return note_decoy(index, step.a, step.b, step.header.lengths[1], step.header.number);
    case Op::start_decoys:
      return start_decoys();
    case Op::await_decoys:
      return await_decoys([](std::uint32_t number_of, int code) {
        errno = code;
        report(number_of, Tell::skipped);
      });
    case Op::offer_bus_sockets:
      return offer_bus_sockets(step.a, step.b, static_cast<std::int64_t>(number[0]));
  }
  errno = ENOSYS;
  return -1;
}

// Steps without which the sandbox is as safe, only less well disguised.
bool is_a_matter_of_looks(Op op) {
  return op == Op::show_network || op == Op::next_pid || op == Op::date_root ||
         op == Op::set_time || op == Op::offer_bus_sockets;
}

}  // namespace

void take_mount(int fd) {
  slots[taken++ % max_slots] = fd;
}

void run_setup(const Program& program) {
  // Modes are as the plan has them, whatever the caller's mask.
  const unsigned mask_before = ::umask(0);
  const char* at = program.steps;
  for (std::uint32_t i = 0; i < program.header->steps; ++i) {
    Step step{};
    std::memcpy(&step.header, at, sizeof(step.header));
    step.a = at + sizeof(step.header);
    step.b = step.a + step.header.lengths[0] + 1;
    step.c = step.b + step.header.lengths[1] + 1;
    at = step.c + step.header.lengths[2] + 1;
    if (at > program.end) ::_exit(1);
    errno = 0;
    if (run_step(step, i) != 0)
      report(i, is_a_matter_of_looks(step.header.op) ? Tell::skipped : Tell::failed);
  }
  ::umask(mask_before);
}

}  // namespace gyges::init
