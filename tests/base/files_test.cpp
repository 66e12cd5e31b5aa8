#include "base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/hash.h"

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

TEST(Hash, KnownAnswer) {
  EXPECT_EQ(to_hex(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace gyges
