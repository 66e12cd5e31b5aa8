// What the runner costs beside the episodes themselves: plan, directory, index and record of an
// experiment whose runs take no time.
//
//   scheduling_bench DIRECTORY [RUNS]     1000 runs when absent; DIRECTORY is made, and left
//
// Two lines: with runs that are made in this process, so that only the runner is measured; and with
// two local workers, that write three small files for each run.
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>

#include "agent_runtime/experiment/plan.h"
#include "agent_runtime/experiment/record.h"
#include "base/hash.h"
#include "tests/agent_runtime/experiment/fixture.h"

namespace {

using namespace gyges;
using namespace gyges::experiment;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double processor_milliseconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "scheduling_bench: %s\n", why.c_str());
  std::exit(1);
}

// Makes the bundle when the run is submitted; its time is not the runner's.
class InstantExecutor final : public Executor {
 public:
  [[nodiscard]] std::size_t capacity() const override { return 2; }
  Status submit(const Assignment& assignment) override {
    Clock::time_point start = Clock::now();
    double processor = processor_milliseconds();
    fs::create_directories(assignment.request.out);
    const std::string text = R"({"run_id":"0123456789abcdef","condition":{},"lost":0})";
    std::ofstream(assignment.request.out / "run.json") << text;
    std::ofstream(assignment.request.out / "seal.json") << to_hex(sha256(text));
    done_.push_back(
        {assignment.slot, Completion::Kind::done, {"0123456789abcdef", "submitted"}, {}});
    own_ += milliseconds_since(start);
    own_processor_ += processor_milliseconds() - processor;
    return ok();
  }
  Result<std::optional<Completion>> wait(std::chrono::milliseconds) override {
    if (done_.empty()) return std::nullopt;
    Completion completion = std::move(done_.front());
    done_.pop_front();
    return completion;
  }
  void stop() override {}

  [[nodiscard]] double own() const { return own_; }
  [[nodiscard]] double own_processor() const { return own_processor_; }

 private:
  std::deque<Completion> done_;
  double own_ = 0;
  double own_processor_ = 0;
};

Result<RunnerSummary> run_instantly(const Experiment& experiment, const fs::path& path,
                                    InstantExecutor& executor) {
  GYGES_TRY(ExperimentDirectory directory, ExperimentDirectory::open(path));
  GYGES_TRY(Record record, register_experiment(path, experiment));
  const std::vector<Slot> plan = make_plan(experiment);
  GYGES_TRY(Index index, Index::open(path, record, experiment, plan));
  return carry_out(experiment, plan, directory, index, executor, {});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) give_up("DIRECTORY [RUNS]");
  const fs::path directory = argv[1];
  const auto runs = static_cast<std::uint32_t>(argc == 3 ? std::stoul(argv[2]) : 1000);
  Experiment experiment = make_experiment({"plain"}, runs / 2);
  fs::create_directories(directory);

  InstantExecutor executor;
  Clock::time_point start = Clock::now();
  double processor = processor_milliseconds();
  auto summary = run_instantly(experiment, directory / "instant", executor);
  if (!summary) give_up(summary.error().line());
  auto finished = static_cast<double>(summary->progress.finished);
  std::printf("the runner alone:  %.0f runs, %.2f ms each (%.2f ms of them processor)\n", finished,
              (milliseconds_since(start) - executor.own()) / finished,
              (processor_milliseconds() - processor - executor.own_processor()) / finished);

  start = Clock::now();
  processor = processor_milliseconds();
  Carried carried = carry_out_with_fake_workers(experiment, directory / "workers");
  if (!carried.summary) give_up(carried.summary.error().line());
  finished = static_cast<double>(carried.summary->progress.finished);
  std::printf("two local workers: %.0f runs, %.2f ms each (%.2f ms of processor in the runner)\n",
              finished, milliseconds_since(start) / finished,
              (processor_milliseconds() - processor) / finished);
  return 0;
}
