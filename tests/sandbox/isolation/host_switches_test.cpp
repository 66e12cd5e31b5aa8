// Hosts that this one is not: what `gyges doctor` says of their switches.
#include "sandbox/isolation/host_switches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <memory>

#include "base/files.h"

namespace gyges::isolation {
namespace {

using ::testing::HasSubstr;

class FakeHost : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-test");
    ASSERT_TRUE(directory);
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    put("proc/sys/user/max_user_namespaces", "15000\n");
    put("proc/sys/kernel/yama/ptrace_scope", "1\n");
    put("proc/self/status", "Name:\tx\nSeccomp:\t0\n");
    put("proc/self/mountinfo",
        "22 1 0:20 / /proc rw - proc proc rw\n"
        "23 22 0:21 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n");
    put("proc/1/cgroup", "0::/init.scope\n");
  }
  void put(const std::string& name, const std::string& text) {
    std::filesystem::path path = directory_->path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  HostSwitches host() { return read_host_switches(directory_->path()); }

  std::unique_ptr<TemporaryDirectory> directory_;
};

TEST_F(FakeHost, AnOrdinaryOneHasEverything) {
  EXPECT_TRUE(user_namespace_facility(host(), 0, false).available);
  EXPECT_TRUE(proc_facility(host(), false).available);
  EXPECT_TRUE(yama_facility(host()).available);
}

TEST_F(FakeHost, UbuntuTakesPrivilegesAway) {
  put("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
  Facility facility = user_namespace_facility(host(), 0, false);
  EXPECT_FALSE(facility.available);
  EXPECT_THAT(facility.reason, HasSubstr("AppArmor"));
  EXPECT_THAT(facility.cure, HasSubstr("apparmor_restrict_unprivileged_userns=0"));
  EXPECT_TRUE(user_namespace_facility(host(), 0, true).available);
}

TEST_F(FakeHost, SwitchesAreNamedWithTheirCure) {
  put("proc/sys/user/max_user_namespaces", "0\n");
  EXPECT_THAT(user_namespace_facility(host(), ENOSPC, false).cure,
              HasSubstr("max_user_namespaces=15000"));
  put("proc/sys/user/max_user_namespaces", "15000\n");
  put("proc/sys/kernel/unprivileged_userns_clone", "0\n");
  EXPECT_THAT(user_namespace_facility(host(), EPERM, false).cure,
              HasSubstr("unprivileged_userns_clone=1"));
}

TEST_F(FakeHost, InsideDockerTheFilterAndTheMaskedProcAreNamed) {
  put(".dockerenv", "");
  put("proc/self/status", "Name:\tx\nSeccomp:\t2\n");
  put("proc/self/mountinfo",
      "22 1 0:20 / /proc rw - proc proc rw\n"
      "24 22 0:22 / /proc/kcore rw - tmpfs tmpfs rw\n");
  Facility users = user_namespace_facility(host(), EPERM, false);
  EXPECT_THAT(users.reason, HasSubstr("container"));
  EXPECT_THAT(users.cure, HasSubstr("seccomp=unconfined"));
  Facility proc = proc_facility(host(), false);
  EXPECT_FALSE(proc.available);
  EXPECT_THAT(proc.reason, HasSubstr("/proc/kcore"));
  EXPECT_THAT(proc.cure, HasSubstr("systempaths=unconfined"));
}

TEST_F(FakeHost, YamaCanForbidTracing) {
  put("proc/sys/kernel/yama/ptrace_scope", "3\n");
  EXPECT_FALSE(yama_facility(host()).available);
}

TEST_F(FakeHost, AnEmptyOneIsNoReasonToFail) {
  std::filesystem::remove_all(directory_->path() / "proc");
  Facility facility = user_namespace_facility(host(), EPERM, false);
  EXPECT_FALSE(facility.available);
  EXPECT_THAT(facility.cure, HasSubstr("CONFIG_USER_NS"));
}

}  // namespace
}  // namespace gyges::isolation
