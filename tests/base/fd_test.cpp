#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <thread>

namespace gyges {
namespace {

TEST(WriteAll, WaitsForAReaderThatIsSlower) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  ASSERT_EQ(::fcntl(pipe->write.get(), F_SETFL, O_NONBLOCK), 0);
  // Larger than any pipe, so that the write meets a full one.
  std::string bytes(4U << 20U, 'x');
  std::string read;
  std::thread reader([&] {
    ::usleep(20000);
    auto all = read_all(pipe->read.get(), bytes.size() + 1);
    if (all) read = *all;
  });
  auto written = write_all(pipe->write.get(), bytes);
  pipe->write.reset();
  reader.join();
  EXPECT_TRUE(written) << written.error().line();
  EXPECT_EQ(read.size(), bytes.size());
}

TEST(WriteAll, ReportsAReaderThatIsGone) {
  ::signal(SIGPIPE, SIG_IGN);
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  pipe->read.reset();
  EXPECT_FALSE(write_all(pipe->write.get(), "x"));
}

TEST(ReadAll, LimitIsAnError) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  ASSERT_TRUE(write_all(pipe->write.get(), "12345"));
  pipe->write.reset();
  EXPECT_FALSE(read_all(pipe->read.get(), 4));
}

TEST(SealedMemfd, CannotBeChanged) {
  auto fd = make_sealed_memfd("test", "content");
  ASSERT_TRUE(fd) << fd.error().line();
  EXPECT_EQ(read_all(fd->get(), 100).value(), "content");
  EXPECT_LT(::write(fd->get(), "x", 1), 0);
  EXPECT_LT(::ftruncate(fd->get(), 0), 0);
}

}  // namespace
}  // namespace gyges
