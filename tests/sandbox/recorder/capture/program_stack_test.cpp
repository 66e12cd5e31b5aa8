// Linux 6.1 gives a BPF program and all that it calls 512 bytes of stack, each function's part
// rounded up to 32, and refuses what needs more when it is loaded. The kernel that the other tests
// run on may take more; so it is counted here.
#include <gtest/gtest.h>
#include <linux/bpf.h>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>

#include "sandbox/recorder/capture/program_image.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t stack_limit = 512;

std::size_t called_at(std::size_t at, const bpf_insn& insn) {
  return at + 1 + static_cast<std::size_t>(static_cast<std::int64_t>(insn.imm));
}

bool is_call(const bpf_insn& insn) {
  return insn.code == (BPF_JMP | BPF_CALL) && insn.src_reg == BPF_PSEUDO_CALL;
}

// The address of a function that a helper calls back.
bool is_callback(const bpf_insn& insn) {
  return insn.code == (BPF_LD | BPF_IMM | BPF_DW) && insn.src_reg == BPF_PSEUDO_FUNC;
}

class Stack {
 public:
  explicit Stack(const std::vector<bpf_insn>& code) : code_(code) {
    starts_.insert(0);
    for (std::size_t at = 0; at < code.size(); ++at)
      if (is_call(code[at]) || is_callback(code[at])) starts_.insert(called_at(at, code[at]));
  }

  // Of the function that begins at `start` and the deepest of what it calls.
  std::size_t deepest(std::size_t start) {
    if (const auto known = deepest_.find(start); known != deepest_.end()) return known->second;
    const auto next = starts_.upper_bound(start);
    const std::size_t end = next == starts_.end() ? code_.size() : *next;
    std::size_t own = 1;
    std::size_t below = 0;
    std::set<unsigned> frame_pointers;  // registers that hold a copy of it
    for (std::size_t at = start; at < end; ++at) {
      const bpf_insn& insn = code_[at];
      own = std::max(own, reach(insn, frame_pointers));
      if (is_call(insn) || is_callback(insn)) below = std::max(below, deepest(called_at(at, insn)));
    }
    return deepest_[start] = (own + 31) / 32 * 32 + below;
  }

 private:
  // How far below the frame pointer an instruction reaches.
  static std::size_t reach(const bpf_insn& insn, std::set<unsigned>& copies) {
    const unsigned kind = BPF_CLASS(insn.code);
    const bool stores = kind == BPF_ST || kind == BPF_STX;
    const unsigned base = stores ? insn.dst_reg : insn.src_reg;
    if ((stores || kind == BPF_LDX) && base == BPF_REG_10 && insn.off < 0)
      return static_cast<std::size_t>(-insn.off);
    if (insn.code == (BPF_ALU64 | BPF_MOV | BPF_X) && insn.src_reg == BPF_REG_10) {
      copies.insert(insn.dst_reg);
    } else if (insn.code == (BPF_ALU64 | BPF_ADD | BPF_K) && copies.erase(insn.dst_reg) > 0) {
      return insn.imm < 0 ? static_cast<std::size_t>(-static_cast<std::int64_t>(insn.imm)) : 0;
    } else if (kind == BPF_ALU64 || kind == BPF_LDX) {
      copies.erase(insn.dst_reg);
    }
    return 0;
  }

  const std::vector<bpf_insn>& code_;
  std::set<std::size_t> starts_;
  std::map<std::size_t, std::size_t> deepest_;
};

TEST(ProgramStack, IsEnoughForOlderKernels) {
  if (::geteuid() != 0) GTEST_SKIP() << "programs are relocated as root";
  const auto image = relocate_programs();
  ASSERT_TRUE(image) << image.error().line();
  std::size_t seen = 0;
  for (const ProgramCode& program : image->programs) {
    const std::size_t depth = Stack(program.code).deepest(0);
    seen = std::max(seen, depth);
    // sc_exit is for kernels with task work, from 6.18 on.
    if (program.name != "sc_exit") {
      EXPECT_LE(depth, stack_limit) << program.name;
    }
  }
  EXPECT_GT(seen, stack_limit / 2) << "the count sees too little";
}

}  // namespace
}  // namespace gyges::recorder
