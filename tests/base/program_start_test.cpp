#include "base/program_start.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace gyges {
namespace {

UniqueFd open_program(const char* path) {
  return UniqueFd(::open(path, O_RDONLY | O_CLOEXEC));
}

int end_of(pid_t pid) {
  int status = -1;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return status;
}

TEST(StartedProgram, HasItsDescriptorsAndNoOthers) {
  UniqueFd shell = open_program("/bin/sh");
  UniqueFd leak(::dup(shell.get()));  // not close-on-exec
  auto first = make_pipe();
  auto second = make_pipe();
  ASSERT_TRUE(shell && leak && first && second);
  auto started = StartedProgram::start(
      {shell.get(),
       {"sh", "-c", "echo one >&3; echo two >&5; echo /proc/self/fd/*; ls /proc/self/fd >&5"},
       {first->write.get(), -1, second->write.get()},
       SIGCHLD});
  ASSERT_TRUE(started) << started.error().line();
  // Closing ours at once takes nothing from the child.
  first->write.reset();
  second->write.reset();
  auto executed = started->executed("sh");
  ASSERT_TRUE(executed) << executed.error().line();
  EXPECT_EQ(read_all(first->read.get(), 1000).value(), "one\n");
  EXPECT_EQ(read_all(second->read.get(), 1000).value(), "two\n0\n1\n2\n3\n4\n5\n")
      << "4 is the directory that ls lists";
  EXPECT_EQ(end_of(started->pid()), 0);
}

TEST(StartedProgram, DescriptorsMayStandInEachOthersPlace) {
  UniqueFd shell = open_program("/bin/sh");
  auto first = make_pipe();
  auto second = make_pipe();
  ASSERT_TRUE(shell && first && second);
  // Swapped, in the very numbers that they get, where those are free for the test.
  UniqueFd at_three;
  UniqueFd at_four;
  if (::fcntl(3, F_GETFD) < 0 || ::fcntl(4, F_GETFD) < 0) {
    at_three.reset(::fcntl(second->write.get(), F_DUPFD_CLOEXEC, 3));
    at_four.reset(::fcntl(first->write.get(), F_DUPFD_CLOEXEC, 4));
  }
  auto started = StartedProgram::start({shell.get(),
                                        {"sh", "-c", "echo one >&3; echo two >&4"},
                                        {at_four ? at_four.get() : first->write.get(),
                                         at_three ? at_three.get() : second->write.get()},
                                        SIGCHLD});
  ASSERT_TRUE(started);
  for (UniqueFd* ours : {&first->write, &second->write, &at_three, &at_four}) ours->reset();
  EXPECT_EQ(read_all(first->read.get(), 1000).value(), "one\n");
  EXPECT_EQ(read_all(second->read.get(), 1000).value(), "two\n");
  EXPECT_EQ(end_of(started->pid()), 0);
}

TEST(StartedProgram, SaysWhyItCouldNotBeExecuted) {
  UniqueFd no_program(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto started = StartedProgram::start({no_program.get(), {"nothing"}, {}, SIGCHLD});
  ASSERT_TRUE(started);
  auto executed = started->executed("nothing");
  ASSERT_FALSE(executed);
  EXPECT_EQ(executed.error().code, EACCES);
  EXPECT_EQ(executed.error().step, "execute");
  EXPECT_EQ(WEXITSTATUS(end_of(started->pid())), 127);
}

TEST(StartedProgram, MayBeForgottenAtOnce) {
  UniqueFd program = open_program("/bin/true");
  for (int round = 0; round < 200; ++round) {
    pid_t pid = -1;
    {
      auto started = StartedProgram::start({program.get(), {"true"}, {}, SIGCHLD});
      ASSERT_TRUE(started);
      pid = started->pid();
    }
    EXPECT_EQ(end_of(pid), 0);
  }
}

// Its copy of the object must not wait for a child that is not its own.
TEST(StartedProgram, IsNoBurdenToAForkedProcess) {
  UniqueFd program = open_program("/bin/true");
  for (int round = 0; round < 50; ++round) {
    auto started = StartedProgram::start({program.get(), {"true"}, {}, SIGCHLD});
    ASSERT_TRUE(started);
    pid_t fork = ::fork();
    if (fork == 0) {
      ::alarm(10);
      *started = StartedProgram();
      ::_exit(0);
    }
    EXPECT_EQ(end_of(fork), 0);
    EXPECT_EQ(end_of(started->pid()), 0);
  }
}

}  // namespace
}  // namespace gyges
