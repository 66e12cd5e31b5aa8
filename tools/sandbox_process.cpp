#include "tools/sandbox_process.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "tools/output_window.h"

namespace gyges::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds grace_after_end{150};
constexpr milliseconds grace_after_kill{5000};
constexpr milliseconds longest_poll{250};
constexpr std::size_t output_bound_without_limit = 1U << 20U;

// Writing to a pipe whose reader is gone raises SIGPIPE; blocks it in this thread and takes a
// pending one away, so that the process's own disposition stays as it is.
class SigpipeBlock {
 public:
  SigpipeBlock() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~SigpipeBlock() {
    timespec none{};
    if (!was_pending_)
      while (sigtimedwait(&set_, nullptr, &none) < 0 && errno == EINTR) {
      }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlock(const SigpipeBlock&) = delete;
  SigpipeBlock& operator=(const SigpipeBlock&) = delete;

 private:
  sigset_t set_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

Status make_nonblocking(int fd) {
  int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno("set pipe non-blocking", "");
  return ok();
}

// The two ends of Gyges; what the process got has been closed here.
struct Ends {
  UniqueFd output;
  UniqueFd input;
  std::string_view unwritten;
};

bool readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  return fd >= 0 && ::poll(&one, 1, 0) > 0;
}

void read_some(Ends& ends, OutputWindow& window) {
  std::array<char, 65536> chunk;
  for (int round = 0; round < 16 && ends.output; ++round) {
    ssize_t n = ::read(ends.output.get(), chunk.data(), chunk.size());
    if (n > 0) {
      window.append({chunk.data(), static_cast<std::size_t>(n)});
    } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
      ends.output.reset();
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

void write_some(Ends& ends) {
  while (!ends.unwritten.empty()) {
    ssize_t n = ::write(ends.input.get(), ends.unwritten.data(), ends.unwritten.size());
    if (n > 0) {
      ends.unwritten.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      break;  // the process does not read it; that is its affair
    }
  }
  ends.input.reset();
}

// `event_fd` and `cancel_fd` are -1 where nothing is to be waited for.
void poll_once(Ends& ends, int event_fd, int cancel_fd, milliseconds timeout,
               OutputWindow& window) {
  std::array<pollfd, 4> fds{};
  fds[0] = {ends.output.get(), POLLIN, 0};
  fds[1] = {ends.input.get(), POLLOUT, 0};
  fds[2] = {event_fd, POLLIN, 0};
  fds[3] = {cancel_fd, POLLIN, 0};
  if (::poll(fds.data(), fds.size(),
             static_cast<int>(std::max(timeout, milliseconds(0)).count())) <= 0)
    return;
  if (fds[0].revents != 0) read_some(ends, window);
  if (fds[1].revents != 0) write_some(ends);
}

struct Waited {
  std::optional<isolation::CommandEnd> end;
  bool timed_out = false;
  bool cancelled = false;
  std::optional<Error> lost;

  // The process group has been killed.
  [[nodiscard]] bool stopped() const { return timed_out || cancelled; }
};

Waited pump(const ToolContext& context, isolation::CommandId id, Ends& ends, OutputWindow& window) {
  Waited waited;
  auto deadline = std::min(Clock::now() + context.timeout, context.deadline);
  for (;;) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()) + milliseconds(1);
    poll_once(ends, waited.end ? -1 : context.sandbox.event_fd(),
              waited.end || waited.stopped() ? -1 : context.cancel_fd, std::min(left, longest_poll),
              window);
    if (context.progress && !waited.end) context.progress(window.total());
    if (!waited.end) {
      auto end = context.sandbox.wait(id, Clock::now());
      if (!end) {
        waited.lost = end.error();
        return waited;
      }
      if (*end) {
        waited.end = **end;
        deadline = Clock::now() + grace_after_end;
      }
    }
    if (waited.end && !ends.output) return waited;
    bool cancel = !waited.end && !waited.stopped() && readable(context.cancel_fd);
    if (Clock::now() < deadline && !cancel) continue;
    if (waited.end || waited.stopped()) return waited;
    (cancel ? waited.cancelled : waited.timed_out) = true;
    if (auto killed = context.sandbox.signal(id, SIGKILL, true); !killed) {
      waited.lost = killed.error();
      return waited;
    }
    deadline = Clock::now() + grace_after_kill;
  }
}

std::string status_note(const Waited& waited, const ToolContext& context) {
  if (waited.cancelled) return "[cancelled]";
  if (waited.timed_out)
    return "[stopped after " + std::to_string(context.timeout.count()) + " seconds]";
  if (!waited.end) return "";
  if (waited.end->signal != 0)
    return std::string("[ended by signal ") + std::to_string(waited.end->signal) + ", " +
           strsignal(waited.end->signal) + "]";
  if (waited.end->exit_code != 0)
    return "[exit status " + std::to_string(waited.end->exit_code) + "]";
  return "";
}

ToolResult result_of(const Waited& waited, const OutputWindow& window, const ToolContext& context) {
  ToolResult result;
  result.output = window.text();
  result.truncated = window.truncated();
  if (waited.end) {
    result.exit_code = waited.end->exit_code;
    result.signal = waited.end->signal;
    if (!waited.end->start_error.empty())
      result.error = ToolError{"start", printable(waited.end->start_error)};
  }
  if (waited.cancelled) result.error = ToolError{"cancelled", "the call was cancelled"};
  if (waited.timed_out)
    result.error = ToolError{
        "timeout", "stopped after " + std::to_string(context.timeout.count()) + " seconds"};
  if (waited.lost) {
    result.error = ToolError{"sandbox", printable(waited.lost->line())};
    result.sandbox_lost = true;
  }
  std::string note = status_note(waited, context);
  if (result.error && result.error->type == "start") note = result.error->message;
  if (!note.empty()) {
    if (!result.output.empty() && !result.output.ends_with('\n')) result.output += '\n';
    result.output += note;
  }
  return result;
}

}  // namespace

