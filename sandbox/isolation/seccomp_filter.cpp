#include "sandbox/isolation/seccomp_filter.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "base/fd.h"
#include "base/text.h"
#include "sandbox/isolation/seccomp_profile.h"

namespace gyges::isolation {
namespace {

constexpr int highest_syscall = 511;  // of x86-64, without the x32 range

struct FamilyName {
  std::string_view name;
  int family;
};
constexpr std::array families{FamilyName{"unix", AF_UNIX}, FamilyName{"inet", AF_INET},
                              FamilyName{"inet6", AF_INET6}, FamilyName{"netlink", AF_NETLINK}};

// New namespaces by clone are refused like unshare. CLONE_UNTRACED would hide a child from a ptrace
// recorder; no ordinary program sets it.
constexpr std::array<std::uint64_t, 9> clone_flags{CLONE_NEWNS,     CLONE_NEWUTS,   CLONE_NEWIPC,
                                                   CLONE_NEWUSER,   CLONE_NEWPID,   CLONE_NEWNET,
                                                   CLONE_NEWCGROUP, CLONE_UNTRACED, CLONE_PTRACE};

// The first two can type into the terminal that the sandbox was started from (CVE-2017-5226). The
// third puts a driver on any terminal, one of its own too, and has the kernel load it (n_hdlc,
// CVE-2017-2636; n_gsm, CVE-2023-52564). The kernel looks at the lower 32 bits only, so the
// comparison masks them.
constexpr std::array<std::uint64_t, 3> terminal_ioctls{TIOCSTI, TIOCLINUX, TIOCSETD};

constexpr std::uint64_t listener_flag = 8;  // SECCOMP_FILTER_FLAG_NEW_LISTENER

constexpr std::uint64_t low = 0xffffffff;  // the half of an argument that a 32-bit parameter is

using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

Status check(int code, std::string_view step, std::string_view object) {
  if (code < 0) return fail_errno(step, object, -code);
  return ok();
}

Result<Context> new_context(std::uint32_t default_action) {
  Context context(seccomp_init(default_action), &seccomp_release);
  if (!context) return fail("make seccomp filter", "", "libseccomp gave none");
  GYGES_CHECK(check(seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS),
                    "set seccomp attribute", "bad architecture"));
  GYGES_CHECK(check(seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2),
                    "set seccomp attribute", "binary tree"));
  return context;
}

Result<std::string> program_of(const Context& context) {
  UniqueFd fd(::memfd_create("filter", MFD_CLOEXEC));
  if (!fd) return fail_errno("make memory file", "filter");
  GYGES_CHECK(check(seccomp_export_bpf(context.get(), fd.get()), "compile seccomp filter", ""));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno("rewind", "filter");
  return read_all(fd.get(), 4096UL * 8);
}

// What personality(2) may be set to: the plain one, its 32-bit view, a 2.6 version number, no
// address randomisation (debuggers, sanitizers), and the question. The rest weakens the process's
// defences (READ_IMPLIES_EXEC, MMAP_PAGE_ZERO) or opens rarely used kernel code.
constexpr std::array<std::uint64_t, 7> personalities{0,       0x0008,  0x20000,   0x20008,
                                                     0x40000, 0x60000, 0xffffffff};

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

// SCMP_CMP_* of a condition of an OCI file.
scmp_arg_cmp comparison(const SeccompCondition& condition) {
  using Compare = SeccompCondition::Compare;
  scmp_compare op = SCMP_CMP_EQ;
  switch (condition.compare) {
    case Compare::not_equal:
      op = SCMP_CMP_NE;
      break;
    case Compare::less:
      op = SCMP_CMP_LT;
      break;
    case Compare::less_equal:
      op = SCMP_CMP_LE;
      break;
    case Compare::equal:
      op = SCMP_CMP_EQ;
      break;
    case Compare::greater_equal:
      op = SCMP_CMP_GE;
      break;
    case Compare::greater:
      op = SCMP_CMP_GT;
      break;
    case Compare::masked_equal:
      op = SCMP_CMP_MASKED_EQ;
      break;
  }
  return {condition.argument, op, condition.value, condition.second};
}

// libseccomp's word for an action of a profile.
std::uint32_t library_action(const SeccompAction& action) {
  return action.kind == SeccompAction::Kind::refuse
             ? SCMP_ACT_ERRNO(static_cast<unsigned>(action.code))
             : action.filter_value();
}

class Compiler {
 public:
  Compiler(const SeccompRules& rules, const std::vector<std::string>& grants,
           SeccompProfile profile)
      : rules_(rules), grants_(grants), profile_(std::move(profile)) {}

  Result<SeccompFilter> compile() {
    std::erase_if(profile_.refused, [&](const auto& entry) {
      return !entry.second.grant.empty() && granted(entry.second.grant);
    });
    GYGES_CHECK(apply_policy());
    // Where programs differ in an errno the last one loaded wins, so the verdict by number, which
    // knows what does not exist, comes last. It also is the only one that may refuse seccomp(2)
    // itself, by which the others are loaded.
    if (profile_.oci) GYGES_CHECK(by_file());
    GYGES_CHECK(by_argument());
    GYGES_CHECK(by_number());
    return std::move(filter_);
  }

