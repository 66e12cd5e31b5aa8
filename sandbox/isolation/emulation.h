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
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::isolation {

struct Emulation {
  std::string release, version, hostname;   // uname(2); release empty: not answered
  std::function<struct sysinfo()> sysinfo;  // sysinfo(2); empty: not answered. Thread-safe
  std::uint32_t processors = 0;             // sched_getaffinity(2) of oneself; 0: not answered
  std::int64_t root_type = 0;               // statfs(2) of "/"; 0: not answered
  std::uint64_t root_bytes = 0;             // size of that file system
  std::uint64_t root_free = 0;
  bool no_filter = false;  // prctl(2): PR_GET_SECCOMP and PR_GET_NO_NEW_PRIVS answer 0

  [[nodiscard]] bool answers_anything() const {
    return !release.empty() || sysinfo || processors > 0 || root_type != 0 || no_filter;
  }
};

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

 private:
  explicit Emulator(std::shared_ptr<const Emulation> emulation)
      : emulation_(std::move(emulation)) {}
  void serve();
  void answer(int listener);
  void forget(int listener);

  std::shared_ptr<const Emulation> emulation_;
  std::mutex mutex_;  // of the listeners
  std::vector<UniqueFd> listeners_;
  UniqueFd poll_;
  UniqueFd wake_;
  std::thread thread_;
};

}  // namespace gyges::isolation
