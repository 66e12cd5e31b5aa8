#include "cli/experiment_worker.h"

#include <fcntl.h>
#include <unistd.h>

#include "agent_runtime/episode/episode.h"
#include "agent_runtime/experiment/slurm_batch.h"
#include "agent_runtime/experiment/worker.h"
#include "agent_runtime/experiment/worker_protocol.h"
#include "base/fd.h"
#include "cli/command.h"
#include "cli/open_recorder.h"
#include "sandbox/recorder/format/coverage.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::cli {
namespace {

// Moves the two streams of messages away from the standard descriptors, so that nothing that prints
// can break the protocol and nothing that reads can steal from it.
Result<Pipe> take_streams() {
  Pipe streams;
  streams.read = UniqueFd(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10));
  streams.write = UniqueFd(fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10));
  if (!streams.read || !streams.write) return fail_errno("duplicate", "standard streams");
  UniqueFd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!nothing) return fail_errno("open", "/dev/null");
  if (dup2(nothing.get(), STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
    return fail_errno("rearrange", "standard streams");
  return streams;
}

Result<experiment::EpisodeRun> prepare(const episode::EpisodeRequest& request,
                                       recorder::Recorder* recorder) {
  GYGES_TRY(episode::PreparedEpisode made, episode::prepare_episode(request));
  // Shared, because a std::function is copied.
  auto prepared = std::make_shared<episode::PreparedEpisode>(std::move(made));
  return experiment::EpisodeRun(
      [prepared, recorder] { return episode::run_episode(std::move(*prepared), recorder); });
}

Status serve(const WorkerOptions& options) {
  if (options.lock_fd >= 0 && fcntl(options.lock_fd, F_SETFD, FD_CLOEXEC) != 0)
    return fail_errno("keep", "the experiment's lock");
  if (options.parent > 0) {
    // A group of its own: Ctrl-C at the terminal is for the runner to deal with.
    if (setpgid(0, 0) != 0) return fail_errno("make", "a process group");
    GYGES_CHECK(experiment::die_with(options.parent));
  }
  GYGES_TRY(Pipe streams, take_streams());
  auto recorder = open_recorder(options.recorder);
  if (!recorder)
    return write_all(streams.write.get(),
                     experiment::encode(experiment::WorkerRefused{recorder.error()}));
  std::string backend =
      *recorder ? std::string(recorder::backend_name((*recorder)->backend())) : "off";
  return experiment::serve_assignments(streams.read.get(), streams.write.get(), backend,
                                       [&](episode::EpisodeRequest request) {
                                         request.allow_degraded = options.allow_degraded;
                                         return prepare(request, recorder->get());
                                       });
}

int serve_task_of_slurm(const WorkerOptions& options) {
  auto recorder = open_recorder(options.recorder);
  if (!recorder) {
    Status told =
        experiment::refuse_slurm_task(options.slurm_batch, options.slurm_task, recorder.error());
    return told ? report(recorder.error()) : report(told.error());
  }
  std::string backend =
      *recorder ? std::string(recorder::backend_name((*recorder)->backend())) : "off";
  Status served = experiment::serve_slurm_task(options.slurm_batch, options.slurm_task, backend,
                                               [&](episode::EpisodeRequest request) {
                                                 request.allow_degraded = options.allow_degraded;
                                                 return prepare(request, recorder->get());
                                               });
  return served ? 0 : report(served.error());
}

}  // namespace

int run_experiment_worker(const WorkerOptions& options) {
  if (!options.slurm_batch.empty()) return serve_task_of_slurm(options);
  auto served = serve(options);
  return served ? 0 : report(served.error());
}

}  // namespace gyges::cli
