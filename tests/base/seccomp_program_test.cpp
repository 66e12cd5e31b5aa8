// The evaluator beside the kernel: the same program, the same call, the same answer.
#include "base/seccomp_program.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string>
#include <vector>

namespace gyges {
namespace {

using Program = std::vector<sock_filter>;

std::string bytes_of(const Program& program) {
  return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

seccomp_data call_of(long number, std::uint64_t argument) {
  seccomp_data call{};
  call.nr = static_cast<int>(number);
  call.arch = AUDIT_ARCH_X86_64;
  call.args[0] = argument;
  return call;
}

// What the kernel answers getpriority(argument, 0) with: the errno, or 0.
int answer_of_kernel(const Program& program, std::uint64_t argument) {
  const pid_t child = fork();
  if (child == 0) {
    const sock_fprog given = {static_cast<unsigned short>(program.size()),
                              const_cast<sock_filter*>(program.data())};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &given) != 0) _exit(255);
    errno = 0;
    syscall(SYS_getpriority, argument, 0);
    _exit(errno);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

// errno = f(argument) for getpriority; everything else is allowed. `body` works on A = argument.
Program answering(const Program& body) {
  const auto length = static_cast<std::uint8_t>(body.size() + 3);
  Program program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getpriority, 0, length),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
  };
  program.insert(program.end(), body.begin(), body.end());
  program.push_back(BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO));
  program.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return program;
}

TEST(SeccompProgram, AnswersAsTheKernelDoes) {
  const std::vector<Program> bodies = {
      {BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x7f)},
      {BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3)},
      {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 3)},
      {BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 1)},
      {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2)},
      {BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 1)},
      {BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x3f)},
      {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0)},
      {BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0)},
      {BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0)},
      {BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_IMM, 9), BPF_STMT(BPF_LDX | BPF_MEM, 3),
       BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0)},
      {BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 20, 0, 1), BPF_STMT(BPF_LD | BPF_IMM, 7)},
  };
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    const Program program = answering(bodies[i]);
    for (const std::uint64_t argument : {1U, 7U, 21U, 30U}) {
      const auto ours = run_seccomp_program(bytes_of(program), call_of(SYS_getpriority, argument));
      ASSERT_TRUE(ours) << ours.error().line();
      EXPECT_EQ(ours->action & SECCOMP_RET_ACTION_FULL, std::uint32_t{SECCOMP_RET_ERRNO});
      EXPECT_EQ(static_cast<int>(ours->action & SECCOMP_RET_DATA),
                answer_of_kernel(program, argument))
          << "body " << i << ", argument " << argument;
      EXPECT_FALSE(ours->by_number);
    }
    const auto other = run_seccomp_program(bytes_of(program), call_of(SYS_getpid, 1));
    ASSERT_TRUE(other);
    EXPECT_EQ(other->action, std::uint32_t{SECCOMP_RET_ALLOW});
    EXPECT_TRUE(other->by_number);
  }
}

TEST(SeccompProgram, RefusesWhatTheKernelWouldNotLoad) {
  const seccomp_data call = call_of(SYS_getpid, 0);
  EXPECT_FALSE(run_seccomp_program("", call));
  EXPECT_FALSE(run_seccomp_program("1234567", call));
  for (const Program& program : {
           Program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET | BPF_A, 0)},
           Program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_A, 0)},
           Program{BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_STMT(BPF_RET | BPF_A, 0)},
           Program{BPF_STMT(BPF_LD | BPF_IMM, 0)},
           Program{BPF_JUMP(BPF_JMP | BPF_JA, 0xffffffff, 0, 0), BPF_STMT(BPF_RET | BPF_A, 0)},
       })
    EXPECT_FALSE(run_seccomp_program(bytes_of(program), call));
  EXPECT_FALSE(run_seccomp_program(std::string(4097 * sizeof(sock_filter), '\0'), call));
}

TEST(SeccompProgram, TheStricterVerdictHolds) {
  const ProgramVerdict allow{SECCOMP_RET_ALLOW, true};
  const ProgramVerdict one{SECCOMP_RET_ERRNO | 1, true};
  const ProgramVerdict two{SECCOMP_RET_ERRNO | 2, false};
  const ProgramVerdict kill{SECCOMP_RET_KILL_PROCESS, true};
  EXPECT_EQ(stricter(allow, one).action, one.action);
  EXPECT_EQ(stricter(one, allow).action, one.action);
  EXPECT_EQ(stricter(one, two).action, one.action);
  EXPECT_EQ(stricter(two, one).action, two.action);
  EXPECT_EQ(stricter(one, kill).action, kill.action);
  EXPECT_TRUE(stricter(allow, one).by_number);
  EXPECT_FALSE(stricter(one, two).by_number);
}

}  // namespace
}  // namespace gyges
