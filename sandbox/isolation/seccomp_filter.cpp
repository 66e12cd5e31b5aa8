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
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/assets.h"
#include "base/fd.h"
#include "base/json_document.h"
#include "base/text.h"

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

// Both can type into the terminal that the sandbox was started from (CVE-2017-5226). The kernel
// looks at the lower 32 bits only, so the comparison masks them.
constexpr std::array<std::uint64_t, 2> terminal_ioctls{TIOCSTI, TIOCLINUX};

constexpr std::uint64_t listener_flag = 8;  // SECCOMP_FILTER_FLAG_NEW_LISTENER

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

int errno_of(const std::string& name) {
  return name == "ENOSYS" ? ENOSYS : name == "EACCES" ? EACCES : EPERM;
}

std::string name_of(int number) {
  std::unique_ptr<char, decltype(&std::free)> name(
      seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number), &std::free);
  return name ? std::string(name.get()) : std::string();
}

struct Refusal {
  int code = EPERM;
  std::string grant;
  std::string why;
};

class Compiler {
 public:
  Compiler(const SeccompRules& rules, const std::vector<std::string>& grants)
      : rules_(rules), grants_(grants) {}

  Result<SeccompFilter> compile() {
    GYGES_CHECK(read_profile());
    GYGES_CHECK(apply_policy());
    GYGES_CHECK(by_number());
    GYGES_CHECK(by_argument());
    return std::move(filter_);
  }

 private:
  [[nodiscard]] bool granted(const std::string& grant) const {
    return std::find(grants_.begin(), grants_.end(), grant) != grants_.end();
  }

  Status read_profile() {
    std::string file = "policies/seccomp/" + rules_.profile + ".json";
    auto text = asset(file);
    if (!text)
      return fail("find seccomp profile", quoted(rules_.profile),
                  "no shipped profile has this name", "use \"default\"");
    GYGES_TRY(nlohmann::json profile, parse_json(*text, file));
    GYGES_CHECK(validate_json(profile, "seccomp_profile", file));
    for (const auto& group : profile.at("refused")) {
      Refusal refusal;
      refusal.code = errno_of(group.at("errno").get<std::string>());
      refusal.grant = group.value("grant", "");
      refusal.why = group.at("why").get<std::string>();
      if (!refusal.grant.empty() && granted(refusal.grant)) continue;
      for (const auto& name : group.at("names")) refused_[name.get<std::string>()] = refusal;
    }
    return ok();
  }

  Status apply_policy() {
    for (const std::string& name : rules_.allow) {
      GYGES_CHECK(check_name(name));
      auto found = refused_.find(name);
      if (found == refused_.end()) continue;
      if (!found->second.grant.empty())
        return fail(
            "apply seccomp rules", name,
            "the profile refuses it (" + found->second.why + ") and the policy has no grant",
            "state the grant " + found->second.grant);
      refused_.erase(found);
    }
    for (const std::string& name : rules_.deny) {
      GYGES_CHECK(check_name(name));
      refused_[name] = Refusal{EPERM, "", "denied by the policy"};
    }
    return ok();
  }

  static Status check_name(const std::string& name) {
    if (seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name.c_str()) != __NR_SCMP_ERROR)
      return ok();
    return fail("apply seccomp rules", printable(name), "no system call has this name",
                "use a name of syscalls(2)");
  }

  [[nodiscard]] std::string argument_rule(const std::string& name) const {
    if (name == "socket" || name == "socketpair")
      return "address families: " + (rules_.socket_families.empty()
                                         ? std::string("none")
                                         : join(rules_.socket_families, ", "));
    if (name == "clone" && !granted("nested_namespaces")) return "no new namespaces";
    if (name == "clone") return "not CLONE_UNTRACED";
    if (name == "seccomp") return "no listener";
    if (name == "ioctl") return "not TIOCSTI, TIOCLINUX";
    return {};
  }

  Status by_number() {
    GYGES_TRY(Context context, new_context(SCMP_ACT_ERRNO(ENOSYS)));
    for (int number = 0; number <= highest_syscall; ++number) {
      std::string name = name_of(number);
      if (name.empty()) continue;
      SyscallVerdict verdict{name, number, "allow", ""};
      std::uint32_t action = SCMP_ACT_ALLOW;
      if (auto refused = refused_.find(name); refused != refused_.end()) {
        action = SCMP_ACT_ERRNO(static_cast<unsigned>(refused->second.code));
        verdict.verdict = refused->second.code == ENOSYS   ? "ENOSYS"
                          : refused->second.code == EACCES ? "EACCES"
                                                           : "EPERM";
        verdict.why = refused->second.why;
      } else if (std::string rule = argument_rule(name); !rule.empty()) {
        verdict.verdict = "allow, arguments checked";
        verdict.why = rule;
      }
      filter_.verdicts.push_back(verdict);
      if (action == SCMP_ACT_ERRNO(ENOSYS)) continue;  // the default
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
    constexpr std::uint64_t low = 0xffffffff;
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
    GYGES_TRY(std::string program, program_of(context));
    filter_.programs.push_back(std::move(program));
    return ok();
  }

  const SeccompRules& rules_;
  const std::vector<std::string>& grants_;
  std::map<std::string, Refusal> refused_;
  SeccompFilter filter_;
};

}  // namespace

Result<SeccompFilter> compile_seccomp(const SeccompRules& rules,
                                      const std::vector<std::string>& grants) {
  static std::mutex mutex;
  static std::map<std::string, SeccompFilter> compiled;
  std::string key = rules.profile + "|" + join(rules.allow, ",") + "|" + join(rules.deny, ",") +
                    "|" + join(rules.socket_families, ",") + "|" + join(grants, ",");
  std::scoped_lock lock(mutex);
  if (auto found = compiled.find(key); found != compiled.end()) return found->second;
  auto filter = Compiler(rules, grants).compile();
  if (filter) compiled.emplace(key, *filter);
  return filter;
}

}  // namespace gyges::isolation
