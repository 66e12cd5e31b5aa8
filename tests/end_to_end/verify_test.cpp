// Seals, signatures and the ledger as a user meets them.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class Verify : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    bundle_ = path("bundle").string();
    before_ = std::getenv("XDG_STATE_HOME");
    ::setenv("XDG_STATE_HOME", path("state").c_str(), 1);
  }
  void TearDown() override { ::setenv("XDG_STATE_HOME", before_.c_str(), 1); }

  void record(const std::vector<std::string>& options = {}) {
    std::vector<std::string> arguments = {"run", "--out", bundle_};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.insert(arguments.end(), {"--", "sh", "-c", "echo x > /tmp/x"});
    Finished run = gyges(arguments);
    ASSERT_EQ(run.status, 0) << run.error;
  }

  std::string bundle_;
  std::string before_;
};

TEST_F(Verify, SaysWhoseKeySealedTheRun) {
  record();
  Finished own = gyges({"verify", bundle_});
  EXPECT_EQ(own.status, 0) << own.output;
  EXPECT_THAT(own.output, HasSubstr("signed by your key "));
  EXPECT_THAT(own.output, HasSubstr(", in the ledger"));
  json row = json::parse(gyges({"verify", "--json", bundle_}).output)["runs"][0];
  EXPECT_EQ(row["signature"]["own"], true);
  EXPECT_EQ(row["ledger"], "agrees");
  // Another user, who has no key and no ledger.
  ::setenv("XDG_STATE_HOME", path("elsewhere").c_str(), 1);
  Finished other = gyges({"verify", bundle_});
  EXPECT_EQ(other.status, 0) << other.output;
  EXPECT_THAT(other.output, HasSubstr("signed by an unknown key "));
  EXPECT_FALSE(std::filesystem::exists(path("elsewhere"))) << "verifying makes nothing";
  EXPECT_EQ(gyges({"verify", bundle_, "--key", row["signature"]["fingerprint"]}).status, 0);
  EXPECT_EQ(gyges({"verify", bundle_, "--key", row["signature"]["public_key"]}).status, 0);
  EXPECT_EQ(gyges({"verify", bundle_, "--key", path("state/gyges/seal_key.pem")}).status, 0);
  EXPECT_EQ(gyges({"verify", bundle_, "--key", std::string(64, '0')}).status, 1);
  EXPECT_EQ(gyges({"verify", bundle_, "--key", "no-such-file"}).status, 125);
}

TEST_F(Verify, AnEditWithRecomputedChecksumsIsFound) {
  record();
  json run = read_json(path("bundle/run.json"));
  run["lost"] = 7;
  ASSERT_TRUE(write_file_atomically(path("bundle/run.json"), run.dump()));
  json seal = read_json(path("bundle/seal.json"));
  for (json& file : seal["files"])
    if (file["path"] == "run.json") {
      file["size"] = run.dump().size();
      file["sha256"] = to_hex(sha256(run.dump()));
    }
  ASSERT_TRUE(write_file_atomically(path("bundle/seal.json"), seal.dump()));
  Finished verified = gyges({"verify", bundle_});
  EXPECT_EQ(verified.status, 1);
  EXPECT_THAT(verified.output, HasSubstr("signature"));
  EXPECT_THAT(verified.output, HasSubstr("differs from the ledger"));
}

TEST_F(Verify, AnotherKeyCanSeal) {
  std::filesystem::create_directories(path("keys"));
  record();  // makes a key, which is then taken elsewhere
  std::filesystem::rename(path("state/gyges/seal_key.pem"), path("keys/mine.pem"));
  std::filesystem::remove_all(bundle_);
  record({"--seal-key", path("keys/mine.pem").string()});
  EXPECT_FALSE(std::filesystem::exists(path("state/gyges/seal_key.pem")));
  EXPECT_EQ(gyges({"verify", bundle_, "--key", path("keys/mine.pem").string()}).status, 0);
  Finished none = gyges({"run", "--out", path("b2").string(), "--seal-key", path("none").string(),
                         "--", "touch", path("ran").string()});
  EXPECT_EQ(none.status, 125);
  EXPECT_THAT(none.error, HasSubstr("read seal key"));
  EXPECT_FALSE(std::filesystem::exists(path("b2")));
}

TEST_F(Verify, ARunWithoutStateDirectorySaysSo) {
  std::ofstream(path("state")) << "";
  record();
  json run = read_json(path("bundle/run.json"));
  EXPECT_THAT(run["warnings"].dump(), HasSubstr("the seal lacks its signature"));
  EXPECT_THAT(run["warnings"].dump(), HasSubstr("the seal lacks its ledger"));
  Finished verified = gyges({"verify", bundle_});
  EXPECT_EQ(verified.status, 125) << "its ledger cannot be looked at";
  ::setenv("XDG_STATE_HOME", path("elsewhere").c_str(), 1);
  verified = gyges({"verify", bundle_});
  EXPECT_EQ(verified.status, 0) << verified.error;
  EXPECT_THAT(verified.output, HasSubstr("not signed"));
}

TEST_F(Verify, TheKeyCannotBeReadFromInside) {
  record();
  for (const char* file : {"seal_key.pem", "ledger.jsonl"}) {
    Finished inside = gyges({"run", "--recorder", "off", "--workspace", path("bundle").string(),
                             "--", "cat", path("state/gyges").string() + "/" + file});
    EXPECT_NE(inside.status, 0);
    EXPECT_EQ(inside.output, "");
  }
}

