// Linked into every test program: what Gyges keeps for its user (the key of seals, the ledger, run
// bundles) goes to a directory of this program, never to the state directory of whoever tests.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

class StateHome : public ::testing::Environment {
 public:
  void SetUp() override {
    const char* base = std::getenv("TMPDIR");
    path_ = std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/gyges-state.XXXXXX";
    ASSERT_NE(::mkdtemp(path_.data()), nullptr);
    // Tests that become another user make a directory of that user's in it.
    ASSERT_EQ(::chmod(path_.c_str(), 01777), 0);
    ASSERT_EQ(::setenv("XDG_STATE_HOME", path_.c_str(), 1), 0);
    const std::string cache = path_ + "/cache";
    ASSERT_EQ(::mkdir(cache.c_str(), 0700), 0);
    ASSERT_EQ(::setenv("XDG_CACHE_HOME", cache.c_str(), 1), 0);
    ::unsetenv("GYGES_SEAL_KEY");
    // Root's is not by a variable.
    runtime_ = "/dev/shm/gyges-state.XXXXXX";
    if (::geteuid() != 0 && ::mkdtemp(runtime_.data()) != nullptr) {
      ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", runtime_.c_str(), 1), 0);
    }
  }

  void TearDown() override {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    std::filesystem::remove_all(runtime_, ignored);
  }

 private:
  std::string path_, runtime_;
};

[[maybe_unused]] const ::testing::Environment* const state_home =
    ::testing::AddGlobalTestEnvironment(new StateHome);

}  // namespace
