#include "sandbox/isolation/argument_rules.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cerrno>
#include <cstddef>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::isolation {
namespace {

using Compare = ArgumentCondition::Compare;

constexpr std::size_t most_instructions = 4096;  // BPF_MAXINSNS

// Whether the kernel reads 32 bits of this argument, as far as the table of calls says.
bool is_half(const std::string& syscall, unsigned index) {
  const recorder::SyscallSpec* spec = recorder::find_syscall(recorder::Abi::x86_64, syscall);
  if (spec == nullptr || index >= spec->argument_count) return false;
  using Kind = recorder::ArgumentKind;
  switch (spec->arguments[index].kind) {
    case Kind::integer:
    case Kind::mode:
    case Kind::pid:
    case Kind::uid:
    case Kind::gid:
    case Kind::signal:
    case Kind::fd:
    case Kind::dirfd:
      return true;
    default:
      return false;
  }
}

// Of a value below 2^32: "equal" and "less" of the whole imply those of the lower half, "not
// equal" and "greater" of the lower half imply those of the whole.
bool compares_half(const SyscallRule& rule, const ArgumentCondition& condition, bool denies) {
  if (is_half(rule.syscall, condition.index)) return true;
  if ((condition.value >> 32U) != 0) return false;
  bool below = condition.compare == Compare::equal || condition.compare == Compare::less ||
               condition.compare == Compare::less_equal;
  return below == denies;
}

class Assembler {
 public:
  void load(std::size_t offset) {
    add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  }
  void mask(std::uint32_t bits) {
    if (bits != ~0U) add(BPF_ALU | BPF_AND | BPF_K, bits);
  }
  void give(std::uint32_t value) { add(BPF_RET | BPF_K, value); }
  // Jumps over `skipped` instructions where the comparison holds or does not.
  void jump(unsigned compare, std::uint32_t value, std::uint8_t if_true, std::uint8_t if_false) {
    program_.push_back(
        {static_cast<std::uint16_t>(BPF_JMP | compare | BPF_K), if_true, if_false, value});
  }

  // `next`: fall through; `pass`: to the end of the condition; `fail`: to the end of the rule.
  enum class To : std::uint8_t { next, pass, fail };
  void branch(unsigned compare, std::uint32_t value, To if_true, To if_false) {
    branches_.push_back({program_.size(), if_true, if_false});
    jump(compare, value, 0, 0);
  }
  void end_condition() {
    for (Branch& branch : branches_) {
      settle(branch, branch.if_true, To::pass, program_[branch.at].jt);
      settle(branch, branch.if_false, To::pass, program_[branch.at].jf);
    }
  }
  void end_rule() {
    for (Branch& branch : branches_) {
      settle(branch, branch.if_true, To::fail, program_[branch.at].jt);
      settle(branch, branch.if_false, To::fail, program_[branch.at].jf);
    }
    branches_.clear();
  }

  [[nodiscard]] std::size_t size() const { return program_.size(); }
  std::size_t jump_ahead() {
    add(BPF_JMP | BPF_JA, 0);
    return program_.size() - 1;
  }
  void land(std::size_t at) {
    program_[at].k = static_cast<std::uint32_t>(program_.size() - at - 1);
  }
  [[nodiscard]] std::string bytes() const {
    return {reinterpret_cast<const char*>(program_.data()), program_.size() * sizeof(sock_filter)};
  }

 private:
  struct Branch {
    std::size_t at;
    To if_true;
    To if_false;
  };

  void add(unsigned code, std::uint32_t k) {
    program_.push_back({static_cast<std::uint16_t>(code), 0, 0, k});
  }
  // A rule has at most 6 conditions of at most 7 instructions: the distance fits into its byte.
  void settle(const Branch& branch, To& to, To which, std::uint8_t& distance) {
    if (to != which) return;
    distance = static_cast<std::uint8_t>(program_.size() - branch.at - 1);
    to = To::next;
  }

