// Trees that runs of a persona share: made once, looked through before each use, in a directory of
// the caller's own.
#include "sandbox/isolation/shared_tree.h"

#include <gmock/gmock.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "tests/sandbox/cues/persona_spec.h"
#include "tests/sandbox/isolation/sandbox_fixture.h"

namespace gyges::cues {
namespace {

using isolation::SandboxSpec;

// With a directory of shared trees that is this test's alone: root's is that of its name in a mount
// namespace of this thread's own.
class SharedTrees : public isolation::SandboxTest {
 protected:
  std::string say(const std::string& command) { return run(command).output; }

  void SetUp() override {
    if (as_root) {
      mounts_.reset(::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
      here_.reset(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
      ASSERT_TRUE(mounts_ && here_);
      ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << std::strerror(errno);
      ASSERT_EQ(::mount("", "/", "", MS_REC | MS_PRIVATE, ""), 0) << std::strerror(errno);
      std::filesystem::create_directory("/run/gyges");
      ASSERT_EQ(::mount("tmpfs", base_.c_str(), "tmpfs", 0, "mode=700"), 0);
      return;
    }
    std::string directory = "/dev/shm/gyges-test.XXXXXX";
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    if (const char* named = std::getenv("XDG_RUNTIME_DIR")) before_ = named;
    ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", directory.c_str(), 1), 0);
    runtime_ = directory;
    base_ = runtime_ / "gyges";
  }

  void TearDown() override {
    sandbox_.reset();
    if (as_root) {
      ASSERT_EQ(::setns(mounts_.get(), CLONE_NEWNS), 0) << std::strerror(errno);
      ASSERT_EQ(::fchdir(here_.get()), 0);
      return;
    }
    if (before_)
      ::setenv("XDG_RUNTIME_DIR", before_->c_str(), 1);
    else
      ::unsetenv("XDG_RUNTIME_DIR");
    std::filesystem::remove_all(runtime_);
  }

  static std::shared_ptr<const isolation::Disguise> disguise_of(const char* name,
                                                                std::uint64_t seed) {
    const SandboxSpec spec = spec_of(name, seed);
    return isolation::effective_disguise(spec.disguise, spec.policy.cues);
  }

  static isolation::SharedTree tree_of(const char* name, std::uint64_t seed) {
    return isolation::shared_tree(*disguise_of(name, seed), as_root);
  }

  // Names that begin so.
  [[nodiscard]] std::vector<std::filesystem::path> trees(const std::string& beginning = "") const {
    std::vector<std::filesystem::path> found;
    for (const auto& tree : std::filesystem::directory_iterator(base_ / "trees"))
      if (tree.path().filename().string().starts_with(beginning)) found.push_back(tree.path());
    return found;
  }

  // As much as before, so that its size tells nothing, and later than in the same tick of the
  // kernel's clock for files.
  static void write_to(const std::filesystem::path& tree) {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    const std::filesystem::path file = tree / known;
    ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
    std::ofstream(file, std::ios::in | std::ios::out) << "4095\n";
    ASSERT_EQ(::chmod(file.c_str(), 0444), 0);
  }

  static inline const bool as_root = ::geteuid() == 0;
  static constexpr const char* known = "tree/sys/devices/system/cpu/kernel_max";
  std::filesystem::path base_ = "/run/gyges";

 private:
  UniqueFd mounts_, here_;
  std::filesystem::path runtime_;
  std::optional<std::string> before_;
};

// What runs have in common is made once; what somebody wrote to it since is not shown.
TEST_F(SharedTrees, AreLookedThrough) {
  const SandboxSpec spec = spec_of("vm-production", 1);
  const std::string said = "cat /sys/devices/system/cpu/kernel_max";
  for (int i = 0; i < 2; ++i) {
    start(spec);
    EXPECT_EQ(say(said), "8191\n");
    sandbox_.reset();
  }
  ASSERT_EQ(trees().size(), 1U);
  write_to(trees()[0]);
  start(spec);
  EXPECT_EQ(say(said), "8191\n");
  ASSERT_EQ(trees(".old-").size(), 1U);
  std::string written;
  std::getline(std::ifstream(trees(".old-")[0] / known) >> std::ws, written);
  EXPECT_EQ(written, "4095");
  // One's own stays one's own.
  const std::string own = "cat /proc/fs/jbd2/vda1-8/info";
  const std::string one = say(own);
  start(spec_of("vm-production", 2));
  EXPECT_NE(say(own), one);
}

TEST_F(SharedTrees, EveryMachineHasOneForAllItsRuns) {
  std::set<std::string> all;  // machines that are alike share one
  for (const char* name :
       {"vm-production", "kubernetes-pod", "docker-service", "developer-laptop", "ci-runner"}) {
    const std::string one = tree_of(name, 1).path;
    EXPECT_THAT(one, ::testing::StartsWith((base_ / "trees/").string())) << name;
    all.insert(one);
    EXPECT_EQ(trees().size(), all.size()) << name;
    EXPECT_EQ(tree_of(name, 1).path, one) << name;
    EXPECT_EQ(tree_of(name, 2).path, one) << name;
    EXPECT_EQ(trees().size(), all.size()) << name;
    if (one.empty()) continue;
    // A sandbox takes this one: it says when.
    const std::filesystem::path tree = std::filesystem::path(one).parent_path();
    const timespec long_ago[2] = {{1000000000, 0}, {1000000000, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, tree.c_str(), long_ago, 0), 0);
    start(spec_of(name, 3));
    struct stat info {};
    ASSERT_EQ(::stat(tree.c_str(), &info), 0);
    EXPECT_GT(info.st_mtim.tv_sec, 1000000000) << name;
    EXPECT_EQ(say("test -e /sys/devices/system/cpu/online && echo there"), "there\n") << name;
    EXPECT_EQ(trees().size(), all.size()) << name;
    sandbox_.reset();
  }
  EXPECT_GE(all.size(), 3U);
}

// What is set aside stays for those who have it mounted, and no longer.
TEST_F(SharedTrees, AreNotTakenFromWhoHasThem) {
  isolation::SharedTree held = tree_of("vm-production", 1);
  ASSERT_FALSE(held.path.empty());
  write_to(trees()[0]);
  EXPECT_EQ(tree_of("vm-production", 1).path, held.path);
  ASSERT_EQ(trees(".old-").size(), 1U);
  EXPECT_FALSE(tree_of("docker-service", 1).path.empty());
  EXPECT_EQ(trees(".old-").size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(trees(".old-")[0] / known));
  held.held.reset();
  EXPECT_FALSE(tree_of("developer-laptop", 1).path.empty());
  EXPECT_TRUE(trees(".old-").empty());
  EXPECT_EQ(trees().size(), 3U);
}

// Only in memory, and where nobody else puts or reads anything.
TEST_F(SharedTrees, AreOnlyInADirectoryOfOnesOwn) {
  const std::filesystem::path used = base_ / "trees";
  ASSERT_EQ(isolation::shared_trees_directory(), used);
  for (const unsigned mode : {0770U, 0711U, 02700U}) {
    ASSERT_EQ(::chmod(base_.c_str(), mode), 0);
    EXPECT_NE(isolation::shared_trees_directory(), used) << mode;
  }
  ASSERT_EQ(::chmod(base_.c_str(), 0700), 0);
  ASSERT_EQ(isolation::shared_trees_directory(), used);
  std::filesystem::rename(used, base_ / "elsewhere");
  std::filesystem::create_directory_symlink("elsewhere", used);
  EXPECT_NE(isolation::shared_trees_directory(), used);
  ASSERT_TRUE(std::filesystem::remove(used));
  EXPECT_EQ(isolation::shared_trees_directory(), used);
}

}  // namespace
}  // namespace gyges::cues
