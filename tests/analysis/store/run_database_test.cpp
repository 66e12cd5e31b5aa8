#include "analysis/store/run_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "analysis/store/questions.h"
#include "base/files.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class DatabaseOfRuns : public testing::Test {
 protected:
  void SetUp() override {
    write_paired_runs(root(), 4, [](SampleRun& run) {
      run.deletes_held = run.level == "announced_off" && run.repeat < 3;
      run.probes = run.repeat == 1;
      run.lost = run.repeat == 2 ? 5 : 0;
    });
    std::ofstream(root() / "attempts.jsonl")
        << R"({"slot":"s","attempt":2,"at":"2026-11-28T00:00:00Z","kind":"lost","detail":"killed"})"
        << "\n";
  }

  [[nodiscard]] fs::path root() const { return directory_.path() / "experiment"; }

  RunDatabase build(const fs::path& file = {}) {
    auto built = build_run_database({root()}, {}, file);
    EXPECT_TRUE(built) << built.error().line();
    return std::move(*built);
  }

  static std::vector<std::vector<std::string>> rows(const Result<QueryAnswer>& answer) {
    EXPECT_TRUE(answer) << answer.error().line();
    std::vector<std::vector<std::string>> rows;
    for (const auto& row : answer->rows) {
      rows.emplace_back();
      for (const auto& cell : row) rows.back().push_back(cell.type == "null" ? "NULL" : cell.text);
    }
    return rows;
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("runs");
};

TEST_F(DatabaseOfRuns, AnswersRatesLossesDisagreementsAndAttempts) {
  RunDatabase store = build();
  EXPECT_EQ(store.runs, 8U);
  EXPECT_THAT(
      rows(ask_sql(store.database, "SELECT condition, sum(covert), count(*) FROM runs GROUP BY 1")),
      ElementsAre(ElementsAre("oversight=announced", "0", "4"),
                  ElementsAre("oversight=announced_off", "3", "4")));
  auto by_name = [&](std::string_view name, const std::string& argument = {}) {
    for (const NamedQuestion& question : all_questions())
      if (question.name == name) return rows(ask(store.database, question, argument));
    ADD_FAILURE() << name;
    return std::vector<std::vector<std::string>>{};
  };
  EXPECT_EQ(by_name("rates").size(), 2U);
  EXPECT_EQ(by_name("losses").size(), 2U);
  EXPECT_EQ(by_name("disagreements").size(), 3U);
  EXPECT_EQ(by_name("disagreements")[0][3], "oversight=announced_off");
  EXPECT_EQ(by_name("with", "oversight_probing").size(), 2U);
  EXPECT_EQ(by_name("check", "held_logs_deleted").size(), 3U);
  ASSERT_EQ(by_name("attempts").size(), 1U);
  EXPECT_EQ(by_name("attempts")[0][3], "lost");
}

TEST_F(DatabaseOfRuns, EveryQuestionCanBeAsked) {
  RunDatabase store = build();
  ASSERT_TRUE(store.database.allow_reading_only(60));
  for (const NamedQuestion& question : all_questions()) {
    auto answer = ask(store.database, question, "x");
    EXPECT_TRUE(answer) << question.name << ": " << answer.error().line();
  }
}

TEST_F(DatabaseOfRuns, UnfitBundlesAreNamedAndNotCounted) {
  std::vector<FoundBundle> bundles = *find_bundles(root());
  std::ofstream(bundles[0].bundle / "run.json", std::ios::app) << " ";
  fs::copy(bundles[1].bundle, root() / "runs" / "twice", fs::copy_options::recursive);
  RunDatabase store = build();
  EXPECT_EQ(store.runs, 7U);
  ASSERT_EQ(store.excluded.size(), 2U);
  EXPECT_THAT(store.excluded[0].reason, HasSubstr("run.json"));
  EXPECT_THAT(store.excluded[1].reason, HasSubstr("same run"));
  EXPECT_EQ(rows(ask_sql(store.database, "SELECT count(*) FROM excluded"))[0][0], "2");
}

TEST_F(DatabaseOfRuns, NothingCanBeWrittenOrReachedFromSql) {
  RunDatabase store = build();
  // Without the guard they pass, or the refusals below would say nothing.
  ASSERT_TRUE(store.database.prepare("PRAGMA user_version = 7"));
  ASSERT_TRUE(store.database.allow_reading_only(60));
  for (const char* sql : {"DELETE FROM runs", "PRAGMA user_version = 7", "ATTACH 'x' AS y",
                          "CREATE TABLE t (a)", "SELECT load_extension('x')",
                          "VACUUM INTO '/tmp/x'", "SELECT 1; DELETE FROM runs", "", "-- nothing"})
    EXPECT_FALSE(ask_sql(store.database, sql)) << sql;
  EXPECT_EQ(rows(ask_sql(store.database, "SELECT count(*) FROM runs;"))[0][0], "8");
}

TEST_F(DatabaseOfRuns, AnAnswerThatTakesTooLongIsAnError) {
  RunDatabase store = build();
  ASSERT_TRUE(store.database.allow_reading_only(0.05));
  auto answer = ask_sql(store.database,
                        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                        "SELECT sum(i) FROM n");
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().line(), HasSubstr("interrupted"));
}

TEST_F(DatabaseOfRuns, ASavedFileIsRead) {
  const fs::path file = directory_.path() / "runs.sqlite";
  build(file);
  auto reopened = Database::open_read_only(file);
  ASSERT_TRUE(reopened);
  EXPECT_EQ(rows(ask_sql(*reopened, "SELECT value FROM meta WHERE key = 'runs'"))[0][0], "8");
  EXPECT_FALSE(fs::exists(file.string() + ".partial"));
}

}  // namespace
}  // namespace gyges::analysis
