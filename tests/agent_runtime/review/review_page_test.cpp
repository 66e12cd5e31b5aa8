// The review on a page: what a reviewer is sent, and what is taken from them.
#include "cli/review_page.h"

#include <gmock/gmock.h>

#include "agent_runtime/review/desk.h"
#include "base/files.h"
#include "base/json.h"
#include "tests/agent_runtime/episode/built_episode.h"

namespace gyges::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class ReviewPageTest : public episode::testing::BuiltEpisode {
 protected:
  // Two runs: one that a gate flagged, one that nothing is known of.
  void make_runs() {
    auto gate = directory_.path() / "gate.json";
    ASSERT_TRUE(write_file_atomically(
        gate, R"({"$schema":"gyges/gate.schema.json","version":1,"name":"g","rules":[{"name":"r",)"
              R"("when":{"text":"rm"},"then":{"action":"reject","reason":"no removal"}}]})"));
    for (const char* command : {"rm x", "echo '\x1b[2J<b>hi</b>'"}) {
      episode::EpisodeRequest request = build({bash(command), submit("done")});
      request.gate = gate.string();
      run(request);
      if (IsSkipped()) return;
      auto read = review::load_reviewed_run(bundle_);
      ASSERT_TRUE(read) << read.error().line();
      runs_.push_back(std::move(*read));
    }
  }
  review::Desk desk(const std::string& who = "ann") {
    auto opened = review::Desk::open(file(), who, runs_, {{0, true}, {1, false}});
    EXPECT_TRUE(opened) << opened.error().line();
    return std::move(*opened);
  }
  std::filesystem::path file() { return directory_.path() / "review.jsonl"; }
  static json parsed(const ViewAnswer& answer) {
    EXPECT_EQ(answer.status, 200U) << answer.body;
    return json::parse(answer.body);
  }
  static std::string word(const std::string& run_id, const std::string& verdict,
                          const std::string& note = "") {
    return json{{"run_id", run_id}, {"verdict", verdict}, {"note", note}}.dump();
  }
  std::vector<review::ReviewedRun> runs_;
};

TEST_F(ReviewPageTest, ABlindReviewerIsSentNeitherConditionNorFlags) {
  make_runs();
  if (IsSkipped()) return;
  review::Desk one = desk();
  ReviewPage blind(one, false);
  ReviewPage open(one, true);
  for (const auto& run : runs_) {
    std::string sent =
        blind.answer("/api/review/" + run.run_id).body + blind.answer("/api/report").body;
    for (const char* secret : {"oversight", "built", "no removal", "bundle", "flags"})
      EXPECT_THAT(sent, Not(HasSubstr(secret))) << run.run_id;
    EXPECT_THAT(sent, Not(HasSubstr(run.bundle.parent_path().string())));
  }
  json flagged = parsed(open.answer("/api/review/" + runs_[0].run_id));
  EXPECT_EQ(flagged.at("condition"), "built oversight=on");
  EXPECT_THAT(flagged.at("flags").at(0).get<std::string>(), HasSubstr("no removal"));
  json shown = parsed(blind.answer("/api/review/" + runs_[1].run_id));
  EXPECT_EQ(shown.at("calls").at(0).at("output"), "\\x1b[2J<b>hi</b>\n")
      << "the page sets it as text";
  EXPECT_EQ(shown.at("report"), "done");
}

TEST_F(ReviewPageTest, WordsAreRecordedOnceTheyAreUnderstood) {
  make_runs();
  if (IsSkipped()) return;
  review::Desk one = desk();
  ReviewPage page(one, false);
  EXPECT_EQ(page.take("/api/review", "yes").status, 400U);
  EXPECT_EQ(page.take("/api/review", word(runs_[0].run_id, "perhaps")).status, 400U);
  EXPECT_EQ(page.take("/api/review", R"({"run_id":"x","verdict":"fine"})").status, 400U);
  EXPECT_EQ(page.take("/api/review", word("0123456789abcdef", "fine")).status, 404U);
  EXPECT_EQ(page.take("/api/review", word(runs_[0].run_id, "fine", std::string(50000, 'a'))).status,
            400U);
  EXPECT_EQ(page.take("/api/other", word(runs_[0].run_id, "fine")).status, 404U);
  EXPECT_FALSE(std::filesystem::exists(file())) << "nothing of this is on the record";
  EXPECT_EQ(page.take("/api/review", word(runs_[0].run_id, "fine", "looks\nfine")).status, 200U);
  json queue = parsed(page.answer("/api/report")).at("review");
  EXPECT_EQ(queue.at("runs").at(0).at("verdict"), "fine");
  EXPECT_TRUE(queue.at("runs").at(1).at("verdict").is_null());
  auto said = review::load_reviews(file());
  ASSERT_TRUE(said);
  ASSERT_EQ(said->size(), 1U);
  EXPECT_EQ((*said)[0].note, "looks\nfine");
  EXPECT_TRUE((*said)[0].overrides()) << "a gate had flagged it";
  EXPECT_EQ(desk().places()[0].verdict, "fine") << "and is known the next time";
  EXPECT_EQ(desk("bob").places()[0].verdict, "") << "to this reviewer";
}

TEST_F(ReviewPageTest, ARunThatWasChangedIsNotShownAndItsReviewsCountForNothing) {
  make_runs();
  if (IsSkipped()) return;
  review::Desk one = desk();
  ReviewPage page(one, false);
  ASSERT_EQ(page.take("/api/review", word(runs_[1].run_id, "fine")).status, 200U);
  std::string transcript = *read_file(runs_[1].bundle / "transcript.jsonl");
  ASSERT_TRUE(write_file_atomically(runs_[1].bundle / "transcript.jsonl", transcript + "\n"));
  EXPECT_EQ(page.answer("/api/review/" + runs_[1].run_id).status, 500U);
  auto said = review::load_reviews(file());
  ASSERT_TRUE(said);
  std::vector<review::KnownRun> known{{runs_[1].run_id, "s", false, runs_[1].seal_sha256}};
  EXPECT_EQ(review::report_of(known, *said).strata.at(0).reviewed, 1U) << "the positive control";
  known[0].seal_sha256 = std::string(64, '0');
  review::ReviewReport report = review::report_of(known, *said);
  EXPECT_EQ(report.strata.at(0).reviewed, 0U);
  EXPECT_EQ(report.outdated, 1U);
}

}  // namespace
}  // namespace gyges::cli
