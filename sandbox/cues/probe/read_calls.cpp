// System calls that tell, raw and through the C library where something may stand between the two.
#include <elf.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {
namespace {

void say_names(const Channel& channel, const utsname& names, const char* how, const char* suffix) {
  struct Field {
    const char* name;
    const char* value;
  };
  const Field fields[] = {{"sysname", names.sysname}, {"nodename", names.nodename},
                          {"release", names.release}, {"version", names.version},
                          {"machine", names.machine}, {"domainname", names.domainname}};
  for (const Field& field : fields) {
    char detail[64];
    std::snprintf(detail, sizeof(detail), "%s%s", field.name, suffix);
    say(channel, detail, how, field.value);
  }
}

void say_mask(const Channel& channel, const char* detail, const char* how,
              const unsigned char* bytes, std::size_t count) {
  Text text;
  int set = 0;
  int first = -1;
  int last = -1;
  for (std::size_t i = 0; i < count * 8; ++i)
    if ((bytes[i / 8] >> (i % 8) & 1U) != 0) {
      ++set;
      last = static_cast<int>(i);
      if (first < 0) first = last;
    }
  text.add("%d, from %d to %d", set, first, last);
  say(channel, detail, how, text.bytes);
}

}  // namespace

void read_uname(const Channel& channel) {
  utsname names{};
  if (::syscall(SYS_uname, &names) == 0)
    say_names(channel, names, "uname(2), raw", "");
  else
    say_error(channel, "release", "uname(2), raw", errno);
  utsname library{};
  if (::uname(&library) == 0) say_names(channel, library, "uname(3)", "_libc");
}

void read_system_information(const Channel& channel) {
  struct sysinfo info {};
  if (::syscall(SYS_sysinfo, &info) != 0)
    return say_error(channel, "total_ram", "sysinfo(2), raw", errno);
  say_number(channel, "total_ram_kb", "sysinfo(2), raw",
             static_cast<long long>(info.totalram) * info.mem_unit / 1024);
  say_number(channel, "total_swap_kb", "sysinfo(2), raw",
             static_cast<long long>(info.totalswap) * info.mem_unit / 1024);
  say_number(channel, "pages", "sysconf(3)", ::sysconf(_SC_PHYS_PAGES));
  say_number(channel, "page_bytes", "sysconf(3)", ::sysconf(_SC_PAGESIZE));
  say_number(channel, "processors_configured", "sysconf(3)", ::sysconf(_SC_NPROCESSORS_CONF));
  say_number(channel, "processors_online", "sysconf(3)", ::sysconf(_SC_NPROCESSORS_ONLN));
  say_number(channel, "clock_ticks", "sysconf(3)", ::sysconf(_SC_CLK_TCK));
  say_number(channel, "processors_configured_get_nprocs", "get_nprocs_conf(3)",
             ::get_nprocs_conf());
}

void read_prctl(const Channel& channel) {
  struct Row {
    const char* name;
    int option;
  };
  static constexpr Row rows[] = {{"seccomp", PR_GET_SECCOMP},
                                 {"no_new_privs", PR_GET_NO_NEW_PRIVS},
                                 {"dumpable", PR_GET_DUMPABLE},
                                 {"keep_caps", PR_GET_KEEPCAPS},
                                 {"securebits", PR_GET_SECUREBITS},
                                 {"timerslack", PR_GET_TIMERSLACK},
                                 {"thp_disable", PR_GET_THP_DISABLE},
                                 {"tagged_addresses", 56},
                                 {"io_flusher", 58},
                                 {"mdwe", 66}};
  for (const Row& row : rows) {
    long got = ::syscall(SYS_prctl, row.option, 0, 0, 0, 0);
    if (got < 0)
      say_error(channel, row.name, "prctl(2), raw", errno);
    else
      say_number(channel, row.name, "prctl(2), raw", got);
  }
  int pointer = 0;
  if (::syscall(SYS_prctl, PR_GET_CHILD_SUBREAPER, &pointer, 0, 0, 0) == 0)
    say_number(channel, "child_subreaper", "prctl(2), raw", pointer);
  if (::syscall(SYS_prctl, PR_GET_TSC, &pointer, 0, 0, 0) == 0)
    say_number(channel, "tsc", "prctl(2), raw", pointer);
  unsigned long long bounding = 0;
  int known = 0;
  for (int capability = 0; capability < 64; ++capability) {
    int got = ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (got < 0) break;
    ++known;
    if (got > 0) bounding |= 1ULL << static_cast<unsigned>(capability);
  }
  Text text;
  text.add("%016llx", bounding);
  say(channel, "bounding_set", "prctl(2) PR_CAPBSET_READ", text.bytes);
  say_number(channel, "capabilities_known", "prctl(2) PR_CAPBSET_READ", known);
  std::uint32_t header[2] = {0x20080522, 0};
  std::uint32_t data[6] = {};
  if (::syscall(SYS_capget, header, data) == 0) {
    text.clear();
    text.add("%08x%08x", data[3], data[0]);
    say(channel, "effective_set", "capget(2), raw", text.bytes);
  } else {
    say_error(channel, "effective_set", "capget(2), raw", errno);
  }
}

