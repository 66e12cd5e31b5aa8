#include "sandbox/isolation/fixed_rules.h"

#include <linux/netlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "base/text.h"
#include "sandbox/isolation/seccomp_library.h"

namespace gyges::isolation {
namespace {

struct FamilyName {
  std::string_view name;
  int family;
};
constexpr std::array families{FamilyName{"unix", AF_UNIX}, FamilyName{"inet", AF_INET},
                              FamilyName{"inet6", AF_INET6}, FamilyName{"netlink", AF_NETLINK}};

// Of AF_NETLINK the questions that programs ask of their own network: addresses and routes, and
// sockets. To change them takes a capability that no agent has; the other protocols reach code that
// ordinary programs do not.
constexpr std::string_view own_network = "netlink_route";
constexpr std::array<std::uint64_t, 2> network_questions{NETLINK_ROUTE, NETLINK_SOCK_DIAG};
constexpr std::uint64_t last_question = NETLINK_SOCK_DIAG;

// New namespaces by clone are refused like unshare. CLONE_UNTRACED would hide a child from a ptrace
// recorder; no ordinary program sets it.
constexpr std::array<std::uint64_t, 9> clone_flags{CLONE_NEWNS,     CLONE_NEWUTS,   CLONE_NEWIPC,
                                                   CLONE_NEWUSER,   CLONE_NEWPID,   CLONE_NEWNET,
                                                   CLONE_NEWCGROUP, CLONE_UNTRACED, CLONE_PTRACE};

// Both can type into the terminal that the sandbox was started from (CVE-2017-5226). The kernel
// looks at the lower 32 bits only, so the comparison masks them.
constexpr std::array<std::uint64_t, 3> terminal_ioctls{TIOCSTI, TIOCLINUX, TIOCSETD};

constexpr std::uint64_t listener_flag = 8;  // SECCOMP_FILTER_FLAG_NEW_LISTENER

// Calls that act on a process named by an argument. The agent may be of pid 1's user, and then may
// change its limits and its priority (prlimit(2) asks for no more); pid 1 holds the wall clock.
struct OnProcess {
  int number;
  unsigned argument;
};
constexpr std::array on_process{
    OnProcess{SCMP_SYS(prlimit64), 0},          OnProcess{SCMP_SYS(sched_setaffinity), 0},
    OnProcess{SCMP_SYS(sched_setscheduler), 0}, OnProcess{SCMP_SYS(sched_setparam), 0},
    OnProcess{SCMP_SYS(sched_setattr), 0},      OnProcess{SCMP_SYS(setpriority), 1},
    OnProcess{SCMP_SYS(ioprio_set), 1}};

// The kernel keeps an access list (system.posix_acl_access, up to 64 KiB) for every file of a tmpfs
// in memory that neither the size of the tmpfs nor a memory cgroup counts, and gives every new file
// a copy of its directory's default list. With this much it stays below what the file itself takes.
constexpr std::uint64_t attribute_bytes = 1024;
constexpr std::array set_attribute{SCMP_SYS(setxattr), SCMP_SYS(lsetxattr), SCMP_SYS(fsetxattr)};

Status refuse_other_protocols(const FilterContext& context, int call) {
  auto refuse = [&](scmp_arg_cmp protocol) {
    const std::array compared{
        SCMP_A0(SCMP_CMP_MASKED_EQ, low_half, static_cast<std::uint64_t>(AF_NETLINK)), protocol};
    return check_library(seccomp_rule_add_array(context.get(), SCMP_ACT_ERRNO(EPROTONOSUPPORT),
                                                call, compared.size(), compared.data()),
                         "add seccomp rule", "socket");
  };
  // The kernel looks at the lower half; what has anything in the upper one is above the last.
  GYGES_CHECK(refuse(SCMP_A2(SCMP_CMP_GT, last_question)));
  for (std::uint64_t protocol = 0; protocol <= last_question; ++protocol)
    if (std::find(network_questions.begin(), network_questions.end(), protocol) ==
        network_questions.end())
      GYGES_CHECK(refuse(SCMP_A2(SCMP_CMP_EQ, protocol)));
  return ok();
}

}  // namespace

// What personality(2) may be set to: the plain one, its 32-bit view, a 2.6 version number, no
// address randomisation (debuggers, sanitizers), and the question. The rest weakens the process's
// defences (READ_IMPLIES_EXEC, MMAP_PAGE_ZERO) or opens rarely used kernel code.
const std::vector<std::uint64_t>& allowed_personalities() {
  static const std::vector<std::uint64_t> values{0,       0x0008,  0x20000,   0x20008,
                                                 0x40000, 0x60000, 0xffffffff};
  return values;
}

std::string fixed_rule_words(int number, const std::vector<std::string>& socket_families,
                             bool nested_namespaces) {
  std::string name = syscall_name(number);
  if (name == "socket" || name == "socketpair")
    return "address families: " +
           (socket_families.empty() ? std::string("none") : join(socket_families, ", "));
  if (name == "clone" && !nested_namespaces) return "no new namespaces";
  if (name == "clone") return "not CLONE_UNTRACED";
  if (name == "seccomp") return "no listener";
  if (name == "ioctl") return "not TIOCSTI, TIOCLINUX, TIOCSETD";
  if (name == "personality") return "the plain one, with or without address randomisation";
  if (std::find(set_attribute.begin(), set_attribute.end(), number) != set_attribute.end())
    return "values of at most " + std::to_string(attribute_bytes) + " bytes";
  for (const OnProcess& row : on_process)
    if (row.number == number) return "not of pid 1";
  return {};
}

Result<std::string> compile_fixed_rules(const std::vector<std::string>& socket_families,
                                        bool nested_namespaces) {
  GYGES_TRY(FilterContext context, new_filter_context(SCMP_ACT_ALLOW));
  auto refuse = [&](int code, int number, scmp_arg_cmp compare, std::string_view name) {
    return check_library(
        seccomp_rule_add_array(context.get(), SCMP_ACT_ERRNO(static_cast<unsigned>(code)), number,
                               1, &compare),
        "add seccomp rule", name);
  };
  auto named = [&](std::string_view name) {
    return std::find(socket_families.begin(), socket_families.end(), name) != socket_families.end();
  };
  const bool questions_only = named(own_network) && !named("netlink");
  for (int call : {SCMP_SYS(socket), SCMP_SYS(socketpair)}) {
    for (int family = 0; family < AF_MAX; ++family) {
      bool allowed = std::any_of(families.begin(), families.end(), [&](const FamilyName& row) {
        return row.family == family && named(row.name);
      });
      allowed = allowed || (family == AF_NETLINK && questions_only);
      if (!allowed)
        GYGES_CHECK(refuse(
            EAFNOSUPPORT, call,
            SCMP_A0(SCMP_CMP_MASKED_EQ, low_half, static_cast<std::uint64_t>(family)), "socket"));
    }
    GYGES_CHECK(refuse(EAFNOSUPPORT, call, SCMP_A0(SCMP_CMP_GE, AF_MAX), "socket"));
    if (questions_only) GYGES_CHECK(refuse_other_protocols(context, call));
  }
  for (std::uint64_t flag : clone_flags)
    if (flag == CLONE_UNTRACED || flag == CLONE_PTRACE || !nested_namespaces)
      GYGES_CHECK(refuse(EPERM, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag), "clone"));
  for (std::uint64_t request : terminal_ioctls)
    GYGES_CHECK(
        refuse(EPERM, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, low_half, request), "ioctl"));
  // A listener filter of the agent's own could answer calls before the record sees them as
  // allowed.
  GYGES_CHECK(refuse(EPERM, SCMP_SYS(seccomp),
                     SCMP_A1(SCMP_CMP_MASKED_EQ, listener_flag, listener_flag), "seccomp"));
  for (const OnProcess& row : on_process)
    GYGES_CHECK(refuse(EPERM, row.number,
                       scmp_arg_cmp{row.argument, SCMP_CMP_MASKED_EQ, low_half, 1}, "pid 1"));
  for (int call : set_attribute)
    GYGES_CHECK(refuse(ENOSPC, call, SCMP_A3(SCMP_CMP_GT, attribute_bytes), "setxattr"));
  // All processes of a user are pid 1 too.
  for (auto [call, whole_user] :
       {std::pair{SCMP_SYS(setpriority), 2UL}, std::pair{SCMP_SYS(ioprio_set), 3UL}})
    GYGES_CHECK(refuse(EPERM, call, SCMP_A0(SCMP_CMP_MASKED_EQ, low_half, whole_user), "pid 1"));
  return program_of(context);
}

}  // namespace gyges::isolation
