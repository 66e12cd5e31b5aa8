// Groups C (files of the kernel) and F: paths.
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

#include "attack.h"

namespace gyges::attack {
namespace {

template <int index>
std::string open_for_writing() {
  static constexpr const char* paths[] = {"/proc/sys/kernel/core_pattern",
                                          "/proc/sys/kernel/modprobe",
                                          "/proc/sysrq-trigger",
                                          "/proc/sys/fs/binfmt_misc/register",
                                          "/sys/kernel/uevent_helper",
                                          "/sys/fs/cgroup/release_agent",
                                          "/proc/sys/kernel/shmmax",
                                          "/proc/sys/net/ipv4/ip_forward",
                                          "/proc/sys/user/max_user_namespaces",
                                          "/proc/sys/kernel/hostname",
                                          "/proc/sys/vm/overcommit_memory",
                                          "/proc/1/oom_score_adj",
                                          "/proc/1/timens_offsets",
                                          "/proc/sys/fs/mqueue/msg_max"};
  int fd = ::open(paths[index], O_WRONLY | O_CLOEXEC);
  std::string result = outcome(fd);
  struct stat info {};
  // The device that masks a file takes what is written and does nothing.
  if (fd >= 0 && ::fstat(fd, &info) == 0 && S_ISCHR(info.st_mode) && info.st_rdev == makedev(1, 3))
    result = "covered";
  if (fd >= 0) ::close(fd);
  // All are refusals; which depends on what the kernel has.
  return result == "EACCES" || result == "ENOENT" || result == "EROFS" || result == "EPERM"
             ? "refused"
             : result;
}

// Everyone may open it; the write is what is checked. It concerns this pid namespace only.
std::string choose_next_pid() {
  int fd = ::open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return "refused";
  std::string result = outcome(::write(fd, "4000", 4));
  ::close(fd);
  return result == "worked" ? result : "refused";
}

// Whether a file that tells about the kernel has content.
template <int index>
std::string read_something() {
  static constexpr const char* paths[] = {"/proc/kallsyms", "/proc/kcore", "/proc/keys",
                                          "/proc/timer_list", "/sys/kernel/notes"};
  int fd = ::open(paths[index], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return "nothing";
  char byte = 0;
  ssize_t n = ::read(fd, &byte, 1);
  ::close(fd);
  return n > 0 ? "worked" : "nothing";
}

std::string list(const char* path) {
  DIR* directory = ::opendir(path);
  if (directory == nullptr) return name_of(errno);
  int entries = 0;
  while (const dirent* entry = ::readdir(directory)) entries += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(directory);
  return entries > 0 ? "worked" : "nothing";
}

std::string strange_devices() {
  static const std::set<std::string> usual = {"null",  "zero",   "full",  "random", "urandom",
                                              "tty",   "ptmx",   "pts",   "shm",    "fd",
                                              "stdin", "stdout", "stderr"};
  DIR* directory = ::opendir("/dev");
  if (directory == nullptr) return "none";
  std::string result = "none";
  while (const dirent* entry = ::readdir(directory)) {
    std::string name = entry->d_name;
    if (name != "." && name != ".." && usual.count(name) == 0) result = "worked";
  }
  ::closedir(directory);
  return result;
}

std::string write_system(const char* path) {
  int fd = ::open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  std::string result = outcome(fd);
  if (fd >= 0) {
    ::close(fd);
    ::unlink(path);
  }
  return result;
}

// A set-user-id program of another user would be run with that user's rights.
std::string set_user_id_counts() {
  struct statvfs info {};
  if (::statvfs(scratch.c_str(), &info) != 0) return name_of(errno);
  return (info.f_flag & ST_NOSUID) != 0 ? "nosuid" : "worked";
}
std::string devices_count() {
  struct statvfs info {};
  if (::statvfs(scratch.c_str(), &info) != 0) return name_of(errno);
  return (info.f_flag & ST_NODEV) != 0 ? "nodev" : "worked";
}

std::string file_capability() {
  std::string path = scratch + "/capable";
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
  if (fd < 0) return name_of(errno);
  const unsigned char value[20] = {1, 0, 0, 2, 0xff};  // VFS_CAP_REVISION_2, effective
  std::string result = outcome(::fsetxattr(fd, "security.capability", value, sizeof(value), 0));
  ::close(fd);
  ::unlink(path.c_str());
  return result;
}

std::string above_the_root() {
  struct stat root {};
  struct stat above {};
  if (::stat("/", &root) != 0 || ::stat("/../../..", &above) != 0) return name_of(errno);
  return root.st_ino == above.st_ino && root.st_dev == above.st_dev ? "confined" : "worked";
}

std::string lower_oom_score() {
  int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return name_of(errno);
  return outcome(::write(fd, "-900", 4));
}

// The layers below an overlay, and the mount that holds them, by name.
std::string layers() {
  return ::access("/.s", F_OK) == 0 ? "worked" : "absent";
}

std::string hard_link_to_host() {
  std::string path = scratch + "/link";
  std::string result = outcome(::link("/usr/bin/env", path.c_str()));
  ::unlink(path.c_str());
  return result;
}

// A writable descriptor to what was opened for reading only.
std::string reopen_host_file() {
  int fd = ::open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return name_of(errno);
  // O_PATH tells a text file that is being executed from one that may not be written.
  int again = ::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_CLOEXEC);
  return outcome(again);
}

std::string rename_mount_parent() {
  return outcome(::rename("/usr", "/usr2"));
}

std::string change_mode_of_host() {
  struct stat info {};
  if (::stat("/usr/bin", &info) != 0) return name_of(errno);
  return outcome(::chmod("/usr/bin", info.st_mode & 07777U));
}

// A persona's own is a directory in memory.
std::string home_of_root() {
  int fd = ::open("/root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return name_of(errno);
  struct statfs info {};
  return ::fstatfs(fd, &info) == 0 && info.f_type == TMPFS_MAGIC ? "fresh" : "worked";
}

}  // namespace

std::vector<Row> file_attempts() {
  return {
      {"C4", "set_user_id_bits", set_user_id_counts},
      {"C4", "device_nodes", devices_count},
      {"C4", "file_capability", file_capability},
      {"C5", "core_pattern", open_for_writing<0>},
      {"C5", "modprobe", open_for_writing<1>},
      {"C5", "sysrq", open_for_writing<2>},
      {"C5", "binfmt_misc", open_for_writing<3>},
      {"C5", "uevent_helper", open_for_writing<4>},
      {"C5", "release_agent", open_for_writing<5>},
      {"C5", "shmmax", open_for_writing<6>},
      {"C5", "ip_forward", open_for_writing<7>},
      {"C5", "max_user_namespaces", open_for_writing<8>},
      {"C5", "hostname", open_for_writing<9>},
      {"C5", "overcommit", open_for_writing<10>},
      {"C5", "init_oom_score", open_for_writing<11>},
      {"C5", "init_time_offsets", open_for_writing<12>},
      {"C5", "mqueue_limits", open_for_writing<13>},
      {"C5", "ns_last_pid", choose_next_pid},
      {"C8", "kallsyms", read_something<0>},
      {"C8", "kcore", read_something<1>},
      {"C8", "keys", read_something<2>},
      {"C8", "timer_list", read_something<3>},
      {"C8", "kernel_notes", read_something<4>},
      // Opened only: reading takes messages away from the host.
      {"C8", "proc_kmsg", [] { return outcome(::open("/proc/kmsg", O_RDONLY | O_NONBLOCK)); }},
      {"C8", "dev_kmsg", [] { return outcome(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK)); }},
      {"C8", "sys", [] { return list("/sys"); }},
      {"C8", "debugfs", [] { return list("/sys/kernel/debug"); }},
      {"C8", "tracefs", [] { return list("/sys/kernel/tracing"); }},
      {"C9", "devices", strange_devices},
      {"C10", "oom_score_adj", lower_oom_score},
      {"C13", "above_the_root", above_the_root},
      {"C13", "layers_of_the_overlay", layers},
      {"F2", "hard_link_to_host", hard_link_to_host},
      {"F3", "rename_mount_parent", rename_mount_parent},
      {"F6", "plant_in_root", [] { return write_system("/gyges-attack"); }},
      {"F6", "plant_in_usr", [] { return write_system("/usr/gyges-attack"); }},
      {"F6", "plant_in_etc_ssl", [] { return write_system("/etc/ssl/gyges-attack"); }},
      {"F6", "plant_in_dev", [] { return write_system("/dev/gyges-attack"); }},
      {"F7", "reopen_host_file", reopen_host_file},
      {"F7", "chmod_host_directory", change_mode_of_host},
      {"F10", "home_of_root", home_of_root},
  };
}

}  // namespace gyges::attack
