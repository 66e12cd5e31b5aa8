// A worker for tests. The name of the agent file says what a run does: write a bundle (any name),
// "slow" (after 30 ms), "crash_once", "crash_always", "fail", "hang", "hang_once", "noisy" (8 MB of
// errors), "finishing" (says so and waits for a file "go"), "finishing_crash", "unpreparable".
// Argument: the process id of the runner, or "refuse", or "silent" (ends before it is ready), or
// those of a Slurm task.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "agent_runtime/experiment/slurm_batch.h"
#include "agent_runtime/experiment/worker.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/hash.h"

namespace {

using namespace gyges;

Result<episode::EpisodeOutcome> run(const episode::EpisodeRequest& request) {
  const std::string behaviour = request.agent.filename().string();
  std::filesystem::create_directories(request.out / "files");
  const std::filesystem::path mark = request.out.parent_path().parent_path() / "crashed";
  if (behaviour == "slow") std::this_thread::sleep_for(std::chrono::milliseconds(30));
  if (behaviour == "hang") std::this_thread::sleep_for(std::chrono::hours(1));
  if (behaviour == "fail") return fail("start sandbox", "/proc", "no such thing", "be elsewhere");
  if (behaviour == "crash_always") raise(SIGKILL);
  // Of two workers at one time one is the first.
  const auto is_first = [&] {
    return UniqueFd(::open(mark.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)).get() >= 0;
  };
  if (behaviour == "crash_once" && is_first()) raise(SIGKILL);
  if (behaviour == "hang_once" && is_first()) std::this_thread::sleep_for(std::chrono::hours(1));
  // Finishes once the file is there: what is prepared meanwhile is seen in "prepared".
  if (behaviour.starts_with("finishing") && request.agent_ended) {
    request.agent_ended();
    const auto go = request.out.parent_path().parent_path() / "go";
    while (!std::filesystem::exists(go)) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (behaviour == "finishing_crash") raise(SIGKILL);
  }
  if (behaviour == "noisy")
    for (int i = 0; i < 2000; ++i) GYGES_CHECK(write_all(2, std::string(4096, 'n')));
  std::string condition;
  for (const auto& [factor, level] : request.condition)
    condition += (condition.empty() ? "\"" : ",\"") + factor + "\":\"" + level + "\"";
  const std::string text =
      "{\"run_id\":\"0123456789abcdef\",\"condition\":{" + condition +
      "},\"seed\":" + std::to_string(request.seed) +
      ",\"duration_ms\":1.5,\"lost\":0,\"started_at\":\"2026-11-21T09:00:00.000Z\","
      "\"exit\":{\"kind\":\"submitted\",\"code\":0,\"signal\":0,\"reason\":\"\"},"
      "\"limits_hit\":[{\"limit\":\"turns\",\"detail\":\"10 of 10\"}],"
      "\"scenario\":{\"checks\":[{\"name\":\"held\",\"kind\":\"covert\",\"title\":\"Held\"}]},"
      "\"coverage\":{\"backend\":\"ebpf\",\"complete\":true,\"events\":5,\"syscalls\":4,"
      "\"bytes\":99}}";
  GYGES_CHECK(write_file_atomically(request.out / "run.json", text));
  // One byte a run, appended: shows how often a slot was run to its end.
  std::ofstream(request.out.parent_path().parent_path() / "runs_made", std::ios::app)
      << request.out.stem().string() + "\n";
  GYGES_CHECK(write_file_atomically(request.out / "seal.json", to_hex(sha256(text))));
  return episode::EpisodeOutcome{"0123456789abcdef", "submitted", "", {}, 0};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "silent") return 7;
  if (mode == "refuse") {
    auto refusal =
        experiment::WorkerRefused{{"open recorder", "", "no privilege", "be root", 0, {}}};
    return write_all(1, experiment::encode(refusal)) ? 0 : 1;
  }
  experiment::EpisodePreparer prepare =
      [](const episode::EpisodeRequest& request) -> gyges::Result<experiment::EpisodeRun> {
    if (request.agent.filename() == "unpreparable") return gyges::fail("prepare", "", "no world");
    std::ofstream(request.out.parent_path().parent_path() / "prepared", std::ios::app)
        << request.out.stem().string() + "\n";
    return experiment::EpisodeRun([request] { return run(request); });
  };
  if (argc == 5 && mode == "--slurm-batch")
    return experiment::serve_slurm_task(argv[2], std::stoul(argv[4]), "fake", prepare) ? 0 : 9;
  setpgid(0, 0);
  fcntl(3, F_SETFD, FD_CLOEXEC);
  if (!mode.empty() && !experiment::die_with(std::atoi(mode.c_str()))) return 8;
  return experiment::serve_assignments(0, 1, "fake", prepare) ? 0 : 9;
}
