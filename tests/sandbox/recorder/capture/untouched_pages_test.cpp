// Arguments in pages that nobody has touched, of calls for which the kernel did not touch them either.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <string>

#include "capture_fixture.h"
#include "sandbox/recorder/format/event_text.h"

namespace gyges::recorder {
namespace {

class UntouchedPages : public CaptureTest {};
INSTANTIATE_TEST_SUITE_P(Backends, UntouchedPages, both_backends, backend_of_test);

constexpr std::size_t page = 4096;

// `bytes` in fresh pages of a file, `offset` bytes into them.
char* untouched(const std::string& bytes, std::size_t offset = 0) {
  const int file = memfd_create("untouched", 0);
  static_cast<void>(ftruncate(file, 3 * page));
  static_cast<void>(pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset)));
  void* memory = mmap(nullptr, 3 * page, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  return static_cast<char*>(memory) + offset;
}

void answer(long number, std::uint32_t action) {
  sock_filter steps[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, steps};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

std::string text_of_only(const Recording& result, std::string_view name) {
  const auto calls = result.calls(name);
  return calls.size() == 1 ? text_of(*calls[0]) : std::to_string(calls.size()) + " calls";
}

constexpr std::uint32_t no_permission = SECCOMP_RET_ERRNO | EPERM;

TEST_P(UntouchedPages, PathOfARefusedCall) {
  const Recording result = run([] {
    char* const path = untouched("/srv/never-touched");
    answer(SYS_unlink, no_permission);
    return syscall(SYS_unlink, path) == -1 ? 0 : 1;
  });
  ASSERT_EQ(result.status, 0);
  EXPECT_EQ(text_of_only(result, "unlink"),
            "unlink(\"/srv/never-touched\") = -1 EPERM (Operation not permitted) [refused by "
            "filter]");
}

TEST_P(UntouchedPages, PathOverTwoPages) {
  const std::string name = "/srv/" + std::string(100, 'x');
  const Recording result = run([&] {
    char* const path = untouched(name, page - 10);
    answer(SYS_unlink, no_permission);
    return syscall(SYS_unlink, path) == -1 ? 0 : 1;
  });
  ASSERT_EQ(result.calls("unlink").size(), 1U);
  EXPECT_EQ(result.calls("unlink")[0]->capture(CaptureKind::path, 0), name);
}

TEST_P(UntouchedPages, RelativePathWithItsDirectory) {
  const Recording result = run([] {
    if (chdir("/usr") != 0) return 1;
    char* const path = untouched("share/x");
    answer(SYS_unlink, no_permission);
    return syscall(SYS_unlink, path) == -1 ? 0 : 1;
  });
  ASSERT_EQ(result.calls("unlink").size(), 1U);
  EXPECT_EQ(result.calls("unlink")[0]->capture(CaptureKind::absolute_path, 0), "/usr/share/x");
}

TEST_P(UntouchedPages, AddressOfARefusedConnect) {
  const Recording result = run([] {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(443);
    to.sin_addr.s_addr = htonl(0xC0000207);  // 192.0.2.7
    char* const address = untouched({reinterpret_cast<const char*>(&to), sizeof(to)});
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    answer(SYS_connect, no_permission);
    return syscall(SYS_connect, socket, address, sizeof(to)) == -1 ? 0 : 1;
  });
  ASSERT_EQ(result.status, 0);
  EXPECT_NE(text_of_only(result, "connect").find("sin_addr=inet_addr(\"192.0.2.7\")"),
            std::string::npos)
      << text_of_only(result, "connect");
}

TEST_P(UntouchedPages, ArgumentsOfARefusedExec) {
  const Recording result = run([] {
    char* const path = untouched("/bin/never");
    char* argv[] = {untouched("one"), untouched("two"), nullptr};
    answer(SYS_execve, no_permission);
    return syscall(SYS_execve, path, argv, nullptr) == -1 ? 0 : 1;
  });
  ASSERT_EQ(result.status, 0);
  EXPECT_EQ(text_of_only(result, "execve"),
            "execve(\"/bin/never\", [\"one\", \"two\"], NULL) = -1 EPERM (Operation not "
            "permitted) [refused by filter]");
}

TEST_P(UntouchedPages, PathOfACallThatKilled) {
  const Recording result = run([] {
    char* const path = untouched("/srv/deadly");
    if (fork() == 0) {
      answer(SYS_unlink, SECCOMP_RET_KILL_PROCESS);
      syscall(SYS_unlink, path);
    }
    wait(nullptr);
    return 0;
  });
  EXPECT_EQ(text_of_only(result, "unlink"),
            "unlink(\"/srv/deadly\") = ? [killed at this call]");
}

TEST_P(UntouchedPages, PathOfACallThatWasTrapped) {
  const Recording result = run([] {
    char* const path = untouched("/srv/trapped");
    signal(SIGSYS, [](int) {});
    answer(SYS_unlink, SECCOMP_RET_TRAP);
    syscall(SYS_unlink, path);
    return 0;
  });
  EXPECT_TRUE(text_of_only(result, "unlink").starts_with("unlink(\"/srv/trapped\") = "))
      << text_of_only(result, "unlink");
}

TEST_P(UntouchedPages, BytesOfACallThatFailedEarly) {
  const Recording result = run([] {
    char* const bytes = untouched("for nobody");
    return write(-1, bytes, 10) == -1 && close(-7) == -1 ? 0 : 1;
  });
  ASSERT_EQ(result.status, 0);
  EXPECT_EQ(text_of_only(result, "write"),
            "write(-1, \"for nobody\", 10) = -1 EBADF (Bad file descriptor)");
  // Calls keep their order: what waits for its argument is in the trace before the next one.
  std::vector<std::uint64_t> times;
  for (const KeptEvent& kept : result.events)
    if (kept.event.kind == EventKind::syscall && kept.event.tid == result.pid)
      times.push_back(kept.event.time_ns);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
}

// A structure of an older program is shorter than ours: behind it there may be no memory.
TEST_P(UntouchedPages, ShortStructuresAtTheEndOfMemory) {
  const Recording result = run([] {
    auto* const memory = static_cast<char*>(mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE,
                                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    munmap(memory + page, page);
    auto* const attributes = reinterpret_cast<std::uint32_t*>(memory + page - 48);
    attributes[0] = 48;
    if (syscall(SYS_sched_setattr, 0, attributes, 0) != 0) return 1;
    auto* const set = reinterpret_cast<std::uint64_t*>(memory + page - 8);
    *set = 1;
    timeval none{};
    syscall(SYS_select, 1, set, nullptr, nullptr, &none);
    return 0;
  });
  ASSERT_EQ(result.status, 0);
  const KeptEvent& attributes = *result.calls("sched_setattr").at(0);
  EXPECT_EQ(attributes.capture(CaptureKind::structure_in, 1).size(), 48U) << text_of(attributes);
  const KeptEvent& select = *result.calls("select").at(0);
  EXPECT_EQ(select.capture(CaptureKind::structure_in, 1), std::string("\1\0\0\0\0\0\0\0", 8))
      << text_of(select);
}

// Nothing is there to be read, and no page is asked for a second time.
TEST_P(UntouchedPages, PointersToNowhere) {
  const Recording result = run([] {
    answer(SYS_unlink, no_permission);
    for (int i = 0; i < 1000; ++i) syscall(SYS_unlink, reinterpret_cast<char*>(16));
    char* argv[] = {reinterpret_cast<char*>(16), nullptr};
    execve("/nowhere/at/all", argv, nullptr);
    return 0;
  });
  ASSERT_EQ(result.status, 0);
  ASSERT_EQ(result.calls("unlink").size(), 1000U);
  for (const KeptEvent* call : result.calls("unlink"))
    EXPECT_EQ(text_of(*call),
              "unlink(0x10) = -1 EPERM (Operation not permitted) [refused by filter]");
  EXPECT_EQ(result.calls("execve").back()->capture(CaptureKind::path, 0), "/nowhere/at/all");
}

}  // namespace
}  // namespace gyges::recorder
