#include "base/fd_message.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

namespace gyges {
namespace {

std::string text_of(const FdMessage& message, const std::array<char, 64>& room) {
  return message.size < 0 ? "error" : std::string(room.data(), static_cast<size_t>(message.size));
}

bool same_file(int one, int other) {
  struct stat first {};
  struct stat second {};
  return ::fstat(one, &first) == 0 && ::fstat(other, &second) == 0 &&
         first.st_ino == second.st_ino && first.st_dev == second.st_dev;
}

TEST(FdMessage, DescriptorsArriveInTheirOrderAndCloseOnExec) {
  auto pair = make_socket_pair(SOCK_SEQPACKET);
  auto pipe = make_pipe();
  ASSERT_TRUE(pair && pipe);
  const std::array<int, 2> sent{pipe->write.get(), pipe->read.get()};
  ASSERT_EQ(send_with_fds(pair->write.get(), "two", sent), 0);
  ASSERT_EQ(send_with_fds(pair->write.get(), "none", {}), 0);
  std::array<char, 64> room{};
  FdMessage two = receive_with_fds(pair->read.get(), room);
  EXPECT_EQ(text_of(two, room), "two");
  ASSERT_EQ(two.fds.size(), 2U);
  EXPECT_EQ(::fcntl(two.fds[0].get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(two.fds[0].get(), F_GETFL) & O_ACCMODE, O_WRONLY);
  EXPECT_EQ(::fcntl(two.fds[1].get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_TRUE(same_file(two.fds[0].get(), pipe->write.get()));
  FdMessage none = receive_with_fds(pair->read.get(), room);
  EXPECT_EQ(text_of(none, room), "none");
  EXPECT_TRUE(none.fds.empty());
  pair->write.reset();
  EXPECT_EQ(receive_with_fds(pair->read.get(), room).size, 0);
  EXPECT_EQ(receive_with_fds(-1, room).size, -1);
}

TEST(FdMessage, TakesAsManyAsTheKernelAndNoMore) {
  auto pair = make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  std::vector<int> many(most_fds_in_message, pair->read.get());
  ASSERT_EQ(send_with_fds(pair->write.get(), "m", many), 0);
  std::array<char, 64> room{};
  EXPECT_EQ(receive_with_fds(pair->read.get(), room).fds.size(), most_fds_in_message);
  many.push_back(pair->read.get());
  errno = 0;
  EXPECT_EQ(send_with_fds(pair->write.get(), "m", many), -1);
  EXPECT_EQ(errno, EINVAL);
}

TEST(FdMessage, FewerComeWhereNoMoreMayBeOpen) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto pair = make_socket_pair(SOCK_SEQPACKET);
    const std::vector<int> many(16, pair->read.get());
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = static_cast<rlim_t>(pair->write.get()) + 5;
    std::array<char, 64> room{};
    std::size_t places = 0;
    for (int fd = 0; fd < static_cast<int>(limit.rlim_cur); ++fd)
      if (::fcntl(fd, F_GETFD) < 0) ++places;
    const bool sent =
        send_with_fds(pair->write.get(), "m", many) == 0 && ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
    const FdMessage taken = receive_with_fds(pair->read.get(), room);
    const bool fewer = places > 0 && places < many.size();
    ::_exit(sent && fewer && taken.size == 1 && taken.fds.size() == places ? 0 : 1);
  }
  int end = 0;
  ASSERT_EQ(::waitpid(child, &end, 0), child);
  EXPECT_TRUE(WIFEXITED(end));
  EXPECT_EQ(WEXITSTATUS(end), 0);
}

}  // namespace
}  // namespace gyges
