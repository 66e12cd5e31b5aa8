// The binary in the hands of an ordinary user.
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using ::testing::HasSubstr;

class OrdinaryUser : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    auto user = test_user();
    if (!user) GTEST_SKIP() << "no throw-away user: GYGES_TEST_UID is not set or not root";
    user_ = *user;
    if (gyges({"--version"}, user_).status != 0)
      GTEST_SKIP() << "the throw-away user cannot execute " << GYGES_BINARY;
    ASSERT_EQ(::chown(directory_->path().c_str(), user_.uid, user_.gid), 0);
  }
  RunAs user_;
};

TEST_F(OrdinaryUser, RunsAndRecords) {
  Finished run = gyges({"run", "--workspace", directory_->path().string(), "--out",
                        path("bundle").string(), "--", "sh", "-c", "id -u; cat /etc/hostname"},
                       user_);
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "1000\nlocalhost\n");
  nlohmann::json document = read_json(path("bundle/run.json"));
  EXPECT_EQ(document["coverage"]["backend"], "ptrace");
  EXPECT_EQ(document["host"]["privilege"], "user");
  EXPECT_EQ(document["lost"], 0);
  Finished shown = gyges({"trace", "show", path("bundle").string()}, user_);
  EXPECT_THAT(shown.output, HasSubstr("/etc/hostname"));
}

// A run that may not be read was taken for none, and left out of comparisons without a word.
TEST_F(OrdinaryUser, WhatCannotBeReadIsNamed) {
  for (const char* name : {"runs/open", "runs/closed"}) {
    Finished run = gyges({"run", "--workspace", directory_->path().string(), "--out",
                          path(name).string(), "--", "true"},
                         user_);
    ASSERT_EQ(run.status, 0) << run.error;
  }
  const std::string closed = path("runs/closed").string();
  ASSERT_EQ(::chmod(closed.c_str(), 0), 0);
  for (const char* command : {"verify", "compare"})
    EXPECT_THAT(gyges({command, closed}, user_).error, HasSubstr("Permission denied")) << command;
  EXPECT_THAT(gyges({"trace", "stat", closed}, user_).error, HasSubstr("Permission denied"));
  Finished compared = gyges({"compare", path("runs").string()}, user_);
  EXPECT_EQ(compared.status, 0) << compared.error;
  EXPECT_THAT(compared.output, HasSubstr("Runs 2 found, 1 analysed, 1 excluded"));
  EXPECT_THAT(compared.output, HasSubstr("read directory: Permission denied"));
  ASSERT_EQ(::chmod(path("runs").c_str(), 0555), 0);
  Finished saved =
      gyges({"query", path("runs/open").string(), "--save", path("runs/x.sqlite").string()}, user_);
  EXPECT_EQ(saved.status, 125);
  EXPECT_THAT(saved.error, HasSubstr("x.sqlite"));
  EXPECT_THAT(saved.error, HasSubstr("Permission denied"));
  ::chmod(closed.c_str(), 0755);
  ::chmod(path("runs").c_str(), 0755);
}

// A directory of the host's with another file system mounted below it. The kernel lets an ordinary
// user take them together or not at all; an overlay shows one alone.
class MountBelow : public OrdinaryUser {
 protected:
  void SetUp() override {
    OrdinaryUser::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);  // for the rest of this process, which alone sees it
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    for (const char* name : {"work", "host", "host/below"})
      ASSERT_TRUE(std::filesystem::create_directory(path(name)));
    ASSERT_EQ(::chown(path("work").c_str(), user_.uid, user_.gid), 0);
    ASSERT_EQ(::mount("none", path("host/below").c_str(), "tmpfs", 0, "mode=755"), 0);
    mounted_ = true;
    ASSERT_TRUE(write_file_atomically(path("host/below/file"), "content"));
    ::chmod(path("host/below/file").c_str(), 0644);
  }
  void TearDown() override {
    if (mounted_) ::umount2(path("host/below").c_str(), MNT_DETACH);
    OrdinaryUser::TearDown();
  }
  // Shows the file inside where `mounts` of the host are mounted read-only.
  Finished show(const std::vector<std::string>& mounts, bool granted, RunAs as) {
    nlohmann::json policy =
        nlohmann::json::parse(gyges({"policy", "explain", "default", "--json"}).output)["policy"];
    for (const std::string& mount : mounts)
      policy["filesystem"]["mounts"].push_back(
          {{"kind", "read_only"}, {"target", path(mount).string()}});
    if (granted) policy["grants"].push_back("host_sockets");
    EXPECT_TRUE(write_file_atomically(path("p.json"), policy.dump()));
    ::chmod(path("p.json").c_str(), 0644);
    return gyges(
        {"run", "-q", "--recorder", "off", "--policy", path("p.json").string(), "--workspace",
         path("work").string(), "--", "cat", path("host/below/file").string()},
        as);
  }
  bool mounted_ = false;
};

TEST_F(MountBelow, IsAnErrorWithItsCures) {
  Finished refused = show({"host"}, false, user_);
  EXPECT_EQ(refused.status, 125);
  EXPECT_THAT(refused.error, HasSubstr(path("host").string()));
  EXPECT_THAT(refused.error, HasSubstr("mount that one instead"));
  EXPECT_EQ(show({"host/below"}, false, user_).output, "content");
  EXPECT_EQ(show({"host"}, true, user_).output, "content");
  // As root nothing is hidden that was not asked for, and nothing shown either.
  EXPECT_EQ(show({"host"}, false, {}).status, 1);
  EXPECT_EQ(show({"host", "host/below"}, false, {}).output, "content");
}

TEST_F(OrdinaryUser, TheBpfRecorderIsAnErrorWithACureNotAFallback) {
  Finished run =
      gyges({"run", "--recorder", "ebpf", "--out", path("bundle").string(), "--", "true"}, user_);
  EXPECT_EQ(run.status, 125);
  EXPECT_THAT(run.error, HasSubstr("Cure"));
}

TEST_F(OrdinaryUser, DoctorSaysWhatItHas) {
  Finished doctor = gyges({"doctor", "--json"}, user_);
  nlohmann::json result = nlohmann::json::parse(doctor.output, nullptr, false);
  ASSERT_TRUE(result.contains("facilities")) << doctor.output;
  for (const auto& facility : result["facilities"])
    for (const char* key : {"name", "available", "reason", "cure"})
      EXPECT_TRUE(facility.contains(key)) << facility.dump();
}

}  // namespace
}  // namespace gyges
