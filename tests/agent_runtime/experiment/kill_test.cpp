// kill -9 of the runner, at many moments: no finished run is lost, none is repeated, no worker
// stays, and the next runner can go on at once.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "agent_runtime/experiment/record.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;

// Ids and times of the finished bundles, to see that they are never made again.
std::map<std::string, fs::file_time_type> finished_bundles(const fs::path& directory) {
  std::map<std::string, fs::file_time_type> bundles;
  auto slots = finished_slots(directory);
  if (!slots) return bundles;
  for (const std::string& slot : *slots)
    bundles[slot] = fs::last_write_time(directory / "runs" / slot / "seal.json");
  return bundles;
}

TEST(KilledRunner, LosesAndRepeatsNothing) {
  TemporaryDirectory temporary = temporary_directory();
  const fs::path path = temporary.path() / "e";
  Experiment experiment = make_experiment({"slow", "plain"}, 40);
  const std::size_t planned = make_plan(experiment).size();
  std::map<std::string, fs::file_time_type> kept;
  int kills = 0;
  for (useconds_t delay = 2000; kept.size() < planned && kills < 60; delay += 5000) {
    pid_t runner = fork();
    ASSERT_GE(runner, 0);
    if (runner == 0) {
      auto carried = carry_out_with_fake_workers(experiment, path);
      _exit(carried.summary ? 0 : 1);
    }
    usleep(delay);
    kill(runner, SIGKILL);
    int status = 0;
    waitpid(runner, &status, 0);
    if (WIFSIGNALED(status)) ++kills;
    auto now = finished_bundles(path);
    for (const auto& [slot, time] : kept) {
      ASSERT_TRUE(now.contains(slot)) << slot << " was lost";
      ASSERT_EQ(now[slot], time) << slot << " was made again";
    }
    for (const auto& [slot, time] : now)
      ASSERT_TRUE(fake_bundle_is_whole(path / "runs" / slot)) << slot;
    kept = std::move(now);
  }
  EXPECT_GT(kills, 5);
  auto carried = carry_out_with_fake_workers(experiment, path);
  ASSERT_TRUE(carried.summary) << carried.summary.error().line();
  EXPECT_EQ(finished_slots(path)->size(), planned);
  EXPECT_TRUE(fs::is_empty(path / "partial"));
  auto record = read_record(path);
  ASSERT_TRUE(record && *record);
  IndexRefresh refresh;
  ASSERT_TRUE(Index::open(path, **record, experiment, make_plan(experiment), &refresh));
  EXPECT_EQ(refresh.added, 0U);
}

TEST(KilledRunner, TakesItsWorkersWithIt) {
  TemporaryDirectory temporary = temporary_directory();
  const fs::path path = temporary.path() / "e";
  Experiment experiment = make_experiment({"hang"}, 1);
  pid_t runner = fork();
  ASSERT_GE(runner, 0);
  if (runner == 0) {
    auto carried = carry_out_with_fake_workers(experiment, path);
    _exit(carried.summary ? 0 : 1);
  }
  // Both workers have begun their runs.
  for (int i = 0; i < 500; ++i) {
    std::error_code error;
    if (fs::exists(path / "partial" / "s1.hang.off.r0.a1", error) &&
        fs::exists(path / "partial" / "s1.hang.announced.r0.a1", error))
      break;
    usleep(10000);
  }
  EXPECT_TRUE(in_use(path));
  kill(runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  // The workers hold the lock: when it is free, they are gone.
  for (int i = 0; i < 500 && in_use(path); ++i) usleep(10000);
  EXPECT_FALSE(in_use(path));
}

}  // namespace
}  // namespace gyges::experiment
