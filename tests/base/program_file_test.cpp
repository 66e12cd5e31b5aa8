#include "base/program_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/files.h"

namespace gyges {
namespace {

constexpr std::size_t page = 4096;
alignas(page) constexpr std::array<char, 2 * page> in_executable = {'p', 'r', 'o', 'g',
                                                                    'r', 'a', 'm'};

TEST(ProgramFile, RunsWhatItWasGiven) {
  auto program = read_file("/bin/true");
  ASSERT_TRUE(program);
  auto file = make_program_file("copied", *program);
  ASSERT_TRUE(file) << file.error().line();
  pid_t pid = ::fork();
  if (pid == 0) {
    std::array<char, 5> name{"true"};
    std::array<char*, 2> argv{name.data(), nullptr};
    std::array<char*, 1> envp{nullptr};
    ::execveat(file->get(), "", argv.data(), envp.data(), AT_EMPTY_PATH);
    ::_exit(99);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(ProgramFile, CannotBeChanged) {
  auto file = make_program_file("copied", "a program");
  ASSERT_TRUE(file);
  EXPECT_EQ(::pwrite(file->get(), "x", 1, 0), -1);
  EXPECT_EQ(::ftruncate(file->get(), 1), -1);
}

TEST(OwnExecutable, HoldsWhatIsLinkedIntoIt) {
  std::string_view bytes(in_executable.data(), in_executable.size());
  UniqueFd file = find_in_own_executable(bytes);
  ASSERT_TRUE(file);
  off_t at = ::lseek(file.get(), 0, SEEK_CUR);
  EXPECT_EQ(at % static_cast<off_t>(page), 0);
  std::string read(bytes.size(), 'x');
  ASSERT_EQ(::pread(file.get(), read.data(), read.size(), at), static_cast<ssize_t>(read.size()));
  EXPECT_EQ(read, bytes);
}

TEST(OwnExecutable, HoldsNothingElse) {
  std::string_view bytes(in_executable.data(), in_executable.size());
  EXPECT_FALSE(find_in_own_executable(bytes.substr(1))) << "not at the beginning of a page";
  std::string copy(bytes);
  EXPECT_FALSE(find_in_own_executable(copy)) << "in the heap";
  EXPECT_FALSE(find_in_own_executable({reinterpret_cast<const char*>(&::getpid), 16}))
      << "in the C library";
}

}  // namespace
}  // namespace gyges