  std::vector<sock_filter> program_;
  std::vector<Branch> branches_;
};

using To = Assembler::To;

void lower(Assembler& code, Compare compare, std::uint32_t value) {
  switch (compare) {
    case Compare::equal:
      return code.branch(BPF_JEQ, value, To::next, To::fail);
    case Compare::not_equal:
      return code.branch(BPF_JEQ, value, To::fail, To::next);
    case Compare::less:
      return code.branch(BPF_JGE, value, To::fail, To::next);
    case Compare::less_equal:
      return code.branch(BPF_JGT, value, To::fail, To::next);
    case Compare::greater:
      return code.branch(BPF_JGT, value, To::next, To::fail);
    case Compare::greater_equal:
      return code.branch(BPF_JGE, value, To::next, To::fail);
  }
}

// Decides by the upper half, or leaves it to the lower one.
void upper(Assembler& code, Compare compare, std::uint32_t value) {
  switch (compare) {
    case Compare::equal:
      return code.branch(BPF_JEQ, value, To::next, To::fail);
    case Compare::not_equal:
      return code.branch(BPF_JEQ, value, To::next, To::pass);
    case Compare::less:
    case Compare::less_equal:
      code.branch(BPF_JGT, value, To::fail, To::next);
      return code.branch(BPF_JEQ, value, To::next, To::pass);
    case Compare::greater:
    case Compare::greater_equal:
      code.branch(BPF_JGT, value, To::pass, To::next);
      return code.branch(BPF_JEQ, value, To::next, To::fail);
  }
}

void add_rule(Assembler& code, const SyscallRule& rule, bool denies) {
  for (const ArgumentCondition& condition : rule.arguments) {
    std::size_t offset = offsetof(seccomp_data, args) + condition.index * sizeof(std::uint64_t);
    if (!compares_half(rule, condition, denies)) {
      code.load(offset + sizeof(std::uint32_t));
      code.mask(static_cast<std::uint32_t>(condition.mask >> 32U));
      upper(code, condition.compare, static_cast<std::uint32_t>(condition.value >> 32U));
    }
    code.load(offset);
    code.mask(static_cast<std::uint32_t>(condition.mask));
    lower(code, condition.compare, static_cast<std::uint32_t>(condition.value));
    code.end_condition();
  }
  if (!denies)
    code.give(SECCOMP_RET_ALLOW);
  else if (rule.kill)
    code.give(SECCOMP_RET_KILL_PROCESS);
  else
    code.give(SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(rule.code));
  code.end_rule();
}

}  // namespace

Result<std::string> compile_argument_rules(const std::vector<ArgumentRules>& rules) {
  Assembler code;
  code.load(offsetof(seccomp_data, arch));
  code.jump(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0);
  code.give(SECCOMP_RET_KILL_PROCESS);
  code.load(offsetof(seccomp_data, nr));
  // What a kernel without x32, which is nearly every one, answers. Not executed all the same.
  code.jump(BPF_JSET, recorder::x32_bit, 0, 1);
  code.give(SECCOMP_RET_ERRNO | ENOSYS);
  for (const ArgumentRules& call : rules) {
    // Every block ends in a verdict, so the next one finds the number still loaded.
    code.jump(BPF_JEQ, static_cast<std::uint32_t>(call.number), 1, 0);
    std::size_t around = code.jump_ahead();
    for (const SyscallRule& rule : call.deny) add_rule(code, rule, true);
    for (const SyscallRule& rule : call.allow) add_rule(code, rule, false);
    code.give(call.allow.empty() ? SECCOMP_RET_ALLOW : call.otherwise.filter_value());
    code.land(around);
  }
  code.give(SECCOMP_RET_ALLOW);
  if (code.size() > most_instructions)
    return fail("compile seccomp rules", "",
                "the conditions on arguments need more instructions than the kernel takes",
                "use fewer rules with conditions, or masks that join several values");
  return code.bytes();
}

}  // namespace gyges::isolation
