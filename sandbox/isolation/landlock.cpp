#include "sandbox/isolation/landlock.h"

#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

namespace gyges::isolation {
namespace {

// linux/landlock.h of the distributions that we build on knows ABI 2 at most.
constexpr std::uint64_t bit(unsigned number) {
  return std::uint64_t{1} << number;
}
constexpr std::uint64_t execute_file = bit(0);
constexpr std::uint64_t write_file = bit(1);
constexpr std::uint64_t read_file_access = bit(2);
constexpr std::uint64_t read_directory = bit(3);
constexpr std::uint64_t remove_directory = bit(4);
constexpr std::uint64_t remove_file = bit(5);
constexpr std::uint64_t make_character_device = bit(6);
constexpr std::uint64_t make_directory = bit(7);
constexpr std::uint64_t make_regular = bit(8);
constexpr std::uint64_t make_socket = bit(9);
constexpr std::uint64_t make_fifo = bit(10);
constexpr std::uint64_t make_block_device = bit(11);
constexpr std::uint64_t make_symlink = bit(12);
constexpr std::uint64_t refer = bit(13);
constexpr std::uint64_t truncate_file = bit(14);
constexpr std::uint64_t ioctl_device = bit(15);

constexpr std::uint64_t bind_tcp = bit(0);
constexpr std::uint64_t connect_tcp = bit(1);
constexpr std::uint64_t scope_abstract = bit(0);
constexpr std::uint64_t scope_signal = bit(1);

constexpr std::uint64_t reads = read_file_access | read_directory;
constexpr std::uint64_t writes = write_file | remove_directory | remove_file | make_directory |
                                 make_regular | make_socket | make_fifo | make_symlink | refer |
                                 truncate_file;
// Nobody inside makes device nodes, whatever a rule says.
constexpr std::uint64_t devices = make_character_device | make_block_device;

constexpr int abi_of_refer = 2;
constexpr int abi_of_truncate = 3;
constexpr int abi_of_ports = 4;
constexpr int abi_of_ioctl = 5;
constexpr int abi_of_scope = 6;

std::uint64_t known_files(int abi) {
  std::uint64_t known = reads | writes | execute_file | devices | ioctl_device;
  if (abi < abi_of_refer) known &= ~refer;
  if (abi < abi_of_truncate) known &= ~truncate_file;
  if (abi < abi_of_ioctl) known &= ~ioctl_device;
  return known;
}

constexpr const char* kernel_cure =
    "use a kernel with CONFIG_SECURITY_LANDLOCK and landlock in its list of security modules "
    "(boot parameter lsm=landlock,...), change the policy, or accept it with "
    "--allow-degraded=landlock";

tl::unexpected<Error> cannot(std::string_view what, int needed, int abi) {
  return fail("plan Landlock", what,
              abi == 0 ? "this kernel has no Landlock"
                       : fmt::format("needs Landlock ABI {}, this kernel has {}", needed, abi),
              kernel_cure);
}

constexpr const char* words_from_mounts = "from the mounts";

// Paths that every program needs besides its files.
void add_sandbox_paths(LandlockRuleset& ruleset) {
  ruleset.paths.push_back({"/", read_directory});
  // `echo x > /proc/self/comm` truncates, as a shell opens it.
  ruleset.paths.push_back({"/proc", reads | write_file | truncate_file});
  ruleset.paths.push_back({"/dev", reads | writes | ioctl_device});
}

LandlockRuleset from_mounts(const Policy& policy, int abi) {
  LandlockRuleset ruleset;
  ruleset.words = words_from_mounts;
  ruleset.files = known_files(abi);
  add_sandbox_paths(ruleset);
  for (const Mount& mount : policy.filesystem.mounts) {
    bool writable = mount.kind != Mount::Kind::read_only;
    ruleset.paths.push_back({mount.target, reads | execute_file | (writable ? writes : 0)});
  }
  for (auto& rule : ruleset.paths) rule.access &= ruleset.files;
  return ruleset;
}

LandlockRuleset stated(const LandlockRules& rules, int abi) {
  LandlockRuleset ruleset;
  std::vector<std::string> words;
  if (rules.paths) {
    ruleset.files = known_files(abi);
    for (const LandlockPath& rule : *rules.paths)
      ruleset.paths.push_back({rule.path, ((rule.read ? reads | ioctl_device : 0) |
                                           (rule.write ? writes | ioctl_device : 0) |
                                           (rule.execute ? execute_file : 0)) &
                                              ruleset.files});
    words.push_back(fmt::format("{} paths", rules.paths->size()));
  }
  auto ports = [&](const std::optional<std::vector<std::uint16_t>>& list, std::uint64_t access,
                   const char* word) {
    if (!list) return;
    ruleset.network |= access;
    for (std::uint16_t port : *list) ruleset.ports.emplace_back(port, access);
    words.push_back(fmt::format("{} ports to {}", list->size(), word));
  };
  if (abi >= abi_of_ports) {
    ports(rules.tcp_bind, bind_tcp, "bind");
    ports(rules.tcp_connect, connect_tcp, "connect");
  }
  if (abi >= abi_of_scope) {
    if (rules.scope_abstract_sockets) ruleset.scope |= scope_abstract;
    if (rules.scope_signals) ruleset.scope |= scope_signal;
    if (ruleset.scope != 0) words.emplace_back("scope");
  }
  ruleset.words = join(words, ", ");
  return ruleset;
}

Status check_abi(const LandlockRules& rules, int abi) {
  using Mounts = LandlockRules::Mounts;
  // Without ABI 2 every rename between directories is refused, which breaks ordinary programs.
  if (rules.mounts == Mounts::required && abi < abi_of_refer)
    return cannot("landlock.mounts: required", abi_of_refer, abi);
  if (rules.paths && abi < abi_of_refer) return cannot("landlock.paths", abi_of_refer, abi);
  if ((rules.tcp_bind || rules.tcp_connect) && abi < abi_of_ports)
    return cannot("landlock.tcp_bind or tcp_connect", abi_of_ports, abi);
  if ((rules.scope_abstract_sockets || rules.scope_signals) && abi < abi_of_scope)
    return cannot("landlock.scope", abi_of_scope, abi);
  return ok();
}

}  // namespace

std::string access_words(std::uint64_t files) {
  std::vector<std::string> words;
  if ((files & read_file_access) != 0)
    words.emplace_back("read");
  else if ((files & read_directory) != 0)
    words.emplace_back("list");
  if ((files & make_regular) != 0)
    words.emplace_back("write");
  else if ((files & write_file) != 0)
    words.emplace_back("write files of");
  if ((files & execute_file) != 0) words.emplace_back("execute");
  return words.empty() ? "nothing" : join(words, ", ");
}

int landlock_abi() {
  constexpr unsigned version_flag = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, version_flag);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

void allow_reading(LandlockPlan& plan, const std::string& path) {
  for (LandlockRuleset& ruleset : plan.rulesets)
    if (ruleset.words == words_from_mounts) ruleset.paths.push_back({path, reads & ruleset.files});
}

Result<LandlockPlan> plan_landlock(const Policy& policy, int abi, bool degraded) {
  LandlockPlan plan;
  const LandlockRules& rules = policy.landlock;
  if (!degraded) GYGES_CHECK(check_abi(rules, abi));
  bool wanted = rules.mounts != LandlockRules::Mounts::off;
  if (wanted && abi >= abi_of_refer) plan.rulesets.push_back(from_mounts(policy, abi));
  if (abi > 0) {
    LandlockRuleset more = stated(rules, abi);
    if (abi < abi_of_refer) more.files = 0;
    if (more.files != 0 || more.network != 0 || more.scope != 0)
      plan.rulesets.push_back(std::move(more));
  }
  std::vector<std::string> words;
  for (const LandlockRuleset& ruleset : plan.rulesets) words.push_back(ruleset.words);
  if (!words.empty())
    plan.state = fmt::format("ABI {}: {}", abi, join(words, "; "));
  else if (abi == 0)
    plan.state = "off: this kernel has none";
  else
    plan.state =
        wanted ? fmt::format("off: ABI {} is too old", abi) : "off: the policy has no rules";
  return plan;
}

}  // namespace gyges::isolation
