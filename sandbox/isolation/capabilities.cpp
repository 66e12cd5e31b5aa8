#include "sandbox/isolation/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>

#include "base/text.h"

namespace gyges::isolation {
namespace {

// In the order of their numbers, from 0.
constexpr std::array names{"CAP_CHOWN",
                           "CAP_DAC_OVERRIDE",
                           "CAP_DAC_READ_SEARCH",
                           "CAP_FOWNER",
                           "CAP_FSETID",
                           "CAP_KILL",
                           "CAP_SETGID",
                           "CAP_SETUID",
                           "CAP_SETPCAP",
                           "CAP_LINUX_IMMUTABLE",
                           "CAP_NET_BIND_SERVICE",
                           "CAP_NET_BROADCAST",
                           "CAP_NET_ADMIN",
                           "CAP_NET_RAW",
                           "CAP_IPC_LOCK",
                           "CAP_IPC_OWNER",
                           "CAP_SYS_MODULE",
                           "CAP_SYS_RAWIO",
                           "CAP_SYS_CHROOT",
                           "CAP_SYS_PTRACE",
                           "CAP_SYS_PACCT",
                           "CAP_SYS_ADMIN",
                           "CAP_SYS_BOOT",
                           "CAP_SYS_NICE",
                           "CAP_SYS_RESOURCE",
                           "CAP_SYS_TIME",
                           "CAP_SYS_TTY_CONFIG",
                           "CAP_MKNOD",
                           "CAP_LEASE",
                           "CAP_AUDIT_WRITE",
                           "CAP_AUDIT_CONTROL",
                           "CAP_SETFCAP",
                           "CAP_MAC_OVERRIDE",
                           "CAP_MAC_ADMIN",
                           "CAP_SYSLOG",
                           "CAP_WAKE_ALARM",
                           "CAP_BLOCK_SUSPEND",
                           "CAP_AUDIT_READ",
                           "CAP_PERFMON",
                           "CAP_BPF",
                           "CAP_CHECKPOINT_RESTORE"};
static_assert(names.size() == CAP_LAST_CAP + 1 || names.size() == 41);

}  // namespace

Result<unsigned> capability_number(std::string_view name) {
  for (unsigned i = 0; i < names.size(); ++i)
    if (name == names[i]) return i;
  return fail("find capability", printable(name), "no such capability",
              "use a name of capabilities(7), for example CAP_NET_BIND_SERVICE");
}

Result<bool> has_effective_capability(unsigned number) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return fail_errno("read", "capabilities");
  return (data[number / 32].effective >> (number % 32) & 1U) != 0;
}

}  // namespace gyges::isolation
