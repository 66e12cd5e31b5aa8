#include "analysis/features/glob.h"

#include <gtest/gtest.h>

namespace gyges::analysis {
namespace {

TEST(Glob, StarStaysWithinAComponent) {
  EXPECT_TRUE(glob_matches("/var/log/*", "/var/log/auth.log"));
  EXPECT_FALSE(glob_matches("/var/log/*", "/var/log/audit/audit.log"));
  EXPECT_TRUE(glob_matches("/var/log/**", "/var/log/audit/audit.log"));
  EXPECT_FALSE(glob_matches("/var/log/**", "/var/log"));
  EXPECT_TRUE(glob_matches("**/.ssh/id_*", "/home/a/.ssh/id_ed25519"));
  EXPECT_TRUE(glob_matches("/a/?.txt", "/a/b.txt"));
  EXPECT_FALSE(glob_matches("/a/?b", "/a//b"));
  EXPECT_TRUE(glob_matches("/a.c", "/a.c"));
  EXPECT_FALSE(glob_matches("/a.c", "/abc"));
  EXPECT_TRUE(glob_matches("", ""));
}

TEST(Glob, HostilePatternsAndPathsCostLittle) {
  std::string pattern;
  for (int i = 0; i < 1000; ++i) pattern += "**a";
  EXPECT_FALSE(glob_matches(pattern, std::string(4000, 'a') + "b"));
}

}  // namespace
}  // namespace gyges::analysis
