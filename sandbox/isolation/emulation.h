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

#include <sys/sysinfo.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::isolation {

// A mount as the persona has it: what statfs(2) says below its point.
struct ShownMount {
  std::string point;      // absolute; "/" is the root
  std::int64_t type = 0;  // f_type; 0: the kernel's answer stays
  std::uint64_t bytes = 0;
  std::uint64_t free = 0;
  std::int64_t flags = 0;  // f_flags
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
  std::string release, version, hostname;   // uname(2); release empty: not answered
  std::function<struct sysinfo()> sysinfo;  // sysinfo(2); empty: not answered. Thread-safe
  std::uint32_t processors = 0;             // sched_getaffinity(2) of oneself; 0: not answered
  std::vector<ShownMount> mounts;           // statfs(2), fstatfs(2); empty: not answered
  std::optional<ShownState> state;          // prctl(2): the questions after it
  // Opens for reading: open(2), openat(2), openat2(2); empty: not answered.
  std::vector<ProcessFileRule> process_files;
  bool first_namespaces = false;  // readlink(2) of /proc/PID/ns: those of a machine

  [[nodiscard]] bool answers_anything() const {
    return !release.empty() || sysinfo || processors > 0 || !mounts.empty() || state ||
           answers_opens() || first_namespaces;
  }
  [[nodiscard]] bool answers_opens() const { return !process_files.empty(); }
};

class CallerPaths;
class ProcessFiles;

// Names of the groups of calls, as in the policy's cues.emulate.
std::vector<std::string> emulation_names();

// The seccomp program that has these calls answered: an array of struct sock_filter, as bytes.
// Everything else it allows, which leaves it to the other programs.
std::string emulation_program(const Emulation& emulation);

// Answers the calls of the sandbox's commands on a thread of its own until it is destroyed; the
// calls wait until then, so destroy it after the processes are gone. Robust against callers that
// die, are interrupted or lie: a notification that is no longer valid is forgotten.
class Emulator {
 public:
  static Result<std::unique_ptr<Emulator>> start(std::shared_ptr<const Emulation> emulation);
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  // The listener of a command's filter. Thread-safe.
  Status add(UniqueFd listener);

  // A directory in a file system of Gyges's own, in which generated files are made; without one
  // the kernel's are opened. Before the first add().
  void make_files_in(UniqueFd directory);

 private:
  explicit Emulator(std::shared_ptr<const Emulation> emulation);
  void serve();
  void answer(int listener);
  void forget(int listener);

  std::shared_ptr<const Emulation> emulation_;
  std::unique_ptr<CallerPaths> paths_;   // of the thread
  std::unique_ptr<ProcessFiles> files_;  // of the thread; null: no place for them
  std::mutex mutex_;                     // of the listeners
  std::vector<UniqueFd> listeners_;
  UniqueFd poll_;
  UniqueFd wake_;
  std::thread thread_;
};

}  // namespace gyges::isolation
