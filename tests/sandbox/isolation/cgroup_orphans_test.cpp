// Control groups whose supervisor and keeper were killed at once are removed by whoever ends later,
// and by nobody those that are, or may still come to be, in use.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

namespace fs = std::filesystem;

class CgroupOrphans : public SandboxTest {
 protected:
  // Where this process's sandboxes have their groups; empty where they have none.
  static fs::path parent_of_groups() {
    const std::string prefix = "gyges-" + std::to_string(::getpid()) + "-";
    std::error_code ignored;
    for (auto at = fs::recursive_directory_iterator("/sys/fs/cgroup", ignored);
         at != fs::recursive_directory_iterator(); at.increment(ignored))
      if (at->path().filename().string().starts_with(prefix)) return at->path().parent_path();
    return {};
  }

  fs::path make_group(const std::string& name) {
    fs::path path = parent_ / name;
    EXPECT_EQ(::mkdir(path.c_str(), 0755), 0) << path;
    made_.push_back(path);
    return path;
  }

  static std::string name_made_at(std::time_t seconds) {
    return "gyges-1-0-0badcafe-" + std::to_string(seconds);
  }

  // A supervisor of its own with one sandbox, from begin to end.
  static void run_another() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      bool good = Sandbox::start({test_policy(), {}, nullptr}).has_value();
      ::_exit(good ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_EQ(status, 0);
  }

  static bool goes(const fs::path& path) {
    for (int attempt = 0; attempt < 1000 && fs::exists(path); ++attempt) ::usleep(10000);
    return !fs::exists(path);
  }

  void TearDown() override {
    for (const fs::path& path : made_) ::rmdir(path.c_str());
  }

  fs::path parent_;
  std::vector<fs::path> made_;
};

TEST_F(CgroupOrphans, AreRemovedByWhoeverEndsLater) {
  start();
  parent_ = parent_of_groups();
  if (parent_.empty()) GTEST_SKIP() << "no writable control groups here";
  const std::time_t now = ::time(nullptr);
  const fs::path fresh = make_group(name_made_at(now));
  const fs::path used = make_group(name_made_at(now - 4000));
  const fs::path foreign = make_group("gyges-of-somebody-else");
  const pid_t process = ::fork();
  if (process == 0)
    for (;;) ::pause();
  std::ofstream(used / "cgroup.procs") << process << std::flush;
  const fs::path orphan = make_group(name_made_at(now - 3000));
  run_another();
  EXPECT_TRUE(goes(orphan));
  for (const fs::path& kept : {fresh, used, foreign}) EXPECT_TRUE(fs::exists(kept)) << kept;
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
}

}  // namespace
}  // namespace gyges::isolation
