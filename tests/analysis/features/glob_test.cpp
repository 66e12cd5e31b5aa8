#include "analysis/features/glob.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

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

// What a glob means, without any cleverness.
bool means(std::string_view pattern, std::string_view path) {
  if (pattern.empty()) return path.empty();
  if (pattern[0] != '*')
    return !path.empty() && (pattern[0] == '?' ? path[0] != '/' : pattern[0] == path[0]) &&
           means(pattern.substr(1), path.substr(1));
  const bool across = pattern.starts_with("**");
  for (std::size_t taken = 0;; ++taken) {
    if (means(pattern.substr(across ? 2 : 1), path.substr(taken))) return true;
    if (taken == path.size() || (!across && path[taken] == '/')) return false;
  }
}

TEST(Glob, MatchesWhatItMeans) {
  std::mt19937 random(20261129);
  auto text = [&](std::string_view letters, std::size_t most) {
    std::string made;
    for (std::size_t left = random() % (most + 1); left > 0; --left)
      made += letters[random() % letters.size()];
    return made;
  };
  std::size_t matches = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::string pattern = text("ab/*?*/", 8);
    const std::string path = text("ab/", 10);
    const bool meant = means(pattern, path);
    ASSERT_EQ(glob_matches(pattern, path), meant) << pattern << " on " << path;
    matches += meant ? 1 : 0;
  }
  EXPECT_GT(matches, 5000U);
}

TEST(Glob, HostilePatternsAndPathsCostLittle) {
  std::string pattern;
  for (int i = 0; i < 1000; ++i) pattern += "**a";
  EXPECT_FALSE(glob_matches(pattern, std::string(4000, 'a') + "b"));
  EXPECT_FALSE(glob_matches("**a*a*a*b", std::string(30000, 'a') + "/"));
  EXPECT_TRUE(glob_matches("**a*a*a*b", std::string(30000, 'a') + "/aaab"));
}

}  // namespace
}  // namespace gyges::analysis