 private:
  [[nodiscard]] bool granted(const std::string& grant) const {
    return std::find(grants_.begin(), grants_.end(), grant) != grants_.end();
  }

  Status apply_policy() {
    for (const std::string& name : rules_.allow) {
      GYGES_CHECK(syscall_number(name));
      allowed_.insert(name);
      auto found = profile_.refused.find(name);
      if (found == profile_.refused.end()) continue;
      if (!found->second.grant.empty())
        return fail(
            "apply seccomp rules", name,
            "the profile refuses it (" + found->second.why + ") and the policy has no grant",
            "state the grant " + found->second.grant);
      profile_.refused.erase(found);
    }
    for (const std::string& name : rules_.deny) {
      GYGES_CHECK(syscall_number(name));
      profile_.refused[name] = SeccompRefusal{EPERM, "", "denied by the policy"};
    }
    return ok();
  }

  // Why a call is refused whatever its arguments, if it is.
  [[nodiscard]] std::optional<SeccompRefusal> refusal(const std::string& name) const {
    if (auto found = profile_.refused.find(name); found != profile_.refused.end())
      return found->second;
    if (!profile_.allowed.empty() && profile_.allowed.count(name) == 0 && allowed_.count(name) == 0)
      return SeccompRefusal{EPERM, "", "not in the list of the profile " + profile_.name};
    return std::nullopt;
  }

  [[nodiscard]] std::string argument_rule(const std::string& name, int number) const {
    if (name == "socket" || name == "socketpair")
      return "address families: " + (rules_.socket_families.empty()
                                         ? std::string("none")
                                         : join(rules_.socket_families, ", "));
    if (name == "clone" && !granted("nested_namespaces")) return "no new namespaces";
    if (name == "clone") return "not CLONE_UNTRACED";
    if (name == "seccomp") return "no listener";
    if (name == "ioctl") return "not TIOCSTI, TIOCLINUX, TIOCSETD";
    if (name == "personality") return "the plain one, with or without address randomisation";
    for (const OnProcess& row : on_process)
      if (row.number == number) return "not of pid 1";
    return {};
  }

  // The file's own rules, as libseccomp combines them.
  Status by_file() {
    std::map<std::string, std::vector<const SeccompRule*>> rules;
    for (const SeccompRule& rule : profile_.rules) rules[rule.name].push_back(&rule);
    GYGES_TRY(Context context, new_context(library_action(profile_.otherwise)));
    auto add = [&](const SeccompAction& action, int number,
                   const std::vector<scmp_arg_cmp>& conditions, const std::string& name) {
      if (action == profile_.otherwise) return ok();
      return check(
          seccomp_rule_add_array(context.get(), library_action(action), number,
                                 static_cast<unsigned>(conditions.size()), conditions.data()),
          "add the seccomp file's rule for", name);
    };
    for (int number = 0; number <= highest_syscall; ++number) {
      std::string name = syscall_name(number);
      if (name.empty()) continue;
      SyscallVerdict& verdict = by_file_[number];
      verdict.verdict = profile_.otherwise.words();
      verdict.why = "what the seccomp file does by default";
      if (allowed_.count(name) > 0) verdict.verdict = "allow";
      if (allowed_.count(name) > 0 || number == SCMP_SYS(seccomp))
        GYGES_CHECK(add(SeccompAction{}, number, {}, name));
      auto found = rules.find(name);
      if (found == rules.end() || allowed_.count(name) > 0) continue;
      for (const SeccompRule* rule : found->second) {
        std::vector<scmp_arg_cmp> conditions;
        for (const SeccompCondition& condition : rule->conditions)
          conditions.push_back(comparison(condition));
        if (number != SCMP_SYS(seccomp)) GYGES_CHECK(add(rule->action, number, conditions, name));
        if (rule->conditions.empty()) {
          verdict.verdict = rule->action.words();
          verdict.why = "the seccomp file";
        } else if (rule->action.allows() != profile_.otherwise.allows()) {
          verdict.verdict = "allow, arguments checked";
          verdict.why = "conditions of the seccomp file";
        }
      }
    }
    GYGES_TRY(std::string program, program_of(context));
    filter_.programs.push_back(std::move(program));
    return ok();
  }

