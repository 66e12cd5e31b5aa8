#include "tools/shell_session.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>

#include "base/text.h"
#include "tools/pipe_ends.h"
#include "tools/sandbox_process.h"

namespace gyges::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds longest_poll{250};
constexpr milliseconds grace_after_kill{5000};
constexpr std::size_t longest_status = 16;

// Read by the shell as its program, in one piece before it is executed. Commands come as eight
// digits, the length in bytes, and so many bytes: with -N the shell reads them in two system calls
// instead of one for each byte. The two channels are closed for what a command runs; its standard
// input is empty, as nobody types.
constexpr std::string_view driver =
    "{ exec 3<&0 4>&2 0</dev/null 2>&1; while LC_ALL=C IFS= read -r -N 8 -u 3 REPLY && "
    "LC_ALL=C IFS= read -r -N \"$((10#$REPLY))\" -u 3 REPLY; do eval \"$REPLY\" 3<&- 4>&-; "
    "printf '%d\\0' \"$?\" >&4; done; exit 0; }\n";

std::string framed(const std::string& command) {
  std::array<char, 16> length{};
  std::snprintf(length.data(), length.size(), "%08zu", command.size());
  return length.data() + command;
}

}  // namespace

struct ShellSession::Turn {
  Output& output;
  std::string bytes;  // to be written
  std::string_view unwritten;
  std::string status;
  std::optional<int> exit_code;              // of the command
  std::optional<isolation::CommandEnd> end;  // of the shell
  bool timed_out = false;
  bool cancelled = false;
  std::optional<Error> lost;

  // The shell has been killed.
  [[nodiscard]] bool stopped() const { return timed_out || cancelled; }
};

Status ShellSession::start(const ToolContext& context) {
  GYGES_TRY(Pipe commands, pipe_to_write());
  GYGES_TRY(Pipe output, pipe_to_read());
  GYGES_TRY(Pipe statuses, pipe_to_read());
  isolation::Command command;
  command.argv = {"bash"};
  command.environment = context.environment;
  command.directory = context.home;
  command.standard_input = commands.read.get();
  command.standard_output = output.write.get();
  command.standard_error = statuses.write.get();
  command.tool_call = context.call;
  command.relabelled = true;
  GYGES_TRY(id_, context.sandbox.spawn(command));
  commands_ = std::move(commands.write);
  output_ = std::move(output.read);
  statuses_ = std::move(statuses.read);
  alive_ = true;
  return ok();
}

void ShellSession::close() {
  alive_ = false;
  commands_.reset();
  output_.reset();
  statuses_.reset();
}

Status ShellSession::stop(isolation::Sandbox& sandbox) {
  if (!alive_) return ok();
  GYGES_CHECK(sandbox.signal(id_, SIGKILL, true));
  GYGES_TRY([[maybe_unused]] auto end, sandbox.wait(id_, Clock::now() + grace_after_kill));
  close();
  return ok();
}

// Anything that can write there could be written by a process inside that looked for the channel;
// then the agent is told a wrong status of its own making.
void ShellSession::take_status(Turn& turn) {
  std::array<char, 64> chunk;
  ssize_t n = ::read(statuses_.get(), chunk.data(), chunk.size());
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) statuses_.reset();
  for (ssize_t i = 0; i < n; ++i) {
    char c = chunk[static_cast<std::size_t>(i)];
    if (c != '\0') {
      if (turn.status.size() < longest_status) turn.status += c;
      continue;
    }
    int code = 0;
    std::from_chars(turn.status.data(), turn.status.data() + turn.status.size(), code);
    turn.exit_code = code;
    turn.status.clear();
  }
}

