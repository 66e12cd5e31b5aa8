#include "agent_runtime/experiment/index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/sqlite.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;

class IndexOfExperiment : public testing::Test {
 protected:
  void SetUp() override {
    auto carried = carry_out_with_fake_workers(experiment_, path_);
    ASSERT_TRUE(carried.summary) << carried.summary.error().line();
    record_ = **read_record(path_);
  }
  IndexRefresh refresh() {
    IndexRefresh done;
    auto index = Index::open(path_, record_, experiment_, make_plan(experiment_), &done);
    if (!index) throw std::runtime_error(index.error().line());
    return done;
  }
  std::string query(const std::string& sql) {
    auto database = Database::open(index_file(path_));
    auto statement = database->prepare(sql.c_str());
    if (!statement) throw std::runtime_error(statement.error().line());
    std::string text;
    while (*statement->step()) text += (text.empty() ? "" : ";") + statement->text(0);
    return text;
  }
  Experiment experiment_ = make_experiment({"plain", "other"}, 2);
  TemporaryDirectory temporary_ = temporary_directory();
  fs::path path_ = temporary_.path() / "e";
  Record record_;
};

TEST_F(IndexOfExperiment, HasOneRowForEachRunWithItsFacts) {
  EXPECT_EQ(query("SELECT count(*) FROM runs"), "8");
  EXPECT_EQ(query("SELECT count(*) FROM slots"), "8");
  EXPECT_EQ(query("SELECT DISTINCT exit_kind || backend || complete || lost || syscalls FROM runs"),
            "submittedebpf104");
  EXPECT_EQ(query("SELECT level FROM run_levels WHERE slot = 's1.plain.off.r1'"), "announced_off");
  EXPECT_EQ(query("SELECT DISTINCT name || kind FROM checks"), "heldcovert");
  EXPECT_EQ(query("SELECT DISTINCT limit_name || detail FROM limits_hit"), "turns10 of 10");
  EXPECT_EQ(query("SELECT count(DISTINCT seed) FROM slots"), "4");
  EXPECT_EQ(query("SELECT value FROM meta WHERE key = 'experiment_sha256'"), record_.sha256);
}

TEST_F(IndexOfExperiment, IsLeftAloneWhenItFits) {
  IndexRefresh done = refresh();
  EXPECT_FALSE(done.rebuilt);
  EXPECT_EQ(done.added, 0U);
  EXPECT_EQ(done.removed, 0U);
}

TEST_F(IndexOfExperiment, IsMadeAnewWhenMissing) {
  const std::string before = query("SELECT group_concat(slot || run_id || exit_kind) FROM runs");
  fs::remove(index_file(path_));
  IndexRefresh done = refresh();
  EXPECT_TRUE(done.rebuilt);
  EXPECT_EQ(done.added, 8U);
  EXPECT_EQ(query("SELECT group_concat(slot || run_id || exit_kind) FROM runs"), before);
}

TEST_F(IndexOfExperiment, IsMadeAnewWhenDamaged) {
  for (const char* content : {"", "not a database at all, but long enough to be read as one"}) {
    std::ofstream(index_file(path_), std::ios::trunc) << content;
    EXPECT_TRUE(refresh().rebuilt);
    EXPECT_EQ(query("SELECT count(*) FROM runs"), "8");
  }
  // Damage in the middle of a file that still opens.
  const auto size = fs::file_size(index_file(path_));
  std::fstream file(index_file(path_), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(4096);
  file << std::string(size - 4096, 'x');
  file.close();
  EXPECT_TRUE(refresh().rebuilt);
  EXPECT_EQ(query("SELECT count(*) FROM runs"), "8");
}

TEST_F(IndexOfExperiment, IsMadeAnewForAnotherExperimentOrVersion) {
  {
    auto database = Database::open(index_file(path_));
    ASSERT_TRUE(database->execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'"));
  }
  EXPECT_TRUE(refresh().rebuilt);
  {
    auto database = Database::open(index_file(path_));
    ASSERT_TRUE(database->execute("UPDATE meta SET value = 'x' WHERE key = 'experiment_sha256'"));
  }
  EXPECT_TRUE(refresh().rebuilt);
}

TEST_F(IndexOfExperiment, FollowsBundlesThatComeGoOrChange) {
  fs::remove_all(path_ / "runs" / "s1.plain.off.r1");
  IndexRefresh done = refresh();
  EXPECT_EQ(done.removed, 1U);
  EXPECT_EQ(query("SELECT count(*) FROM run_levels"), "7") << "children go with their run";
  fs::copy(path_ / "runs" / "s1.plain.off.r0", path_ / "runs" / "s1.plain.off.r1",
           fs::copy_options::recursive);
  EXPECT_EQ(refresh().added, 1U);
  std::ofstream(path_ / "runs" / "s1.plain.off.r1" / "seal.json", std::ios::app) << " ";
  EXPECT_EQ(refresh().added, 1U);
  fs::copy(path_ / "runs" / "s1.plain.off.r0", path_ / "runs" / "s9.plain.off.r1",
           fs::copy_options::recursive);
  EXPECT_EQ(refresh().added, 0U) << "a bundle that was not planned";
}

TEST_F(IndexOfExperiment, UnreadableRunGetsARowThatSaysWhy) {
  std::ofstream(path_ / "runs" / "s1.plain.off.r1" / "run.json", std::ios::trunc) << "{\"lost\":";
  std::ofstream(path_ / "runs" / "s1.other.off.r1" / "run.json", std::ios::trunc)
      << R"({"lost":"many","exit":[],"condition":3,"limits_hit":[1,{"limit":{}}],"coverage":"x",)"
         R"("scenario":{"checks":[7,{"name":[]}]}})";
  fs::remove(index_file(path_));
  EXPECT_EQ(refresh().added, 8U);
  EXPECT_EQ(query("SELECT count(*) FROM runs WHERE fault LIKE '%run.json%'"), "1");
  EXPECT_EQ(query("SELECT lost IS NULL FROM runs WHERE slot = 's1.other.off.r1'"), "1");
}

}  // namespace
}  // namespace gyges::experiment
