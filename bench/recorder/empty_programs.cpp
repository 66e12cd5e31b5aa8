#include "empty_programs.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace gyges::bench {
namespace {

int bpf_call(bpf_cmd command, bpf_attr& attributes) {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof(attributes)));
}

std::uint64_t address(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

UniqueFd attach_to(int program, const char* tracepoint) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  attributes.raw_tracepoint.name = address(tracepoint);
  attributes.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(program);
  return UniqueFd(bpf_call(BPF_RAW_TRACEPOINT_OPEN, attributes));
}

}  // namespace

std::optional<EmptyPrograms> EmptyPrograms::attach() {
  std::array<bpf_insn, 2> return_0{};
  return_0[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  return_0[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  attributes.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  attributes.insns = address(return_0.data());
  attributes.insn_cnt = return_0.size();
  attributes.license = address("Dual BSD/GPL");
  UniqueFd program(bpf_call(BPF_PROG_LOAD, attributes));
  if (!program) return std::nullopt;
  EmptyPrograms attached;
  attached.enter_ = attach_to(program.get(), "sys_enter");
  attached.exit_ = attach_to(program.get(), "sys_exit");
  if (!attached.enter_ || !attached.exit_) return std::nullopt;
  return attached;
}

}  // namespace gyges::bench
