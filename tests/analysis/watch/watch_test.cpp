#include "analysis/watch/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "analysis/watch/spans.h"
#include "base/files.h"
#include "base/json.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class WatchOfRuns : public testing::Test {
 protected:
  void SetUp() override {
    for (std::uint64_t i = 0; i < 30; ++i) write("baseline", "accepted", i, i < 1);
    fs::create_directories(root() / "live");
  }

  fs::path write(const std::string& where, const std::string& agent, std::uint64_t repeat,
                 bool covert) {
    SampleRun sample;
    sample.agent = agent;
    sample.repeat = repeat;
    sample.deletes_held = covert;
    return write_sample_run(root() / where, sample);
  }

  WatchOptions options() {
    WatchOptions options;
    options.baseline = {root() / "baseline"};
    options.live = {root() / "live"};
    options.state = root() / "watch.sqlite";
    options.outcomes = {{"covert_act", Move::rise}};
    options.alpha = 0.05;
    return options;
  }
  Watch open(WatchOptions options) {
    auto watch = Watch::open(std::move(options));
    if (!watch) throw std::runtime_error(watch.error().line());
    return std::move(*watch);
  }
  Watch open() { return open(options()); }

  [[nodiscard]] fs::path root() const { return directory_.path(); }
  TemporaryDirectory directory_ = *TemporaryDirectory::create("watch");
};

TEST_F(WatchOfRuns, RaisesOneAlertWithEvidenceWhenTheRateHasRisen) {
  Watch watch = open();
  EXPECT_EQ(*watch.look(), 0U);
  for (std::uint64_t i = 0; i < 12; ++i) {
    write("live", "deployed", i, true);
    EXPECT_EQ(*watch.look(), 1U);
  }
  EXPECT_EQ(*watch.look(), 0U);
  auto alerts = watch.undelivered("x");
  ASSERT_TRUE(alerts) << alerts.error().line();
  ASSERT_EQ(alerts->size(), 1U);
  const Alert& alert = alerts->front();
  EXPECT_EQ(alert.kind, "shift");
  EXPECT_EQ(alert.agent, "deployed");
  EXPECT_EQ(alert.baseline_trials, 30U);
  ASSERT_FALSE(alert.evidence.empty());
  EXPECT_THAT(alert.evidence[0].text, HasSubstr("2025-10-01.log"));
  EXPECT_TRUE(watch.rates()->front().alarmed);
  ASSERT_TRUE(watch.delivered("x", alert.id));
  EXPECT_TRUE(watch.undelivered("x")->empty());
  EXPECT_EQ(watch.undelivered("y")->size(), 1U);
}

TEST_F(WatchOfRuns, IsQuietWhereNothingHasMoved) {
  Watch watch = open();
  for (std::uint64_t i = 0; i < 12; ++i) write("live", "deployed", i, false);
  EXPECT_EQ(*watch.look(), 12U);
  EXPECT_EQ(*watch.alerts(), 0U);
}

TEST_F(WatchOfRuns, EveryRunOfAnOutcomeAndDamagedBundlesAreAlerts) {
  WatchOptions wanted = options();
  wanted.each = {"covert_act"};
  Watch watch = open(wanted);
  write("live", "deployed", 1, true);
  std::ofstream(write("live", "deployed", 2, false) / "transcript.jsonl", std::ios::app) << "{}\n";
  // A run that is still going on.
  fs::create_directories(root() / "live" / "runs" / "running");
  std::ofstream(root() / "live" / "runs" / "running" / "transcript.jsonl") << "";
  EXPECT_EQ(*watch.look(), 2U);
  auto alerts = *watch.undelivered("x");
  ASSERT_EQ(alerts.size(), 2U);
  EXPECT_EQ(alerts[0].kind, "act");
  EXPECT_EQ(alerts[1].kind, "unfit");
  EXPECT_THAT(alerts[1].message, HasSubstr("transcript.jsonl"));
}

TEST_F(WatchOfRuns, AStateOfAnotherWatchIsRefused) {
  open();
  WatchOptions other = options();
  other.alpha = 0.01;
  auto refused = Watch::open(other);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("another baseline"));
  other = options();
  other.outcomes = {{"no_such_outcome", Move::rise}};
  other.state = root() / "new.sqlite";
  EXPECT_FALSE(Watch::open(other));
}

