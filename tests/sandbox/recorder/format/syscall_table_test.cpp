#include "sandbox/recorder/format/syscall_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/files.h"
#include "sandbox/recorder/format/flag_sets.h"
#include "sandbox/recorder/format/syscall_page.h"

namespace gyges::recorder {
namespace {

TEST(SyscallTable, DataHasNoFaults) {
  for (const std::string& fault : syscall_table_faults()) ADD_FAILURE() << fault;
  for (const std::string& fault : flag_set_faults()) ADD_FAILURE() << fault;
}

TEST(SyscallTable, NumbersAreTheKernelsOwn) {
  const std::pair<long, const char*> expected[] = {
      {SYS_read, "read"},         {SYS_openat, "openat"},         {SYS_clone3, "clone3"},
      {SYS_execve, "execve"},     {SYS_statx, "statx"},           {SYS_exit_group, "exit_group"},
      {SYS_sendmmsg, "sendmmsg"}, {SYS_pidfd_open, "pidfd_open"},
  };
  for (auto [number, name] : expected)
    EXPECT_EQ(syscall_name(Abi::x86_64, static_cast<std::uint32_t>(number)), name);
  EXPECT_EQ(syscall_name(Abi::i386, 11), "execve");
  EXPECT_EQ(syscall_name(Abi::i386, 20), "getpid");
  EXPECT_EQ(syscall_name(Abi::i386, 195), "stat64");
  EXPECT_EQ(syscall_name(Abi::x32, x32_bit + 1), "write");
}

TEST(SyscallTable, CoversEveryNumberWithoutGaps) {
  for (std::uint32_t number = 0; number <= 470; ++number) {
    if (number > 336 && number < 424) continue;
    EXPECT_NE(find_syscall(Abi::x86_64, number), nullptr) << number;
  }
  EXPECT_GE(syscalls(Abi::i386).size(), 430U);
}

// The headers of the distribution know the calls up to theirs (450 for Linux 6.1).
TEST(SyscallTable, NamesAreThoseOfTheInstalledHeaders) {
  std::ifstream header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h");
  if (!header) GTEST_SKIP() << "no kernel headers for x86-64 are installed";
  std::string define;
  std::string name;
  std::uint32_t number = 0;
  int compared = 0;
  for (std::string line; std::getline(header, line);) {
    std::istringstream words(line);
    if (!(words >> define >> name >> number) || !name.starts_with("__NR_")) continue;
    EXPECT_EQ(syscall_name(Abi::x86_64, number), name.substr(5));
    ++compared;
  }
  EXPECT_GT(compared, 330);
}

TEST(SyscallTable, ThePageOfTheDocumentationIsThatOfTheTable) {
  auto page = read_file(std::filesystem::path(GYGES_SOURCE_DIR) / "docs/syscalls.md");
  ASSERT_TRUE(page) << page.error().line();
  EXPECT_TRUE(*page == syscall_page()) << "run: gyges trace syscalls > docs/syscalls.md";
}

TEST(SyscallTable, SignaturesSayWhatIsDecoded) {
  EXPECT_EQ(syscall_signature(*find_syscall(Abi::x86_64, std::string_view("openat"))),
            "openat(dirfd: directory, pathname: path, flags: flags open, mode: mode) = fd");
  EXPECT_EQ(structures_shown_as_bytes(*find_syscall(Abi::x86_64, std::string_view("fstat"))), "");
}

TEST(SyscallTable, UnknownNumbersKeepTheirForm) {
  EXPECT_EQ(syscall_name(Abi::x86_64, 0x1ff), "syscall_0x1ff");
  EXPECT_EQ(syscall_name(Abi::i386, 0xffffffff), "syscall_0xffffffff");
  EXPECT_EQ(syscall_name(Abi::x32, x32_bit + 520), "syscall_0x40000208");
  EXPECT_EQ(find_syscall(Abi::x86_64, std::string_view("no_such_call")), nullptr);
}

TEST(SyscallTable, DescribesArguments) {
  const SyscallSpec* read = find_syscall(Abi::x86_64, std::string_view("read"));
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(read->arguments[1].kind, ArgumentKind::buffer);
  EXPECT_EQ(read->arguments[1].direction, Direction::out);
  EXPECT_EQ(read->arguments[1].length, LengthSource::result);
  const SyscallSpec* accept = find_syscall(Abi::x86_64, std::string_view("accept4"));
  EXPECT_EQ(accept->arguments[1].length, LengthSource::pointed);
  EXPECT_EQ(accept->arguments[1].length_argument, 2);
  EXPECT_TRUE(accept->returns_fd());
  const SyscallSpec* stat = find_syscall(Abi::i386, std::string_view("fstat64"));
  EXPECT_EQ(stat->arguments[1].fixed_length, 96);
  const SyscallSpec* nanosleep = find_syscall(Abi::i386, std::string_view("nanosleep"));
  EXPECT_EQ(nanosleep->arguments[0].fixed_length, 8);
  const SyscallSpec* groups = find_syscall(Abi::x86_64, std::string_view("setgroups"));
  EXPECT_EQ(groups->arguments[1].fixed_length, 4);
  EXPECT_EQ(groups->arguments[1].length_argument, 0);
  EXPECT_TRUE(find_syscall(Abi::x86_64, std::string_view("unlink"))->arguments[0].mutates);
  EXPECT_TRUE(find_syscall(Abi::x86_64, std::string_view("unlink"))->is(SyscallClass::mutation));
}

TEST(FlagSets, ValuesAreTheKernelsOwn) {
  EXPECT_EQ(flag_text("open", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC),
            "O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC");
  EXPECT_EQ(flag_text("open", O_DIRECTORY | O_NOFOLLOW | O_PATH),
            "O_RDONLY|O_DIRECTORY|O_NOFOLLOW|O_PATH");
  EXPECT_EQ(flag_text("open", 020200000 | O_RDWR), "O_RDWR|O_TMPFILE");
  EXPECT_EQ(flag_text("mmap", MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS),
            "MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS");
  EXPECT_EQ(flag_text("prot", 0), "PROT_NONE");
  EXPECT_EQ(flag_text("socktype", SOCK_STREAM | SOCK_CLOEXEC), "SOCK_STREAM|SOCK_CLOEXEC");
  EXPECT_EQ(flag_text("clone", CLONE_NEWUSER | CLONE_NEWNET | SIGCHLD),
            "SIGCHLD|CLONE_NEWUSER|CLONE_NEWNET");
  EXPECT_EQ(flag_text("fcntl", F_DUPFD_CLOEXEC), "F_DUPFD_CLOEXEC");
  EXPECT_EQ(flag_text("seek", 77), "0x4d");
  EXPECT_EQ(flag_text("at", 0), "0");
  EXPECT_EQ(flag_text("no such set", 5), "0x5");
}

TEST(FlagSets, SignalsAndErrors) {
  EXPECT_EQ(signal_name(SIGSYS), "SIGSYS");
  EXPECT_EQ(signal_name(35), "SIGRT_3");
  EXPECT_EQ(errno_name(ENOENT), "ENOENT");
  EXPECT_EQ(errno_message(ENOENT), "No such file or directory");
  EXPECT_EQ(errno_name(512), "ERESTARTSYS");
  EXPECT_EQ(errno_name(4000), "");
}

}  // namespace
}  // namespace gyges::recorder
