// The binary in the hands of an ordinary user.
#include <gmock/gmock.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

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
