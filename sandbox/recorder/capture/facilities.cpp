#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "sandbox/recorder/capture/bpf_programs.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {
namespace {

Facility probe_bpf(std::vector<std::string>& degraded, bool& task_work) {
  Facility facility{.name = "recorder_ebpf", .available = false, .reason = {}, .cure = {}};
  // Not in the shared directory, where something would stay.
  Result<std::unique_ptr<BpfPrograms>> programs = BpfPrograms::load(64U << 10U, Waiting::best, {});
  if (programs) {
    facility.available = true;
    facility.reason = "the recorder's programs load and attach";
    degraded = (*programs)->degraded();
    task_work = (*programs)->waits_by_task_work();
  } else {
    facility.reason = programs.error().object + ": " + programs.error().reason;
    facility.cure = programs.error().cure;
  }
  return facility;
}

// Traces a child that exits at once.
Facility probe_ptrace() {
  Facility facility{.name = "recorder_ptrace", .available = false, .reason = {}, .cure = {}};
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() == self) pause();
    _exit(0);
  }
  if (child < 0) {
    facility.reason = std::string("fork: ") + std::strerror(errno);
    return facility;
  }
  if (ptrace(PTRACE_SEIZE, child, nullptr, PTRACE_O_EXITKILL) == 0) {
    facility.available = true;
    facility.reason = "a child can be traced";
  } else {
    facility.reason = std::string("PTRACE_SEIZE: ") + std::strerror(errno);
    facility.cure = "allow ptrace of own children (kernel.yama.ptrace_scope below 3)";
  }
  kill(child, SIGKILL);
  waitpid(child, nullptr, __WALL);
  return facility;
}

}  // namespace

std::vector<Facility> probe_facilities() {
  std::vector<Facility> facilities;
  Facility type_information{.name = "kernel_type_information",
                            .available = access("/sys/kernel/btf/vmlinux", R_OK) == 0,
                            .reason = "/sys/kernel/btf/vmlinux",
                            .cure = {}};
  if (!type_information.available) {
    type_information.reason += std::string(": ") + std::strerror(errno);
    type_information.cure = "use a kernel built with CONFIG_DEBUG_INFO_BTF";
  }
  facilities.push_back(std::move(type_information));
  std::vector<std::string> degraded;
  bool task_work = false;
  facilities.push_back(probe_bpf(degraded, task_work));
  const bool loads = facilities.back().available;
  Facility waiting{.name = "recorder_task_work", .available = task_work, .reason = {}, .cure = {}};
  if (task_work) {
    waiting.reason = "a task that is ahead of the recorder sleeps on its way out of the kernel";
  } else {
    waiting.reason = loads && !degraded.empty() ? degraded.front() : "the programs do not load";
    waiting.cure = "use Linux 6.18; without it such a task spins, which costs processor time only";
  }
  facilities.push_back(std::move(waiting));
  facilities.push_back(probe_ptrace());
  return facilities;
}

}  // namespace gyges::recorder