TEST_F(Verify, AnOrdinaryUserSealsWithAKeyOfTheirOwn) {
  auto user = test_user();
  if (!user) GTEST_SKIP() << "no throw-away user (GYGES_TEST_UID is not set, or not root)";
  ::setenv("XDG_STATE_HOME", before_.c_str(), 1);
  std::filesystem::create_directories(path("theirs"));
  ASSERT_EQ(::chown(path("theirs").c_str(), user->uid, user->gid), 0);
  std::string bundle = path("theirs/bundle").string();
  Finished run =
      gyges({"run", "--workspace", path("theirs").string(), "--out", bundle, "--", "true"}, *user);
  if (run.status == 125) GTEST_SKIP() << run.error;
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(gyges({"verify", bundle}, *user).output, HasSubstr("signed by your key "));
  EXPECT_THAT(gyges({"verify", bundle}).output, Not(HasSubstr("signed by your key ")));
}

using Salvage = EndToEnd;

// A command that makes calls until it is killed.
std::vector<std::string> busy_run(const std::string& bundle) {
  return {
      "run", "--out", bundle, "--", "sh", "-c", "while :; do cat /etc/hostname > /dev/null; done"};
}

TEST_F(Salvage, AKilledRunShowsWhatIsThereAndSaysWhatIsMissing) {
  std::string bundle = path("bundle").string();
  pid_t pid = start_gyges(busy_run(bundle));
  ASSERT_TRUE(eventually([&] {
    std::error_code ignored;
    auto size = std::filesystem::file_size(path("bundle/trace.gyt"), ignored);
    return !ignored && size > 2000;
  }));
  // Whoever follows sees it end.
  Finished followed;
  std::thread follower([&] { followed = gyges({"trace", "show", "--follow", bundle}); });
  ::usleep(300'000);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  follower.join();
  Finished shown = gyges({"trace", "show", bundle});
  EXPECT_EQ(shown.status, 1);
  EXPECT_THAT(shown.output, HasSubstr("/etc/hostname"));
  EXPECT_THAT(shown.error, HasSubstr("the recorder died; events from "));
  EXPECT_EQ(followed.status, 1);
  EXPECT_THAT(followed.output, HasSubstr("/etc/hostname"));
  EXPECT_THAT(followed.error, HasSubstr("the recorder died; events from "));
  Finished counted = gyges({"trace", "stat", bundle});
  EXPECT_EQ(counted.status, 1);
  EXPECT_THAT(counted.output, HasSubstr("coverage     none: the trace was not finished"));
  Finished verified = gyges({"verify", path("bundle/trace.gyt").string()});
  EXPECT_EQ(verified.status, 1);
  EXPECT_THAT(verified.output, HasSubstr(" at byte "));
}

TEST_F(Salvage, AFollowedRunIsShownToItsEnd) {
  std::string bundle = path("bundle").string();
  pid_t pid = start_gyges({"run", "--out", bundle, "--", "sh", "-c",
                           "cat /etc/hostname > /dev/null; sleep 1.5; cat /etc/os-release"});
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(path("bundle/trace.gyt")); }));
  Finished followed = gyges({"trace", "show", "--follow", bundle});
  int status = 0;
  ::waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(followed.status, 0) << followed.error;
  Finished shown = gyges({"trace", "show", bundle});
  auto count = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_EQ(count(followed.output), count(shown.output));
  EXPECT_THAT(followed.output, HasSubstr("/etc/os-release"));
}

// The library is loaded when it is needed: a run that keeps no record needs none, and one
// that could not be sealed says so before its command runs.
TEST_F(Verify, ARecordThatCannotBeSealedFailsBeforeTheCommandRuns) {
  std::filesystem::create_directory(path("broken"));
  for (const char* name : {"libcrypto.so.1.1", "libcrypto.so.3", "libcrypto.so.4"})
    ASSERT_TRUE(write_file_atomically(path("broken") / name, "not a library"));
  const std::vector<std::string> end = {"--", "sh", "-c", "echo it runs"};
  auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), end.begin(), end.end());
    ::setenv("LD_LIBRARY_PATH", path("broken").c_str(), 1);
    Finished done = gyges(arguments);
    ::unsetenv("LD_LIBRARY_PATH");
    return done;
  };
  const Finished bare = run({"run", "--recorder", "off"});
  const Finished posing = run({"run", "--recorder", "off", "--persona", "vm-production"});
  const Finished kept = run({"run", "--out", bundle_});
  if (bare.status == 127) GTEST_SKIP() << "this binary is linked with the library: " << bare.error;
  EXPECT_EQ(bare.status, 0) << bare.error;
  EXPECT_EQ(bare.output, "it runs\n");
  EXPECT_EQ(posing.output, "it runs\n") << posing.error;
  if (kept.status == 0) GTEST_SKIP() << "this binary contains the library";
  EXPECT_EQ(kept.status, 125);
  EXPECT_THAT(kept.error, HasSubstr("libcrypto"));
  EXPECT_THAT(kept.error, HasSubstr("install the package libssl"));
  EXPECT_EQ(kept.output, "");
  record();
}

}  // namespace
}  // namespace gyges
