#include "sandbox/isolation/seccomp_filter.h"

#include <seccomp.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "base/text.h"
#include "sandbox/isolation/argument_rules.h"
#include "sandbox/isolation/fixed_rules.h"
#include "sandbox/isolation/merged_program.h"
#include "sandbox/isolation/seccomp_library.h"
#include "sandbox/isolation/seccomp_profile.h"

namespace gyges::isolation {
namespace {

class Compiler {
 public:
  Compiler(const SeccompRules& rules, const std::vector<std::string>& grants,
           SeccompProfile profile)
      : rules_(rules), grants_(grants), profile_(std::move(profile)) {}

  Result<SeccompFilter> compile() {
    std::erase_if(profile_.refused, [&](const auto& entry) {
      if (entry.second.grant.empty() || !granted(entry.second.grant)) return false;
      by_grant_[entry.first] = entry.second.grant;
      return true;
    });
    GYGES_CHECK(apply_policy());
    // Where parts differ in an errno the last one loaded wins, so the verdict by number, which
    // knows what does not exist, comes last. It also is the only one that may refuse seccomp(2)
    // itself, by which the others are loaded where they are loaded one by one.
    if (profile_.oci) GYGES_CHECK(by_file());
    // Also without any rule: it judges the foreign ABIs.
    GYGES_CHECK(by_policy());
    GYGES_TRY(std::string fixed, compile_fixed_rules(rules_.socket_families, nested()));
    filter_.parts.push_back(std::move(fixed));
    GYGES_CHECK(by_number());
    GYGES_TRY(std::string merged, merge_programs(filter_.parts));
    if (merged.empty())
      filter_.programs = filter_.parts;
    else
      filter_.programs.push_back(std::move(merged));
    return std::move(filter_);
  }

 private:
  [[nodiscard]] bool granted(const std::string& grant) const {
    return std::find(grants_.begin(), grants_.end(), grant) != grants_.end();
  }

  [[nodiscard]] bool nested() const { return granted("nested_namespaces"); }

  Status apply_policy() {
    for (const SyscallRule& rule : rules_.allow) GYGES_CHECK(apply_allow(rule));
    for (const SyscallRule& rule : rules_.deny) {
      GYGES_TRY(int number, syscall_number(rule.syscall));
      if (!rule.arguments.empty()) {
        GYGES_CHECK(check_conditional(rule, number));
        on_arguments_[number].deny.push_back(rule);
        continue;
      }
      if (number == SCMP_SYS(execve))
        return fail("apply seccomp rules", rule.syscall,
                    "commands are started by it: nothing could run", "remove the rule");
      profile_.refused[rule.syscall] =
          SeccompRefusal{rule.code, "", "denied by the policy", rule.kill, "the policy"};
    }
    return ok();
  }

  Status apply_allow(const SyscallRule& rule) {
    GYGES_TRY(int number, syscall_number(rule.syscall));
    auto found = profile_.refused.find(rule.syscall);
    if (found != profile_.refused.end() && !found->second.grant.empty())
      return fail("apply seccomp rules", rule.syscall,
                  "the profile refuses it (" + found->second.why + ") and the policy has no grant",
                  "state the grant " + found->second.grant);
    if (!rule.arguments.empty()) {
      GYGES_CHECK(check_conditional(rule, number));
      ArgumentRules& rules = on_arguments_[number];
      if (rules.allow.empty()) {
        std::optional<SeccompAction> refused = present_refusal(rule.syscall);
        if (!refused)
          return fail(
              "apply seccomp rules", rule.syscall,
              "is allowed whatever its arguments: allowing it under a condition says nothing",
              "deny what shall not be, with the opposite condition, or remove the rule");
        rules.otherwise = *refused;
      }
      rules.allow.push_back(rule);
    }
    if (found != profile_.refused.end()) profile_.refused.erase(found);
    allowed_.insert(rule.syscall);
    return ok();
  }

