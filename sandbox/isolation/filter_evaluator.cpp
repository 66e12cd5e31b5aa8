#include "sandbox/isolation/filter_evaluator.h"

#include <linux/audit.h>
#include <linux/filter.h>

#include <array>
#include <cstring>

namespace gyges::isolation {
namespace {

constexpr std::size_t most_instructions = 4096;  // BPF_MAXINSNS

tl::unexpected<Error> bad(std::size_t at, std::string_view reason) {
  return fail("evaluate seccomp program", "instruction " + std::to_string(at), reason);
}

class Machine {
 public:
  Machine(std::vector<sock_filter> program, const seccomp_data& call)
      : program_(std::move(program)), call_(call) {}

  // Jumps only go forward, so every program ends.
  Result<std::uint32_t> run() {
    for (std::size_t at = 0; at < program_.size(); ++at) {
      const sock_filter& step = program_[at];
      switch (BPF_CLASS(step.code)) {
        case BPF_RET:
          return BPF_RVAL(step.code) == BPF_A ? a_ : step.k;
        case BPF_JMP:
          at += jump(step);
          break;
        default:
          if (!execute(step)) return bad(at, "is none that seccomp allows");
      }
    }
    return bad(program_.size(), "the program runs past its end");
  }

 private:
  [[nodiscard]] std::size_t jump(const sock_filter& step) const {
    std::uint32_t other = BPF_SRC(step.code) == BPF_X ? x_ : step.k;
    bool holds = false;
    switch (BPF_OP(step.code)) {
      case BPF_JA:
        return step.k;
      case BPF_JEQ:
        holds = a_ == other;
        break;
      case BPF_JGT:
        holds = a_ > other;
        break;
      case BPF_JGE:
        holds = a_ >= other;
        break;
      case BPF_JSET:
        holds = (a_ & other) != 0;
        break;
    }
    return holds ? step.jt : step.jf;
  }

  // The word of seccomp_data at an offset, which is all that a seccomp program may load.
  bool load(std::uint32_t offset, std::uint32_t& into) const {
    if (offset % 4 != 0 || offset > sizeof(call_) - sizeof(into)) return false;
    std::memcpy(&into, reinterpret_cast<const char*>(&call_) + offset, sizeof(into));
    return true;
  }

  bool execute(const sock_filter& step) {
    switch (step.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        return load(step.k, a_);
      case BPF_LD | BPF_IMM:
        a_ = step.k;
        return true;
      case BPF_LDX | BPF_IMM:
        x_ = step.k;
        return true;
      case BPF_LD | BPF_MEM:
        a_ = memory_[step.k % memory_.size()];
        return true;
      case BPF_LDX | BPF_MEM:
        x_ = memory_[step.k % memory_.size()];
        return true;
      case BPF_ST:
        memory_[step.k % memory_.size()] = a_;
        return true;
      case BPF_STX:
        memory_[step.k % memory_.size()] = x_;
        return true;
      case BPF_MISC | BPF_TAX:
        x_ = a_;
        return true;
      case BPF_MISC | BPF_TXA:
        a_ = x_;
        return true;
      default:
        return BPF_CLASS(step.code) == BPF_ALU && calculate(step);
    }
  }

  bool calculate(const sock_filter& step) {
    std::uint32_t other = BPF_SRC(step.code) == BPF_X ? x_ : step.k;
    switch (BPF_OP(step.code)) {
      case BPF_AND:
        a_ &= other;
        return true;
      case BPF_OR:
        a_ |= other;
        return true;
      case BPF_XOR:
        a_ ^= other;
        return true;
      case BPF_ADD:
        a_ += other;
        return true;
      case BPF_SUB:
        a_ -= other;
        return true;
      case BPF_LSH:
        a_ = other < 32 ? a_ << other : 0;
        return true;
      case BPF_RSH:
        a_ = other < 32 ? a_ >> other : 0;
        return true;
      default:
        return false;
    }
  }

  std::vector<sock_filter> program_;
  const seccomp_data& call_;
  std::uint32_t a_ = 0;
  std::uint32_t x_ = 0;
  std::array<std::uint32_t, BPF_MEMWORDS> memory_{};
};

// Actions are ordered as signed numbers, killing the process first (seccomp(2)).
std::int32_t strictness(std::uint32_t verdict) {
  return static_cast<std::int32_t>(verdict & SECCOMP_RET_ACTION_FULL);
}

}  // namespace

Result<std::uint32_t> evaluate_program(std::string_view program, const seccomp_data& call) {
  if (program.empty() || program.size() % sizeof(sock_filter) != 0 ||
      program.size() / sizeof(sock_filter) > most_instructions)
    return fail("evaluate seccomp program", "", "it has no or too many instructions");
  std::vector<sock_filter> steps(program.size() / sizeof(sock_filter));
  std::memcpy(steps.data(), program.data(), program.size());
  return Machine(std::move(steps), call).run();
}

Result<std::uint32_t> evaluate_filter(const SeccompFilter& filter, const seccomp_data& call) {
  std::uint32_t verdict = SECCOMP_RET_ALLOW;
  for (auto program = filter.programs.rbegin(); program != filter.programs.rend(); ++program) {
    GYGES_TRY(std::uint32_t one, evaluate_program(*program, call));
    if (strictness(one) < strictness(verdict)) verdict = one;
  }
  return verdict;
}

seccomp_data x86_64_call(int number, const std::vector<std::uint64_t>& arguments) {
  seccomp_data call{};
  call.nr = number;
  call.arch = AUDIT_ARCH_X86_64;
  for (std::size_t i = 0; i < arguments.size() && i < 6; ++i) call.args[i] = arguments[i];
  return call;
}

}  // namespace gyges::isolation
