// Arguments that another one decides: both backends record what they point to, and show it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <csignal>

#include "capture_fixture.h"
#include "sandbox/recorder/capture/capture_plan.h"
#include "sandbox/recorder/format/argument_choices.h"

namespace gyges::recorder {
namespace {

class DecidedArguments : public CaptureTest {
 protected:
  // The last call of that name.
  static std::string last(const Recording& recording, std::string_view name) {
    const auto calls = recording.calls(name);
    return calls.empty() ? "no " + std::string(name) : text_of(*calls.back());
  }
};
std::string fcntl_of(const KeptEvent& call) {
  return "fcntl(" + std::to_string(call.event.args[0]);
}

INSTANTIATE_TEST_SUITE_P(Backends, DecidedArguments, both_backends, backend_of_test);

// The length of a message does not count its type, which comes first.
TEST_P(DecidedArguments, MessagesOfQueues) {
  const Recording result = run([] {
    struct {
      long type = 6;
      char text[8] = "secret7";
    } message;
    const int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    const bool good = msgsnd(queue, &message, 7, IPC_NOWAIT) == 0 &&
                      msgrcv(queue, &message, 8, 0, IPC_NOWAIT) == 7 &&
                      msgctl(queue, IPC_RMID, nullptr) == 0;
    return good ? 0 : 1;
  });
  ASSERT_EQ(result.status, 0);
  EXPECT_THAT(last(result, "msgsnd"), ::testing::HasSubstr(R"({6, "secret7"}, 7)"));
  EXPECT_THAT(last(result, "msgrcv"), ::testing::HasSubstr(R"({6, "secret7"}, 8)"));
}

TEST_P(DecidedArguments, Fcntl) {
  const Recording result = run([] {
    const int file = memfd_create("locked", MFD_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_start = 5;
    lock.l_len = 7;
    return fcntl(file, F_SETLK, &lock) == 0 && fcntl(file, F_GETLK, &lock) == 0 ? 0 : 1;
  });
  const auto calls = result.calls("fcntl");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(text_of(*calls[0]),
            fcntl_of(*calls[0]) +
                ", F_SETLK, {l_type=F_WRLCK, l_whence=SEEK_SET, l_start=5, l_len=7, "
                "l_pid=0}) = 0");
  // Passed and filled: what the kernel left is shown.
  EXPECT_EQ(text_of(*calls[1]),
            fcntl_of(*calls[1]) +
                ", F_GETLK, {l_type=F_UNLCK, l_whence=SEEK_SET, l_start=5, l_len=7, "
                "l_pid=0}) = 0");
  EXPECT_EQ(calls[1]->capture(CaptureKind::structure_in).size(), 32U);
  EXPECT_EQ(calls[1]->capture(CaptureKind::structure_out).size(), 32U);
}

// What is no pointer for one value is none, whatever it is for others.
TEST_P(DecidedArguments, NumbersAreNotFollowed) {
  const Recording result = run([] {
    static int readable = 1;
    const auto address = reinterpret_cast<unsigned long>(&readable);
    syscall(SYS_fcntl, 3, F_SETFD, address);
    syscall(SYS_ioctl, 3, TCSBRK, address);
    syscall(SYS_ioctl, 3, 0x40049409 /* FICLONE */, address);
    syscall(SYS_prctl, PR_SET_TIMERSLACK, address);
    return 0;
  });
  for (const char* name : {"fcntl", "ioctl", "prctl"})
    for (const KeptEvent* call : result.calls(name))
      EXPECT_TRUE(call->captures.empty()) << text_of(*call);
  EXPECT_EQ(result.calls("ioctl").size(), 2U);
}

TEST_P(DecidedArguments, TextsAndBuffers) {
  const Recording result = run([] {
    // On the stack, whose page is there: a call that fails early touches no other.
    char name[] = "renamed", type[] = "user", description[] = "gyges:none", payload[] = "payload";
    char source[] = "source", nothing[] = "nothing", data[] = "data", bytes[] = "\1\2\3";
    char value[8] = {};
    syscall(SYS_prctl, PR_SET_NAME, name);
    syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, type, description, 0);
    syscall(SYS_fsconfig, -1, FSCONFIG_SET_STRING, source, nothing, 0);
    syscall(SYS_fsconfig, -1, FSCONFIG_SET_BINARY, data, bytes, 3);
    syscall(SYS_keyctl, KEYCTL_UPDATE, 0, payload, 4, 0);
    syscall(SYS_keyctl, KEYCTL_READ, 0, value, sizeof(value));
    return 0;
  });
  EXPECT_EQ(last(result, "prctl"), "prctl(PR_SET_NAME, \"renamed\") = 0");
  const auto keys = result.calls("keyctl");
  ASSERT_EQ(keys.size(), 3U);
  EXPECT_TRUE(
      text_of(*keys[0]).starts_with("keyctl(KEYCTL_SEARCH, -4, \"user\", \"gyges:none\", 0) = -1"))
      << text_of(*keys[0]);
  EXPECT_TRUE(text_of(*keys[1]).starts_with("keyctl(KEYCTL_UPDATE, 0, \"payl\", 4) = -1"))
      << text_of(*keys[1]);
  const auto configurations = result.calls("fsconfig");
  ASSERT_EQ(configurations.size(), 2U);
  EXPECT_TRUE(
      text_of(*configurations[0])
          .starts_with("fsconfig(-1, FSCONFIG_SET_STRING, \"source\", \"nothing\", 0) = -1"))
      << text_of(*configurations[0]);
  EXPECT_TRUE(
      text_of(*configurations[1])
          .starts_with("fsconfig(-1, FSCONFIG_SET_BINARY, \"data\", \"\\x01\\x02\\x03\", 3)"))
      << text_of(*configurations[1]);
}

TEST_P(DecidedArguments, Structures) {
  const Recording result = run([] {
    const int set = semget(IPC_PRIVATE, 2, 0600);
    semid_ds about{};
    semctl(set, 0, IPC_STAT, &about);
    semctl(set, 0, IPC_RMID);
    iovec registers{&about, 16};
    syscall(SYS_ptrace, PTRACE_GETREGSET, 0, 1, &registers);
    syscall(SYS_ptrace, PTRACE_SETOPTIONS, 0, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    char bytes[4] = {};
    iovec remote{const_cast<char*>("abcd"), 4};
    iovec local{bytes, 4};
    syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0);
    return 0;
  });
  const auto controls = result.calls("semctl");
  ASSERT_EQ(controls.size(), 2U);
  EXPECT_NE(text_of(*controls[0]).find(", mode=0600, key=0, "), std::string::npos)
      << text_of(*controls[0]);
  EXPECT_NE(text_of(*controls[0]).find(", sem_nsems=2}) = 0"), std::string::npos)
      << text_of(*controls[0]);
  const auto traces = result.calls("ptrace");
  ASSERT_EQ(traces.size(), 2U);
  EXPECT_NE(text_of(*traces[0]).find("PTRACE_GETREGSET, 0, NT_PRSTATUS, {iov_base=0x"),
            std::string::npos)
      << text_of(*traces[0]);
  EXPECT_NE(text_of(*traces[1]).find("NULL, PTRACE_O_TRACESYSGOOD|PTRACE_O_EXITKILL)"),
            std::string::npos)
      << text_of(*traces[1]);
  EXPECT_NE(last(result, "process_vm_readv").find("[\"abcd\"], 1, [{iov_base=0x"),
            std::string::npos)
      << last(result, "process_vm_readv");
}

// In memory that was never touched, and in a call that a filter refuses: recorded all the same.
TEST_P(DecidedArguments, AbsentAndRefused) {
  const Recording result = run([] {
    const int file = memfd_create("page", MFD_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_RDLCK;
    lock.l_start = 1;
    lock.l_len = 2;
    if (ftruncate(file, 4096) != 0 || pwrite(file, &lock, sizeof(lock), 0) != sizeof(lock))
      return 1;
    void* page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    fcntl(file, F_OFD_SETLK, page);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SYS_fcntl, 0) != 0) return 2;
    if (seccomp_load(filter) != 0) return 3;
    fcntl(file, F_SETLKW, &lock);
    fcntl(file, F_SETLKW, nullptr);
    syscall(SYS_fcntl, file, F_SETLKW, 16);
    return 0;
  });
  const auto calls = result.calls("fcntl");
  ASSERT_EQ(calls.size(), 4U);
  const std::string lock = "{l_type=F_RDLCK, l_whence=SEEK_SET, l_start=1, l_len=2, l_pid=0}) = ";
  EXPECT_EQ(text_of(*calls[0]), fcntl_of(*calls[0]) + ", F_OFD_SETLK, " + lock + "0");
  ASSERT_FALSE(calls[0]->captures.empty());
  if (bpf()) {
    EXPECT_EQ(calls[0]->captures[0].provenance, Provenance::exit_retry);
  }
  EXPECT_EQ(calls[1]->event.verdict, Verdict::refused);
  EXPECT_NE(text_of(*calls[1]).find("F_SETLKW, " + lock), std::string::npos) << text_of(*calls[1]);
  EXPECT_TRUE(calls[2]->captures.empty());
  ASSERT_EQ(calls[3]->captures.size(), 1U);
  EXPECT_EQ(calls[3]->captures[0].kind, CaptureKind::structure_in);
  EXPECT_EQ(calls[3]->captures[0].provenance, Provenance::missing);
}

// Each value of each choice is in the kernel side's table, and nothing else is.
TEST(CaptureCases, AreThoseOfTheTable) {
  const CaptureCases& cases = capture_cases();
  std::size_t values = 0;
  std::uint32_t number = 0;
  for (const Abi abi : {Abi::x86_64, Abi::i386})
    for (const ArgumentChoice& choice : argument_choices(abi)) {
      ASSERT_LT(++number, static_cast<std::uint32_t>(wire::plan_choices));
      values += choice.kinds.size();
      for (const auto& [value, kind] : choice.kinds) {
        const wire::plan_argument* found = cases.find(number, value);
        ASSERT_NE(found, nullptr) << choice.name << " " << value;
        const bool structure = kind.kind == ArgumentKind::structure;
        EXPECT_EQ(found->operation == wire::plan_bytes,
                  structure || kind.kind == ArgumentKind::buffer)
            << choice.name << " " << value;
        if (structure) {
          EXPECT_EQ(found->unit, kind.fixed_length) << choice.name << " " << value;
        }
      }
      if (choice.mask == ~0U) {
        EXPECT_EQ(cases.find(number, 0x7fffff00U), nullptr) << choice.name;
      }
    }
  std::size_t filled = 0;
  for (const wire::plan_case& one : cases.cases) filled += one.choice != 0 ? 1 : 0;
  EXPECT_EQ(filled, values);
  EXPECT_GT(values, 100U);
}

}  // namespace
}  // namespace gyges::recorder
