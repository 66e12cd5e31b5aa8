#include "agent_runtime/experiment/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

using testing::HasSubstr;

class RecordOfExperiment : public testing::Test {
 protected:
  TemporaryDirectory directory_ = temporary_directory();
  Experiment experiment_ = make_experiment({"a", "b"}, 3);
};

TEST_F(RecordOfExperiment, IsWrittenOnceAndAcceptedAgain) {
  auto none = read_record(directory_.path());
  ASSERT_TRUE(none);
  EXPECT_FALSE(*none);
  auto first = register_experiment(directory_.path(), experiment_);
  ASSERT_TRUE(first) << first.error().line();
  auto text = read_file(record_file(directory_.path()));
  auto second = register_experiment(directory_.path(), experiment_);
  ASSERT_TRUE(second) << second.error().line();
  EXPECT_EQ(first->sha256, second->sha256);
  EXPECT_EQ(*text, *read_file(record_file(directory_.path())));
  EXPECT_EQ((*read_record(directory_.path()))->day, "2026-11-21");
}

TEST_F(RecordOfExperiment, EditedExperimentIsRefusedAndTheChangeNamed) {
  ASSERT_TRUE(register_experiment(directory_.path(), experiment_));
  experiment_.repeats = 9;
  experiment_.agents[1].facts[0].sha256 = std::string(64, '0');
  auto refused = register_experiment(directory_.path(), experiment_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("/repeats: 3 -> 9"));
  EXPECT_THAT(refused.error().line(), HasSubstr("/agents/1/sha256/s1"));
}

TEST_F(RecordOfExperiment, AddedEntryIsNamed) {
  ASSERT_TRUE(register_experiment(directory_.path(), experiment_));
  experiment_.conditions.push_back({"third", {}});
  auto refused = register_experiment(directory_.path(), experiment_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("/conditions/2: absent -> "));
}

TEST_F(RecordOfExperiment, EditedRecordIsNoticed) {
  ASSERT_TRUE(register_experiment(directory_.path(), experiment_));
  auto text = read_file(record_file(directory_.path()));
  auto at = text->find("\"repeats\": 3");
  ASSERT_NE(at, std::string::npos);
  text->replace(at, 12, "\"repeats\": 4");
  ASSERT_TRUE(write_file_atomically(record_file(directory_.path()), *text));
  auto refused = register_experiment(directory_.path(), experiment_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("the record was edited"));
}

TEST_F(RecordOfExperiment, DamagedRecordIsAnError) {
  for (const char* text : {"", "{}", "{\"version\":1", "[1]"}) {
    ASSERT_TRUE(write_file_atomically(record_file(directory_.path()), text));
    EXPECT_FALSE(read_record(directory_.path())) << text;
  }
}

}  // namespace
}  // namespace gyges::experiment