ToolResult error_result(std::string type, std::string message) {
  ToolResult result;
  result.output = message;
  result.error = ToolError{std::move(type), std::move(message)};
  return result;
}

ToolResult run_in_sandbox(const ToolContext& context, const ProcessRequest& request) {
  SigpipeBlock no_sigpipe;
  auto failed = [](const Error& error) { return error_result("start", printable(error.line())); };
  auto output = make_pipe();
  if (!output) return failed(output.error());
  Pipe input;
  if (!request.standard_input.empty()) {
    auto made = make_pipe();
    if (!made) return failed(made.error());
    input = std::move(*made);
  }
  for (int fd : {output->read.get(), input.write.get()})
    if (fd >= 0)
      if (auto set = make_nonblocking(fd); !set) return failed(set.error());
  isolation::Command command;
  command.argv = request.argv;
  command.environment = context.environment;
  command.directory = context.home;
  command.standard_input = input.read.get();
  command.standard_output = output->write.get();
  command.standard_error = output->write.get();
  command.tool_call = context.call;
  auto id = context.sandbox.spawn(command);
  if (!id) return failed(id.error());
  output->write.reset();
  input.read.reset();
  Ends ends{std::move(output->read), std::move(input.write), request.standard_input};
  OutputWindow window(context.output_bytes != 0 ? context.output_bytes
                                                : output_bound_without_limit);
  Waited waited = pump(context, *id, ends, window);
  // The wall clock kills the process with everything else; it looks like an end by signal.
  for (const auto& hit : context.sandbox.limits_hit())
    if (hit.limit == "wall_seconds" && !waited.lost)
      waited.lost =
          fail("run tool", request.argv[0], "the sandbox has ended: " + hit.detail).value();
  if (window.truncated())
    context.sandbox.note_limit({"output_bytes", "call " + std::to_string(context.call) + ": " +
                                                    std::to_string(window.total()) + " bytes"});
  return result_of(waited, window, context);
}

}  // namespace gyges::tools