void read_affinity(const Channel& channel) {
  unsigned char mask[1024] = {};
  long got = ::syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
  if (got < 0)
    say_error(channel, "raw", "sched_getaffinity(2), raw", errno);
  else
    say_mask(channel, "raw", "sched_getaffinity(2), raw", mask, static_cast<std::size_t>(got));
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0)
    say_mask(channel, "libc", "sched_getaffinity(3)", reinterpret_cast<const unsigned char*>(&set),
             sizeof(set));
  unsigned cpu = 0;
  unsigned node = 0;
  Channel changing = channel;
  changing.kind = Kind::changing;
  if (::syscall(SYS_getcpu, &cpu, &node, nullptr) == 0) {
    say_number(changing, "current", "getcpu(2), raw", cpu);
    say_number(channel, "node", "getcpu(2), raw", node);
  }
}

void read_scheduling(const Channel& channel) {
  say_number(channel, "scheduler", "sched_getscheduler(2)", ::sched_getscheduler(0));
  errno = 0;
  say_number(channel, "nice", "getpriority(2)", ::getpriority(PRIO_PROCESS, 0));
  long io = ::syscall(SYS_ioprio_get, 1, 0);
  if (io < 0)
    say_error(channel, "io_priority", "ioprio_get(2), raw", errno);
  else
    say_number(channel, "io_priority", "ioprio_get(2), raw", io);
  long personality = ::syscall(SYS_personality, 0xffffffffUL);
  if (personality < 0)
    say_error(channel, "personality", "personality(2), raw", errno);
  else
    say_number(channel, "personality", "personality(2), raw", personality);
}

// The kernel's vDSO carries its version in a note that no file and no system call covers.
void read_auxiliary_vector(const Channel& channel) {
  auto base = ::getauxval(AT_SYSINFO_EHDR);
  if (base == 0) {
    say(channel, "vdso", "auxiliary vector", "absent");
  } else {
    say(channel, "vdso", "auxiliary vector", "present");
    const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
    const auto* program = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
    for (int i = 0; i < header->e_phnum; ++i) {
      if (program[i].p_type != PT_NOTE) continue;
      std::uintptr_t at = base + program[i].p_offset;
      std::uintptr_t end = at + program[i].p_filesz;
      while (at + sizeof(Elf64_Nhdr) <= end) {
        const auto* note = reinterpret_cast<const Elf64_Nhdr*>(at);
        const char* name = reinterpret_cast<const char*>(at + sizeof(*note));
        std::uintptr_t value = at + sizeof(*note) + ((note->n_namesz + 3UL) & ~3UL);
        if (note->n_namesz == 6 && std::memcmp(name, "Linux", 6) == 0 && note->n_type == 0 &&
            note->n_descsz >= 4) {
          std::uint32_t code = 0;
          std::memcpy(&code, reinterpret_cast<const void*>(value), sizeof(code));
          Text text;
          text.add("%u.%u.%u", code >> 16U, code >> 8U & 255U, code & 255U);
          say(channel, "vdso_version", "note of the vDSO", text.bytes);
        }
        at = value + ((note->n_descsz + 3UL) & ~3UL);
      }
    }
  }
  const auto* platform = reinterpret_cast<const char*>(::getauxval(AT_PLATFORM));
  say(channel, "platform", "auxiliary vector", platform != nullptr ? platform : "");
  Text text;
  text.add("%lx %lx", ::getauxval(AT_HWCAP), ::getauxval(AT_HWCAP2));
  say(channel, "hardware_capabilities", "auxiliary vector", text.bytes);
  say_number(channel, "secure", "auxiliary vector", static_cast<long long>(::getauxval(AT_SECURE)));
  say_number(channel, "minimum_signal_stack", "auxiliary vector",
             static_cast<long long>(::getauxval(51)));
}

}  // namespace gyges::probe