  // By which the filters themselves are loaded, one after the other.
  static Status check_conditional(const SyscallRule& rule, int number) {
    if (number == SCMP_SYS(seccomp) || number == SCMP_SYS(execve))
      return fail("apply seccomp rules", rule.syscall,
                  "commands are started by it: it cannot have conditions",
                  "remove the conditions, or the rule");
    if (number >= 0) return ok();
    return fail("apply seccomp rules", rule.syscall, "does not exist on x86-64",
                "remove the rule: calls of other machines are killed");
  }

  // What the profile, with the rules so far, answers whatever the arguments; none: it allows some.
  [[nodiscard]] std::optional<SeccompAction> present_refusal(const std::string& name) const {
    if (auto refused = refusal(name))
      return SeccompAction{SeccompAction::Kind::refuse, refused->code};
    if (!profile_.oci || allowed_.count(name) > 0) return std::nullopt;
    SeccompAction action = profile_.otherwise;
    for (const SeccompRule& rule : profile_.rules)
      if (rule.name == name) {
        if (!rule.conditions.empty() && rule.action.allows()) return std::nullopt;
        if (rule.conditions.empty()) action = rule.action;
      }
    if (action.allows()) return std::nullopt;
    return action;
  }

  // Why a call is refused whatever its arguments, if it is.
  [[nodiscard]] std::optional<SeccompRefusal> refusal(const std::string& name) const {
    if (auto found = profile_.refused.find(name); found != profile_.refused.end())
      return found->second;
    if (!profile_.allowed.empty() && profile_.allowed.count(name) == 0 && allowed_.count(name) == 0)
      return SeccompRefusal{EPERM, "", "not in the list of the profile " + profile_.name, false,
                            "the profile " + profile_.name};
    return std::nullopt;
  }

  // The policy's rules on arguments, in words and in the order they are looked at.
  [[nodiscard]] std::vector<std::string> condition_list(int number) const {
    std::vector<std::string> list;
    auto found = on_arguments_.find(number);
    if (found == on_arguments_.end()) return list;
    for (const SyscallRule& rule : found->second.deny)
      list.push_back(condition_words(rule) + ": " +
                     (rule.kill ? SeccompAction{SeccompAction::Kind::kill_process}
                                : SeccompAction{SeccompAction::Kind::refuse, rule.code})
                         .words());
    for (const SyscallRule& rule : found->second.allow)
      list.push_back(condition_words(rule) + ": allow");
    if (!found->second.allow.empty())
      list.push_back("otherwise: " + found->second.otherwise.words());
    return list;
  }

  Status by_policy() {
    std::vector<ArgumentRules> rules;
    for (auto& [number, rule] : on_arguments_) {
      rules.push_back(rule);
      rules.back().number = number;
    }
    GYGES_TRY(std::string program, compile_argument_rules(rules));
    filter_.parts.push_back(std::move(program));
    return ok();
  }

