#include "agent_runtime/experiment/directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "agent_runtime/experiment/record.h"
#include "base/hash.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

void make_bundle(const fs::path& path, bool sealed, bool damaged = false) {
  fs::create_directories(path / "files");
  std::ofstream(path / "run.json") << "{}";
  if (sealed) std::ofstream(path / "seal.json") << to_hex(sha256(damaged ? "x" : "{}"));
}

class Directory : public testing::Test {
 protected:
  ExperimentDirectory open() {
    auto opened = ExperimentDirectory::open(path_);
    if (!opened) throw std::runtime_error(opened.error().line());
    return std::move(*opened);
  }
  TemporaryDirectory temporary_ = temporary_directory();
  fs::path path_ = temporary_.path() / "experiment";
};

TEST_F(Directory, FinishesRunsByOneRename) {
  auto directory = open();
  auto bundle = directory.prepare("s.a.c.r0", 1);
  ASSERT_TRUE(bundle);
  make_bundle(*bundle, false);
  EXPECT_FALSE(directory.finish("s.a.c.r0", 1)) << "no seal";
  EXPECT_TRUE(finished_slots(path_)->empty());
  make_bundle(*bundle, true);
  ASSERT_TRUE(directory.finish("s.a.c.r0", 1));
  EXPECT_THAT(*finished_slots(path_), testing::ElementsAre("s.a.c.r0"));
  EXPECT_FALSE(fs::exists(*bundle));
}

TEST_F(Directory, RefusesToTakeOverAForeignDirectory) {
  fs::create_directories(path_);
  std::ofstream(path_ / "thesis.txt") << "x";
  auto refused = ExperimentDirectory::open(path_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("no experiment directory"));
  EXPECT_FALSE(fs::exists(path_ / "runs"));
}

TEST_F(Directory, HasOneWriter) {
  auto directory = open();
  EXPECT_TRUE(in_use(path_));
  auto second = ExperimentDirectory::open(path_, std::chrono::milliseconds(100));
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().line(), HasSubstr("another runner"));
}

TEST_F(Directory, IsFreeAgainWhenItsWriterIsKilled) {
  pid_t child = fork();
  if (child == 0) {
    auto directory = ExperimentDirectory::open(path_);
    pause();
    _exit(directory ? 0 : 1);
  }
  for (int i = 0; i < 500 && !in_use(path_); ++i) usleep(10000);
  ASSERT_TRUE(in_use(path_));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(in_use(path_));
  EXPECT_TRUE(ExperimentDirectory::open(path_));
}

TEST_F(Directory, RecoversSealedLeftoversAndRemovesTheRest) {
  auto directory = open();
  make_bundle(path_ / "partial" / "s.a.c.r0.a1", true);
  make_bundle(path_ / "partial" / "s.a.c.r1.a1", false);
  make_bundle(path_ / "partial" / "s.a.c.r2.a2", true, true);
  make_bundle(path_ / "partial" / "s.a.c.r9.a1", true);
  make_bundle(path_ / "partial" / "nonsense", true);
  make_bundle(path_ / "runs" / "s.a.c.r3", true);
  make_bundle(path_ / "partial" / "s.a.c.r3.a2", true);
  auto recovered =
      directory.recover({"s.a.c.r0", "s.a.c.r1", "s.a.c.r2", "s.a.c.r3"}, fake_bundle_is_whole);
  ASSERT_TRUE(recovered) << recovered.error().line();
  EXPECT_THAT(*recovered, testing::ElementsAre("s.a.c.r0"));
  EXPECT_THAT(*finished_slots(path_), testing::ElementsAre("s.a.c.r0", "s.a.c.r3"));
  EXPECT_TRUE(fs::is_empty(path_ / "partial"));
}

TEST_F(Directory, RunWithoutSealAmongTheFinishedIsNamed) {
  auto directory = open();
  make_bundle(path_ / "runs" / "s.a.c.r0", false);
  auto refused = directory.recover({"s.a.c.r0"}, fake_bundle_is_whole);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("s.a.c.r0"));
}

TEST_F(Directory, KeepsFailedAttemptsOverATornLine) {
  auto directory = open();
  ASSERT_TRUE(directory.discard({"s.a.c.r0", 1, "2026-11-21T09:00:00.000Z", "lost", "sig\x1b 9"}));
  std::ofstream(path_ / "attempts.jsonl", std::ios::app) << "{\"slot\":\"s.a";
  EXPECT_EQ(failed_attempts(path_)->size(), 1U);
  ASSERT_TRUE(directory.discard({"s.a.c.r1", 2, "2026-11-21T09:00:01.000Z", "failed", "why"}));
  auto attempts = failed_attempts(path_);
  ASSERT_TRUE(attempts) << attempts.error().line();
  ASSERT_EQ(attempts->size(), 2U);
  EXPECT_EQ((*attempts)[1].slot, "s.a.c.r1");
  EXPECT_EQ((*attempts)[0].detail, "sig\x1b 9");
}

}  // namespace
}  // namespace gyges::experiment
