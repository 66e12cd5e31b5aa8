#include "base/seccomp_program.h"

#include <linux/filter.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <string>

namespace gyges {
namespace {

constexpr std::size_t most_instructions = 4096;  // BPF_MAXINSNS

tl::unexpected<Error> bad(std::size_t at, std::string_view reason) {
  return fail("run seccomp program", "instruction " + std::to_string(at), reason);
}

class Machine {
 public:
  Machine(std::string_view program, const seccomp_data& call) : program_(program), call_(call) {}

  // Jumps only go forward, so every program ends.
  Result<ProgramVerdict> run() {
    const std::size_t length = program_.size() / sizeof(sock_filter);
    for (std::size_t at = 0; at < length; ++at) {
      sock_filter step;
      std::memcpy(&step, program_.data() + at * sizeof(step), sizeof(step));
      switch (BPF_CLASS(step.code)) {
        case BPF_RET:
          return ProgramVerdict{BPF_RVAL(step.code) == BPF_A ? a_ : step.k, by_number_};
        case BPF_JMP:
          at += jump(step);
          break;
        default:
          // A division by zero ends a program with 0, which kills the thread.
          if (divides_by_zero(step)) return ProgramVerdict{SECCOMP_RET_KILL_THREAD, by_number_};
          if (!execute(step)) return bad(at, "is none that seccomp allows");
      }
    }
    return bad(length, "the program runs past its end");
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

  [[nodiscard]] bool divides_by_zero(const sock_filter& step) const {
    return step.code == (BPF_ALU | BPF_DIV | BPF_X) && x_ == 0;
  }

  // The word of seccomp_data at an offset, which is all that a seccomp program may load.
  bool load(std::uint32_t offset, std::uint32_t& into) {
    if (offset >= offsetof(seccomp_data, instruction_pointer)) by_number_ = false;
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
      case BPF_LD | BPF_W | BPF_LEN:
        a_ = sizeof(seccomp_data);
        return true;
      case BPF_LDX | BPF_W | BPF_LEN:
        x_ = sizeof(seccomp_data);
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
      case BPF_MUL:
        a_ *= other;
        return true;
      case BPF_DIV:
        if (other == 0) return false;
        a_ /= other;
        return true;
      case BPF_NEG:
        a_ = -a_;
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

  std::string_view program_;
  const seccomp_data& call_;
  std::uint32_t a_ = 0;
  std::uint32_t x_ = 0;
  bool by_number_ = true;
  std::array<std::uint32_t, BPF_MEMWORDS> memory_{};
};

// Actions are ordered as signed numbers, killing the process first (seccomp(2)).
std::int32_t strictness(const ProgramVerdict& verdict) {
  return static_cast<std::int32_t>(verdict.action & SECCOMP_RET_ACTION_FULL);
}

}  // namespace

Result<ProgramVerdict> run_seccomp_program(std::string_view program, const seccomp_data& call) {
  if (program.empty() || program.size() % sizeof(sock_filter) != 0 ||
      program.size() / sizeof(sock_filter) > most_instructions)
    return fail("run seccomp program", "", "it has no or too many instructions");
  return Machine(program, call).run();
}

ProgramVerdict stricter(const ProgramVerdict& later, const ProgramVerdict& earlier) {
  const std::uint32_t action =
      strictness(earlier) < strictness(later) ? earlier.action : later.action;
  return {action, later.by_number && earlier.by_number};
}

}  // namespace gyges