  // The file's own rules, as libseccomp combines them.
  Status by_file() {
    std::map<std::string, std::vector<const SeccompRule*>> rules;
    for (const SeccompRule& rule : profile_.rules) rules[rule.name].push_back(&rule);
    GYGES_TRY(FilterContext context, new_filter_context(library_action(profile_.otherwise)));
    auto add = [&](const SeccompAction& action, int number,
                   const std::vector<scmp_arg_cmp>& conditions, const std::string& name) {
      if (action == profile_.otherwise) return ok();
      return check_library(
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
    filter_.parts.push_back(std::move(program));
    return ok();
  }

  Status by_number() {
    GYGES_TRY(FilterContext context, new_filter_context(SCMP_ACT_ERRNO(ENOSYS)));
    for (int number = 0; number <= highest_syscall; ++number) {
      std::string name = syscall_name(number);
      if (name.empty()) continue;
      SyscallVerdict verdict;
      verdict.name = name;
      verdict.number = number;
      verdict.verdict = "allow";
      if (auto grant = by_grant_.find(name); grant != by_grant_.end())
        verdict.by = "the grant " + grant->second;
      else if (allowed_.count(name) > 0)
        verdict.by = "the policy";
      std::uint32_t action = SCMP_ACT_ALLOW;
      std::string rule = fixed_rule_words(number, rules_.socket_families, nested());
      verdict.conditions = condition_list(number);
      if (!rule.empty()) verdict.conditions.push_back(rule);
      if (auto refused = refusal(name)) {
        SeccompAction what{
            refused->kill ? SeccompAction::Kind::kill_process : SeccompAction::Kind::refuse,
            refused->code};
        action = library_action(what);
        verdict.verdict = what.words();
        verdict.why = refused->why;
        verdict.by = refused->by;
        verdict.conditions.clear();
        verdict.opened_by = refused->by == "the policy" ? "removing it from seccomp.deny"
                            : refused->grant.empty()    ? "\"allow\": [\"" + name + "\"]"
                                                        : "the grant " + refused->grant;
      } else if (profile_.oci && by_file_[number].verdict != "allow") {
        verdict.verdict = by_file_[number].verdict;
        verdict.why = by_file_[number].why;
        verdict.by = "the file " + profile_.name;
        if (number == SCMP_SYS(seccomp))
          action = library_action({SeccompAction::Kind::refuse, EPERM});
      } else if (!verdict.conditions.empty()) {
        verdict.verdict = "allow, arguments checked";
        verdict.why = join(verdict.conditions, "; ");
      }
      filter_.verdicts.push_back(verdict);
      if (action == SCMP_ACT_ERRNO(ENOSYS)) continue;  // the default
      if (action == SCMP_ACT_ALLOW && name == "personality") {
        for (std::uint64_t value : allowed_personalities())
          GYGES_CHECK(check_library(seccomp_rule_add(context.get(), action, number, 1,
                                                     SCMP_A0(SCMP_CMP_MASKED_EQ, low_half, value)),
                                    "add seccomp rule", name));
        continue;
      }
      GYGES_CHECK(check_library(seccomp_rule_add(context.get(), action, number, 0),
                                "add seccomp rule", name));
    }
    GYGES_TRY(std::string program, program_of(context));
    filter_.parts.push_back(std::move(program));
    return ok();
  }

  const SeccompRules& rules_;
  const std::vector<std::string>& grants_;
  SeccompProfile profile_;
  std::set<std::string> allowed_;  // by the policy
  std::map<std::string, std::string> by_grant_;
  std::map<int, ArgumentRules> on_arguments_;  // of the policy
  std::map<int, SyscallVerdict> by_file_;
  SeccompFilter filter_;
};

// Every part with its length before it, so that no two rules have one key.
void add_part(std::string& key, const std::string& part) {
  key += std::to_string(part.size()) + ":" + part;
}

void add_rules(std::string& key, const std::vector<SyscallRule>& rules) {
  add_part(key, std::to_string(rules.size()));
  for (const SyscallRule& rule : rules) {
    add_part(key, rule.syscall);
    add_part(key, condition_words(rule));
    add_part(key, rule.kill ? "kill" : std::to_string(rule.code));
  }
}

void add_list(std::string& key, const std::vector<std::string>& list) {
  add_part(key, std::to_string(list.size()));
  for (const std::string& part : list) add_part(key, part);
}

}  // namespace

std::string seccomp_key(const SeccompRules& rules, const std::vector<std::string>& grants) {
  // A file may change between two runs; the shipped profiles do not.
  if (rules.profile.find('/') != std::string::npos || rules.profile.ends_with(".json")) return "";
  std::string key;
  add_part(key, rules.profile);
  add_rules(key, rules.allow);
  add_rules(key, rules.deny);
  add_list(key, rules.socket_families);
  add_list(key, grants);
  return key;
}

Result<SeccompFilter> compile_seccomp(const SeccompRules& rules,
                                      const std::vector<std::string>& grants,
                                      const std::vector<std::string>& capabilities) {
  static std::mutex mutex;
  static std::map<std::string, SeccompFilter> compiled;
  std::string key = seccomp_key(rules, grants);
  std::scoped_lock lock(mutex);
  if (!key.empty())
    if (auto found = compiled.find(key); found != compiled.end()) return found->second;
  GYGES_TRY(SeccompProfile profile, load_seccomp_profile(rules.profile, capabilities));
  auto filter = Compiler(rules, grants, std::move(profile)).compile();
  if (filter && !key.empty()) compiled.emplace(key, *filter);
  return filter;
}

}  // namespace gyges::isolation
