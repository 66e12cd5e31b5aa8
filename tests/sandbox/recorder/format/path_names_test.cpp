#include "sandbox/recorder/format/path_names.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "call.h"
#include "sandbox/recorder/format/resolved_paths.h"

namespace gyges::recorder {
namespace {

using testing::Call;

TEST(PathNames, NumbersEachNameOnce) {
  PathNames names;
  EXPECT_EQ(names.id_of(""), no_path);
  const PathId first = names.id_of("/a");
  EXPECT_NE(first, no_path);
  for (int i = 0; i < 5000; ++i) {
    const std::string name = "/n/" + std::to_string(i);
    const PathId id = names.id_of(name);
    EXPECT_EQ(names.id_of(name), id);
    EXPECT_EQ(names.text(id), name);
  }
  EXPECT_EQ(names.id_of("/a"), first);
  EXPECT_EQ(names.size(), 5002U);
}

TEST(PathNames, JoinsAsJoinPathDoes) {
  PathNames names;
  const char* directories[] = {"", "/", "/a/b", "/a//b/", "a", "../a"};
  const char* paths[] = {"", ".", "..", "c", "../c//./d/", "/x/../../y", "/plain", "a/../b"};
  for (int round = 0; round < 2; ++round)
    for (const char* directory : directories)
      for (const char* path : paths)
        EXPECT_EQ(names.text(names.joined(names.id_of(directory), names.id_of(path))),
                  join_path(directory, path))
            << directory << " and " << path;
}

TEST(PathNames, BeginAnewUnderAnotherGeneration) {
  PathNames names;
  PathNames others;
  EXPECT_NE(names.generation(), others.generation());
  names.id_of("/a");
  const std::uint64_t before = names.generation();
  names.clear();
  EXPECT_NE(names.generation(), before);
  EXPECT_NE(names.generation(), others.generation());
  EXPECT_EQ(names.size(), 1U);
  EXPECT_EQ(names.id_of(""), no_path);
}

// An agent that names ever new files must not fill the reader's memory, and what its processes have
// open keeps its name all the same.
TEST(PathResolver, ForgetsNamesThatNothingStandsFor) {
  auto names = std::make_shared<PathNames>();
  PathResolver resolver(names);
  resolver.paths_of(Call("chdir", {1}, 0).path(0, "/home/u").built());
  resolver.paths_of(Call("openat", {0xffffff9c, 1, 0, 0}, 5).path(1, "kept").built());
  resolver.paths_of(Call("dup2", {5, 700}, 700).built());
  const std::uint64_t before = names->generation();
  std::size_t most = 0;
  for (int i = 0; i < 40'000; ++i) {
    const std::string name = "/" + std::to_string(i) + std::string(4000, 'x');
    resolver.paths_of(Call("unlink", {1}, 0).path(0, name).built());
    most = std::max(most, names->bytes());
  }
  EXPECT_NE(names->generation(), before);
  EXPECT_LT(most, std::size_t{80} << 20U);
  EXPECT_EQ(resolver.working_directory(100), "/home/u");
  EXPECT_EQ(resolver.descriptor(100, 5), "/home/u/kept");
  EXPECT_EQ(resolver.descriptor(100, 700), "/home/u/kept");
}

}  // namespace
}  // namespace gyges::recorder