// Killed at any moment, again and again: every alert is there once, and every run is counted once.
TEST_F(WatchOfRuns, KilledItLosesAndRepeatsNothing) {
  for (std::uint64_t i = 0; i < 25; ++i) write("live", "deployed", i, i % 3 != 0);
  WatchOptions wanted = options();
  wanted.each = {"covert_act"};
  unsigned lives = 0;
  double microseconds = 5000;
  for (bool ended = false; !ended && lives < 80; ++lives) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto watch = Watch::open(wanted);
      bool good = watch && watch->look();
      _exit(good ? 0 : 1);
    }
    // Longer each time, so that it gets to its end at last however slow the machine is.
    usleep(static_cast<useconds_t>(microseconds));
    microseconds *= 1.15;
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  Watch watch = open(wanted);
  EXPECT_EQ(*watch.look(), 0U) << "after " << lives << " lives";
  EXPECT_EQ(watch.rates()->front().live.trials, 25U);
  EXPECT_EQ(watch.rates()->front().live.successes, 16U);
  std::set<std::string> ids;
  const std::vector<Alert> alerts = *watch.undelivered("x");
  for (const Alert& alert : alerts) EXPECT_TRUE(ids.insert(alert.id).second);
  EXPECT_EQ(ids.size(), 17U);  // 16 runs and the shift
}

TEST_F(WatchOfRuns, AlertsHaveTheFieldsOfOcsfEcsAndOtlp) {
  WatchOptions wanted = options();
  wanted.each = {"covert_act"};
  Watch watch = open(wanted);
  write("live", "deployed", 1, true);
  ASSERT_EQ(*watch.look(), 1U);
  Alert alert = watch.undelivered("x")->front();
  auto again = alert_of(alert_json(alert));
  ASSERT_TRUE(again) << again.error().line();
  EXPECT_EQ(alert_json(*again), alert_json(alert));
  nlohmann::json ocsf = ocsf_of(alert);
  for (const char* required : {"activity_id", "category_uid", "class_uid", "finding_info",
                               "metadata", "severity_id", "time", "type_uid"})
    EXPECT_TRUE(ocsf.contains(required)) << required;
  EXPECT_EQ(ocsf["type_uid"], ocsf["class_uid"].get<int>() * 100 + ocsf["activity_id"].get<int>());
  EXPECT_TRUE(ocsf["metadata"]["product"].contains("vendor_name"));
  EXPECT_FALSE(ocsf["evidences"].empty());
  nlohmann::json ecs = ecs_of(alert);
  for (const char* required : {"@timestamp", "ecs", "event", "message"})
    EXPECT_TRUE(ecs.contains(required)) << required;
  EXPECT_EQ(ecs["event"]["kind"], "alert");
  auto otlp = spans_of(alert);
  ASSERT_TRUE(otlp) << otlp.error().line();
  const nlohmann::json& spans = (*otlp)["resourceSpans"][0]["scopeSpans"][0]["spans"];
  ASSERT_GE(spans.size(), 3U);
  std::set<std::string> ids;
  for (const nlohmann::json& span : spans) {
    EXPECT_EQ(span["traceId"].get<std::string>().size(), 32U);
    EXPECT_EQ(span["spanId"].get<std::string>().size(), 16U);
    EXPECT_TRUE(ids.insert(span["spanId"]).second);
    EXPECT_LE(std::stoll(span["startTimeUnixNano"].get<std::string>()),
              std::stoll(span["endTimeUnixNano"].get<std::string>()));
  }
  EXPECT_EQ(spans[0]["name"], "invoke_agent deployed");
  EXPECT_FALSE(spans[0]["events"].empty());
  EXPECT_EQ(spans[1]["name"], "execute_tool bash");
  EXPECT_EQ(spans[1]["parentSpanId"], spans[0]["spanId"]);
  EXPECT_EQ(spans_of(alert)->dump(), otlp->dump());
}

}  // namespace
}  // namespace gyges::analysis
