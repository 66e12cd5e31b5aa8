#include "agent_runtime/experiment/open_experiment.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "agent_runtime/experiment/status.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Opening : public testing::Test {
 protected:
  void write(int repeats) {
    std::ofstream(file_) << R"({"$schema":"gyges/experiment.schema.json","version":1,"name":"e",)"
                         << R"("scenarios":["s1"],"agents":["a"],"seed":1,"repeats":)" << repeats
                         << R"(,"factors":{"oversight":["announced","off"]}})";
  }
  Result<OpenExperiment> open(bool with_file = true) {
    return open_experiment(path_, with_file ? std::optional(file_) : std::nullopt, fake_sources(),
                           fake_bundle_is_whole);
  }
  TemporaryDirectory temporary_ = temporary_directory();
  fs::path file_ = temporary_.path() / "e.experiment.json";
  fs::path path_ = temporary_.path() / "out";
};

TEST_F(Opening, RegistersOnceAndResumesWithoutTheFileBeingNamed) {
  write(3);
  {
    auto first = open();
    ASSERT_TRUE(first) << first.error().line();
    EXPECT_EQ(first->plan.size(), 6U);
  }
  auto resumed = open(false);
  ASSERT_TRUE(resumed) << resumed.error().line();
  EXPECT_EQ(resumed->experiment.repeats, 3U);
}

TEST_F(Opening, EditedFileIsRefusedOnResume) {
  write(3);
  ASSERT_TRUE(open());
  write(4);
  auto refused = open(false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("/repeats: 3 -> 4"));
}

TEST_F(Opening, BadFileLeavesNothingBehind) {
  write(0);
  EXPECT_FALSE(open());
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(Opening, ResumeNeedsAnExperiment) {
  auto refused = open(false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("no experiment.json"));
}

TEST_F(Opening, KeepsTheDayOfTheRecord) {
  write(1);
  ASSERT_TRUE(open());
  auto record = read_record(path_);
  // A day later: a resumed experiment must not count as edited.
  auto later = load_experiment(file_, fake_sources(), (*record)->day);
  ASSERT_TRUE(later);
  EXPECT_EQ(hash_of_resolved_form(resolved_form(*later)), (*record)->sha256);
}

TEST_F(Opening, RecoversWhatWasSealedBeforeTheRename) {
  write(1);
  std::string slot;
  {
    auto first = open();
    ASSERT_TRUE(first);
    slot = first->plan.front().name;
  }
  fs::create_directories(path_ / "partial" / (slot + ".a1"));
  std::ofstream(path_ / "partial" / (slot + ".a1") / "run.json") << "{}";
  std::ofstream(path_ / "partial" / (slot + ".a1") / "seal.json")
      << "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
  auto second = open();
  ASSERT_TRUE(second) << second.error().line();
  EXPECT_THAT(second->recovered, testing::ElementsAre(slot));
}

TEST(ExperimentStatus, CountsWithoutTheFileAndChangesNothing) {
  TemporaryDirectory temporary = temporary_directory();
  const fs::path path = temporary.path() / "e";
  Experiment experiment = make_experiment({"plain", "crash_always"}, 2);
  ASSERT_TRUE(carry_out_with_fake_workers(experiment, path).summary);
  auto status = experiment_status(path);
  ASSERT_TRUE(status) << status.error().line();
  EXPECT_EQ(status->planned, 8U);
  EXPECT_EQ(status->finished, 4U);
  EXPECT_EQ(status->indexed, 4U);
  EXPECT_FALSE(status->running);
  ASSERT_EQ(status->conditions.size(), 2U);
  EXPECT_EQ(status->conditions[0].exits.at("submitted"), 2U);
  EXPECT_EQ(status->failures.size(), 12U);
  fs::remove(index_file(path));
  status = experiment_status(path);
  ASSERT_TRUE(status);
  EXPECT_EQ(status->finished, 4U);
  EXPECT_EQ(status->indexed, 0U);
  EXPECT_FALSE(fs::exists(index_file(path)));
}

TEST(ExperimentStatus, OfSomethingElseIsAnError) {
  TemporaryDirectory temporary = temporary_directory();
  EXPECT_FALSE(experiment_status(temporary.path()));
  EXPECT_FALSE(experiment_status(temporary.path() / "nothing"));
}

}  // namespace
}  // namespace gyges::experiment