void ShellSession::pump(const ToolContext& context, Turn& turn) {
  auto deadline = std::min(Clock::now() + context.timeout, context.deadline);
  while (!turn.exit_code && !turn.end) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()) + milliseconds(1);
    std::array<pollfd, 6> fds{};
    fds[0] = {output_.get(), POLLIN, 0};
    fds[1] = {turn.unwritten.empty() ? -1 : commands_.get(), POLLOUT, 0};
    fds[2] = {statuses_.get(), POLLIN, 0};
    fds[3] = {context.sandbox.event_fd(), POLLIN, 0};
    fds[4] = {turn.stopped() ? -1 : context.cancel_fd, POLLIN, 0};
    fds[5] = {context.sandbox.end_fd(id_), POLLIN, 0};
    int timeout = static_cast<int>(std::clamp(left, milliseconds(0), longest_poll).count());
    if (::poll(fds.data(), fds.size(), timeout) > 0) {
      if (fds[0].revents != 0) read_some(output_, turn.output);
      if (fds[1].revents != 0 && !write_some(commands_, turn.unwritten)) turn.unwritten = {};
      if (fds[2].revents != 0) take_status(turn);
    }
    if (context.progress) context.progress(turn.output.window().total());
    if (turn.exit_code) break;
    auto end = context.sandbox.wait(id_, Clock::now());
    if (!end) {
      turn.lost = end.error();
      return;
    }
    if (*end) turn.end = **end;
    bool cancel = !turn.stopped() && is_readable(context.cancel_fd);
    if (turn.end || (Clock::now() < deadline && !cancel)) continue;
    if (turn.stopped()) return;
    (cancel ? turn.cancelled : turn.timed_out) = true;
    if (auto killed = context.sandbox.signal(id_, SIGKILL, true); !killed) {
      turn.lost = killed.error();
      return;
    }
    deadline = Clock::now() + grace_after_kill;
  }
  // What the command wrote stands in the pipe before its status was written.
  if (output_) read_some(output_, turn.output);
}

ToolResult ShellSession::run(const ToolContext& context, const std::string& command) {
  SigpipeBlock no_sigpipe;
  Output output(window_bytes(context), context.store);
  Turn turn{output, {}, {}, {}, {}, {}, false, false, {}};
  auto failed = [](const Error& error) { return error_result("start", printable(error.line())); };
  if (command.size() > 9'999'999)
    return error_result("arguments", "The command is longer than 9999999 bytes.");
  if (alive_) {
    // It may have ended since its last command.
    auto end = context.sandbox.wait(id_, Clock::now());
    if (!end || *end) close();
  }
  if (!alive_) {
    if (auto started = start(context); !started) return failed(started.error());
    turn.bytes = driver;
  } else if (auto labelled = context.sandbox.relabel(id_, context.call); !labelled) {
    return failed(labelled.error());
  }
  turn.bytes += framed(command);
  turn.unwritten = turn.bytes;
  pump(context, turn);
  ToolResult result;
  result.output = output.window().text();
  result.truncated = output.window().truncated();
  result.output_total = output.window().total();
  result.kept = output.finish();
  note_truncation(context, output);
  for (const auto& hit : context.sandbox.limits_hit())
    if (hit.limit == "wall_seconds" && !turn.lost)
      turn.lost = fail("run tool", "bash_session", "the sandbox has ended: " + hit.detail).value();
  std::string note;
  if (turn.lost) {
    result.error = ToolError{"sandbox", printable(turn.lost->line())};
    result.sandbox_lost = true;
  } else if (turn.cancelled) {
    result.error = ToolError{"cancelled", "the call was cancelled"};
    note = "[cancelled; the shell was ended, the next call starts a new one]";
  } else if (turn.timed_out) {
    result.error = ToolError{
        "timeout", "stopped after " + std::to_string(context.timeout.count()) + " seconds"};
    note = "[" + result.error->message + "; the shell was ended, the next call starts a new one]";
  } else if (turn.end) {
    result.exit_code = turn.end->exit_code;
    result.signal = turn.end->signal;
    if (!turn.end->start_error.empty()) {
      result.error = ToolError{"start", printable(turn.end->start_error)};
      note = result.error->message;
    } else {
      note = turn.end->signal != 0
                 ? "[the shell was ended by signal " + std::to_string(turn.end->signal) + "]"
                 : "[the shell has ended with status " + std::to_string(turn.end->exit_code) + "]";
    }
  } else {
    result.exit_code = *turn.exit_code;
    if (result.exit_code != 0) note = "[exit status " + std::to_string(result.exit_code) + "]";
  }
  if (!turn.exit_code) close();
  add_note(result.output, note);
  return result;
}

}  // namespace gyges::tools
