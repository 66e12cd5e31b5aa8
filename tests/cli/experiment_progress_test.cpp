#include "cli/experiment_progress.h"

#include <gtest/gtest.h>

namespace gyges::cli {
namespace {

experiment::Progress some_progress() {
  experiment::Progress progress;
  progress.conditions = {{"announced", 12, 5, 0}, {"announced_off", 12, 6, 0}};
  progress.planned = 24;
  progress.finished = 11;
  progress.running = 2;
  progress.elapsed = std::chrono::seconds(11);
  return progress;
}

TEST(ExperimentProgressLine, SaysWhatRunsAndHowLongItTakes) {
  EXPECT_EQ(progress_line(some_progress(), 100),
            "announced 5/12, announced_off 6/12, 2 running, 1.0/s, 0:13 left");
}

TEST(ExperimentProgressLine, WhatWaitsForItsTurnIsNamedApart) {
  experiment::Progress progress = some_progress();
  progress.queued = 9;
  EXPECT_EQ(progress_line(progress, 100),
            "announced 5/12, announced_off 6/12, 2 running, 9 queued, 1.0/s, 0:13 left");
}

TEST(ExperimentProgressLine, NarrowTerminalsKeepWhatIsLeft) {
  EXPECT_EQ(progress_line(some_progress(), 50), "11/24 runs, 2 running, 1.0/s, 0:13 left");
}

}  // namespace
}  // namespace gyges::cli
