#include "base/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/fd.h"
#include "base/hash.h"
#include "base/output_file.h"

namespace gyges {
namespace {

TEST(Files, WritesAtomicallyAndReadsBack) {
  auto dir = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(dir);
  auto path = dir->path() / "a";
  ASSERT_TRUE(write_file_atomically(path, "one"));
  ASSERT_TRUE(write_file_atomically(path, "two", 0600));
  EXPECT_EQ(read_file(path).value(), "two");
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST(Files, MissingFileNamesThePath) {
  auto text = read_file("/nonexistent/x");
  ASSERT_FALSE(text);
  EXPECT_THAT(text.error().line(), ::testing::HasSubstr("/nonexistent/x"));
}

// None of these is waited for: a FIFO without a writer, a device without end.
TEST(Files, OnlyRegularFilesAreRead) {
  auto dir = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(dir);
  const auto fifo = dir->path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto socket_path = dir->path() / "socket";
  UniqueFd socket_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, socket_path.c_str(), sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const std::pair<std::filesystem::path, const char*> refused[] = {{fifo, "is a FIFO"},
                                                                   {socket_path, "is a socket"},
                                                                   {"/dev/zero", "is a device"},
                                                                   {dir->path(), "is a directory"}};
  for (const auto& [path, reason] : refused) {
    auto text = read_file(path);
    ASSERT_FALSE(text) << path;
    EXPECT_THAT(text.error().line(), ::testing::HasSubstr(path.string()));
    EXPECT_THAT(text.error().line(), ::testing::HasSubstr(reason));
    EXPECT_FALSE(sha256_of_file(path)) << path;
  }
  // Files of /proc are regular ones.
  EXPECT_TRUE(read_file("/proc/self/status"));
}

TEST(Files, LimitIsAnErrorNotACut) {
  auto dir = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(dir);
  ASSERT_TRUE(write_file_atomically(dir->path() / "a", "12345"));
  EXPECT_FALSE(read_file(dir->path() / "a", 4));
  EXPECT_TRUE(read_file(dir->path() / "a", 5));
}

TEST(Files, TemporaryDirectoryIsRemoved) {
  std::filesystem::path path;
  {
    auto dir = TemporaryDirectory::create("gyges-test");
    ASSERT_TRUE(dir);
    path = dir->path();
    ASSERT_TRUE(write_file_atomically(path / "a", "x"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

// Renaming over a device as root would take it from the whole machine.
TEST(OutputFile, WhatIsNoRegularFileStays) {
  auto dir = TemporaryDirectory::create("gyges-test");
  ASSERT_TRUE(dir);
  const auto fifo = dir->path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd end(::open(fifo.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(end);
  ASSERT_TRUE(write_output_file(fifo, "through"));
  char seen[16] = {};
  EXPECT_EQ(::read(end.get(), seen, sizeof(seen)), 7);
  EXPECT_STREQ(seen, "through");
  EXPECT_TRUE(is_written_in_place(fifo));
  EXPECT_TRUE(is_written_in_place("/dev/null"));

  const auto link = dir->path() / "link";
  std::filesystem::create_symlink("file", link);
  ASSERT_TRUE(write_output_file(link, "a long text"));
  ASSERT_TRUE(write_output_file(link, "short"));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(read_file(dir->path() / "file").value(), "short");
  EXPECT_FALSE(is_written_in_place(dir->path() / "file"));
  EXPECT_FALSE(is_written_in_place(dir->path() / "none"));
  ASSERT_TRUE(write_output_file(dir->path() / "none", "new"));
}

TEST(Hash, KnownAnswer) {
  EXPECT_EQ(to_hex(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha1("abc"), (Sha1{0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e,
                               0x25, 0x71, 0x78, 0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d}));
}

}  // namespace
}  // namespace gyges