  Status by_number() {
    GYGES_TRY(Context context, new_context(SCMP_ACT_ERRNO(ENOSYS)));
    for (int number = 0; number <= highest_syscall; ++number) {
      std::string name = syscall_name(number);
      if (name.empty()) continue;
      SyscallVerdict verdict{name, number, "allow", ""};
      std::uint32_t action = SCMP_ACT_ALLOW;
      std::string rule = argument_rule(name, number);
      if (auto refused = refusal(name)) {
        SeccompAction what{SeccompAction::Kind::refuse, refused->code};
        action = library_action(what);
        verdict.verdict = what.words();
        verdict.why = refused->why;
      } else if (profile_.oci && by_file_[number].verdict != "allow") {
        verdict.verdict = by_file_[number].verdict;
        verdict.why = by_file_[number].why;
        if (number == SCMP_SYS(seccomp))
          action = library_action({SeccompAction::Kind::refuse, EPERM});
      } else if (!rule.empty()) {
        verdict.verdict = "allow, arguments checked";
        verdict.why = rule;
      }
      filter_.verdicts.push_back(verdict);
      if (action == SCMP_ACT_ERRNO(ENOSYS)) continue;  // the default
      if (action == SCMP_ACT_ALLOW && name == "personality") {
        for (std::uint64_t value : personalities)
          GYGES_CHECK(check(seccomp_rule_add(context.get(), action, number, 1,
                                             SCMP_A0(SCMP_CMP_MASKED_EQ, low, value)),
                            "add seccomp rule", name));
        continue;
      }
      GYGES_CHECK(
          check(seccomp_rule_add(context.get(), action, number, 0), "add seccomp rule", name));
    }
    GYGES_TRY(std::string program, program_of(context));
    filter_.programs.push_back(std::move(program));
    return ok();
  }

  Status by_argument() {
    GYGES_TRY(Context context, new_context(SCMP_ACT_ALLOW));
    auto refuse = [&](int code, int number, scmp_arg_cmp compare, std::string_view name) {
      return check(
          seccomp_rule_add_array(context.get(), SCMP_ACT_ERRNO(static_cast<unsigned>(code)), number,
                                 1, &compare),
          "add seccomp rule", name);
    };
    for (int call : {SCMP_SYS(socket), SCMP_SYS(socketpair)}) {
      for (int family = 0; family < AF_MAX; ++family) {
        bool allowed = std::any_of(families.begin(), families.end(), [&](const FamilyName& row) {
          return row.family == family &&
                 std::find(rules_.socket_families.begin(), rules_.socket_families.end(),
                           row.name) != rules_.socket_families.end();
        });
        if (!allowed)
          GYGES_CHECK(refuse(EAFNOSUPPORT, call,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, low, static_cast<std::uint64_t>(family)),
                             "socket"));
      }
      GYGES_CHECK(refuse(EAFNOSUPPORT, call, SCMP_A0(SCMP_CMP_GE, AF_MAX), "socket"));
    }
    for (std::uint64_t flag : clone_flags)
      if (flag == CLONE_UNTRACED || flag == CLONE_PTRACE || !granted("nested_namespaces"))
        GYGES_CHECK(
            refuse(EPERM, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag), "clone"));
    for (std::uint64_t request : terminal_ioctls)
      GYGES_CHECK(
          refuse(EPERM, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_MASKED_EQ, low, request), "ioctl"));
    // A listener filter of the agent's own could answer calls before the record sees them as
    // allowed.
    GYGES_CHECK(refuse(EPERM, SCMP_SYS(seccomp),
                       SCMP_A1(SCMP_CMP_MASKED_EQ, listener_flag, listener_flag), "seccomp"));
    for (const OnProcess& row : on_process)
      GYGES_CHECK(refuse(EPERM, row.number, scmp_arg_cmp{row.argument, SCMP_CMP_MASKED_EQ, low, 1},
                         "pid 1"));
    // All processes of a user are pid 1 too.
    for (auto [call, whole_user] :
         {std::pair{SCMP_SYS(setpriority), 2UL}, std::pair{SCMP_SYS(ioprio_set), 3UL}})
      GYGES_CHECK(refuse(EPERM, call, SCMP_A0(SCMP_CMP_MASKED_EQ, low, whole_user), "pid 1"));
    GYGES_TRY(std::string program, program_of(context));
    filter_.programs.push_back(std::move(program));
    return ok();
  }

  const SeccompRules& rules_;
  const std::vector<std::string>& grants_;
  SeccompProfile profile_;
  std::set<std::string> allowed_;  // by the policy
  std::map<int, SyscallVerdict> by_file_;
  SeccompFilter filter_;
};

}  // namespace

Result<SeccompFilter> compile_seccomp(const SeccompRules& rules,
                                      const std::vector<std::string>& grants,
                                      const std::vector<std::string>& capabilities) {
  // A file may change between two runs; the shipped profiles do not.
  bool is_file = rules.profile.find('/') != std::string::npos || rules.profile.ends_with(".json");
  static std::mutex mutex;
  static std::map<std::string, SeccompFilter> compiled;
  std::string key = rules.profile + "|" + join(rules.allow, ",") + "|" + join(rules.deny, ",") +
                    "|" + join(rules.socket_families, ",") + "|" + join(grants, ",");
  std::scoped_lock lock(mutex);
  if (!is_file)
    if (auto found = compiled.find(key); found != compiled.end()) return found->second;
  GYGES_TRY(SeccompProfile profile, load_seccomp_profile(rules.profile, capabilities));
  auto filter = Compiler(rules, grants, std::move(profile)).compile();
  if (filter && !is_file) compiled.emplace(key, *filter);
  return filter;
}

}  // namespace gyges::isolation
