#include "agent_runtime/experiment/assignment_queue.h"

#include <poll.h>

#include <cerrno>
#include <exception>
#include <utility>

#include "agent_runtime/experiment/line_stream.h"

namespace gyges::experiment {
namespace {

Result<EpisodeRun> prepare_one(const EpisodePreparer& prepare,
                               const episode::EpisodeRequest& request) {
  try {
    return prepare(request);
  } catch (const std::exception& error) {
    return fail("prepare episode", request.out.string(), error.what(), "report this as a defect");
  }
}

}  // namespace

Result<std::unique_ptr<AssignmentQueue>> AssignmentQueue::start(int input, EpisodePreparer prepare,
                                                                std::function<void()> agent_ended) {
  std::unique_ptr<AssignmentQueue> queue(new AssignmentQueue());
  queue->input_ = input;
  queue->prepare_ = std::move(prepare);
  queue->agent_ended_ = std::move(agent_ended);
  GYGES_TRY(queue->wake_, make_pipe());
  queue->thread_ = std::thread([raw = queue.get()] { raw->read(); });
  return queue;
}

AssignmentQueue::~AssignmentQueue() {
  wake_.write.reset();
  if (thread_.joinable()) thread_.join();
}

Result<std::optional<PreparedAssignment>> AssignmentQueue::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || end_; });
  if (ready_.empty()) {
    GYGES_CHECK(*end_);
    return std::nullopt;
  }
  PreparedAssignment first = std::move(ready_.front());
  ready_.pop_front();
  return std::optional(std::move(first));
}

void AssignmentQueue::read() {
  Status end = read_all();
  {
    std::scoped_lock lock(mutex_);
    end_ = std::move(end);
  }
  changed_.notify_all();
}

Status AssignmentQueue::read_all() {
  LineStream lines(max_message_bytes);
  while (true) {
    while (auto line = lines.next()) {
      GYGES_TRY(Assignment assignment, decode_assignment(*line));
      add(std::move(assignment));
    }
    pollfd wait[2] = {{input_, POLLIN, 0}, {wake_.read.get(), POLLIN, 0}};
    if (poll(wait, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno("wait for", "assignments");
    }
    if (wait[1].revents != 0) return ok();
    if (wait[0].revents == 0) continue;
    GYGES_TRY(bool more, lines.fill(input_));
    if (!more && lines.end()) return ok();
  }
}

void AssignmentQueue::add(Assignment assignment) {
  PreparedAssignment made;
  assignment.request.agent_ended = agent_ended_;
  auto run = prepare_one(prepare_, assignment.request);
  made.assignment = std::move(assignment);
  if (run)
    made.run = std::move(*run);
  else
    made.fault = tl::unexpected<Error>(std::move(run.error()));
  {
    std::scoped_lock lock(mutex_);
    ready_.push_back(std::move(made));
  }
  changed_.notify_all();
}

}  // namespace gyges::experiment
