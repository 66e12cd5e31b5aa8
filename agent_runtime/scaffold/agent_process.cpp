#include "agent_runtime/scaffold/agent_process.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>

#include "base/fd.h"
#include "tools/output_window.h"

namespace gyges::scaffold {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds grace_after_end{150};  // for output that others still hold open
constexpr milliseconds grace_after_term{2000};
constexpr milliseconds grace_after_kill{5000};
constexpr milliseconds longest_poll{250};

struct Stream {
  UniqueFd fd;
  tools::OutputWindow window;

  void read_some() {
    std::array<char, 65536> chunk;
    for (int round = 0; round < 16 && fd; ++round) {
      ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
      if (n > 0) {
        window.append({chunk.data(), static_cast<std::size_t>(n)});
      } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
        fd.reset();
      } else if (errno == EAGAIN) {
        return;
      }
    }
  }
};

Result<UniqueFd> open_stream(Stream& stream) {
  GYGES_TRY(Pipe pipe, make_pipe());
  int flags = ::fcntl(pipe.read.get(), F_GETFL);
  if (flags < 0 || ::fcntl(pipe.read.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("set pipe non-blocking", "");
  stream.fd = std::move(pipe.read);
  return std::move(pipe.write);
}

class Run {
 public:
  Run(isolation::Sandbox& sandbox, const AgentCommand& command)
      : sandbox_(sandbox),
        command_(command),
        out_{UniqueFd(), tools::OutputWindow(command.output_bytes)},
        err_{UniqueFd(), tools::OutputWindow(command.output_bytes)} {}

  AgentEnd run() {
    if (auto done = start_and_wait(); !done) end_.lost = std::move(done.error());
    end_.output = out_.window.text();
    end_.errors = err_.window.text();
    return std::move(end_);
  }

 private:
  Status start_and_wait() {
    isolation::Command start;
    start.argv = command_.argv;
    start.environment = command_.environment;
    start.directory = command_.directory;
    {
      GYGES_TRY(UniqueFd output, open_stream(out_));
      GYGES_TRY(UniqueFd errors, open_stream(err_));
      start.standard_output = output.get();
      start.standard_error = errors.get();
      GYGES_TRY(id_, sandbox_.spawn(start));
    }
    auto deadline = command_.deadline;
    int killing = 0;  // signals sent
    for (;;) {
      poll_once(deadline);
      if (!end_.end) {
        GYGES_TRY(end_.end, sandbox_.wait(id_, Clock::now()));
        if (end_.end) deadline = Clock::now() + grace_after_end;
      }
      if (end_.end && !out_.fd && !err_.fd) return ok();
      bool worked_out = killing == 0 && !end_.end && command_.working_deadline &&
                        Clock::now() >= command_.working_deadline();
      if (Clock::now() < deadline && !worked_out && !(stop_seen_ && killing == 0 && !end_.end))
        continue;
      if (end_.end || killing == 2) return ok();
      if (killing == 0) {
        end_.stopped = stop_seen_ && !interrupt_seen_;
        end_.interrupted = interrupt_seen_;
        end_.worked_out = !stop_seen_ && worked_out;
        end_.timed_out = !stop_seen_ && !worked_out;
      }
      GYGES_CHECK(sandbox_.signal(id_, killing == 0 ? SIGTERM : SIGKILL, true));
      deadline = Clock::now() + (killing == 0 ? grace_after_term : grace_after_kill);
      ++killing;
    }
  }

  void poll_once(Clock::time_point deadline) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()) + milliseconds(1);
    left = std::clamp(left, milliseconds(0), longest_poll);
    std::array<pollfd, 6> fds{};
    fds[0] = {out_.fd.get(), POLLIN, 0};
    fds[1] = {err_.fd.get(), POLLIN, 0};
    fds[2] = {end_.end ? -1 : sandbox_.event_fd(), POLLIN, 0};
    fds[3] = {stop_seen_ ? -1 : command_.stop_fd, POLLIN, 0};
    // Where tools of the scenario run beside the agent, their threads may read of its end.
    fds[4] = {end_.end ? -1 : sandbox_.end_fd(id_), POLLIN, 0};
    fds[5] = {stop_seen_ ? -1 : command_.interrupt_fd, POLLIN, 0};
    if (::poll(fds.data(), fds.size(), static_cast<int>(left.count())) <= 0) return;
    if (fds[0].revents != 0) out_.read_some();
    if (fds[1].revents != 0) err_.read_some();
    if (fds[3].revents != 0) stop_seen_ = true;
    if (fds[5].revents != 0) stop_seen_ = interrupt_seen_ = true;
  }

  isolation::Sandbox& sandbox_;
  const AgentCommand& command_;
  Stream out_;
  Stream err_;
  AgentEnd end_;
  isolation::CommandId id_ = 0;
  bool stop_seen_ = false;
  bool interrupt_seen_ = false;
};

}  // namespace

AgentEnd run_agent(isolation::Sandbox& sandbox, const AgentCommand& command) {
  return Run(sandbox, command).run();
}

}  // namespace gyges::scaffold
