// System calls that tell the machine, answered by the supervisor (seccomp user notification,
// seccomp_unotify(2)).
//
// This is for looks alone and decides nothing: a call that a filter of the policy refuses is
// refused before it comes here (ERRNO and KILL rank above USER_NOTIF), and every call that is not
// answered is executed by the kernel under all of its own checks. What an answer says is fixed by
// the persona and independent of what the caller may do to its memory meanwhile.
//
// Cost: the listed calls take microseconds instead of a tenth of one; no other call is touched.
#pragma once

#include <fcntl.h>
#include <sys/sysinfo.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/isolation/own_use.h"

namespace gyges::isolation {

// A mount as the persona has it: what statfs(2) says below its point.
struct ShownMount {
  std::string point;      // absolute; "/" is the root
  std::int64_t type = 0;  // f_type; 0: the kernel's answer stays
  std::uint64_t bytes = 0;
  std::uint64_t free = 0;
  std::int64_t flags = 0;         // f_flags
  std::uint64_t inodes = 0;       // f_files; 0: by the size
  std::uint64_t inodes_used = 0;  // of them; 0: what a fresh file system in memory has
};

// What a process's own state looks like, by prctl(2) and /proc/PID/status.
struct ShownState {
  int seccomp = 0;
  int filters = 0;
  int no_new_privs = 0;
  std::uint64_t bounding = 0;  // set of capabilities
};

// One of the kernel's files of a process.
struct ProcessFile {
  std::string name;           // below the process's directory: "status", "attr/current"
  std::uint32_t process = 0;  // as numbered inside
  std::uint32_t thread = 0;   // 0: not by way of task/
  // What the kernel has in it, as the supervisor reads it; empty where the rule does not ask for
  // it. Ids are translated to those inside.
  std::string_view kernel;
};

// A file of every process that is answered with generated content. Only files that every user may
// read: the supervisor may read more than the caller.
struct ProcessFileRule {
  std::string name;
  bool from_kernel = false;  // the content is made from the kernel's
  // Thread-safe. Nothing: the kernel's file stays.
  std::function<std::optional<std::string>(const ProcessFile&)> content;
};

struct Emulation {
  std::string release, version, hostname;  // uname(2); release empty: not answered
  std::function<struct sysinfo(const OwnUse&)>
      sysinfo;                      // sysinfo(2); empty: not answered. Thread-safe
  std::uint32_t processors = 0;     // sched_getaffinity(2) of oneself; 0: not answered
  std::vector<ShownMount> mounts;   // statfs(2), fstatfs(2); empty: not answered
  std::optional<ShownState> state;  // prctl(2): the questions after it
  // Opens for reading: open(2), openat(2), openat2(2); empty: not answered.
  std::vector<ProcessFileRule> process_files;
  // With them: /proc/loadavg, whose last field is the number of the newest process. Thread-safe.
  std::function<std::string(std::uint32_t, const OwnUse&)> load_average;
  // With them: files of /proc that this host's kernel does not have, by their paths. To stat(2)
  // they are not there.
  std::map<std::string, std::string, std::less<>> other_files;
  // With them: files of /proc that have other content than the kernel's, by their paths.
  struct FixedFile {
    std::string content;
    unsigned mode = 0444;
  };
  std::map<std::string, FixedFile, std::less<>> fixed_files;
  // readlink(2) of /proc/PID/ns: all those of a machine, or of them what its containers share.
  enum class Namespaces { kernels, containers, machines };
  Namespaces namespaces = Namespaces::kernels;

  [[nodiscard]] bool answers_anything() const {
    return !release.empty() || sysinfo || processors > 0 || !mounts.empty() || state ||
           answers_opens() || namespaces != Namespaces::kernels;
  }
  [[nodiscard]] bool answers_opens() const { return !process_files.empty(); }
};

// The seccomp program that has these calls answered: an array of struct sock_filter, as bytes.
// Everything else it allows, which leaves it to the other programs.
std::string emulation_program(const Emulation& emulation);

// Flags of an open that leaves it to the kernel: what cannot read a file of procfs keeps its speed.
// Not O_CREAT and O_APPEND, with which a file that is there is read as well.
inline constexpr std::uint32_t unanswered_opens =
    O_WRONLY | O_RDWR | O_DIRECTORY | O_PATH | O_TRUNC;

}  // namespace gyges::isolation
