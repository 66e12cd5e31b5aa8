#include "tools/sandbox_process.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "tools/pipe_ends.h"

namespace gyges::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds grace_after_end{150};
constexpr milliseconds grace_after_kill{5000};
constexpr milliseconds longest_poll{250};
constexpr std::size_t output_bound_without_limit = 1U << 20U;

// The two ends of Gyges; what the process got has been closed here.
struct Ends {
  UniqueFd output;
  UniqueFd input;
  std::string_view unwritten;
};

// What a process's end shows at, and a request to stop it; -1 where nothing is to be waited for.
struct Signs {
  int event_fd = -1;
  int end_fd = -1;
  int cancel_fd = -1;
};

// What a look has shown; all of it where there was nothing to look at for as long as was waited.
struct Seen {
  bool sandbox = true;
  bool cancel = true;
};

Seen poll_once(Ends& ends, const Signs& signs, milliseconds timeout, Output& output) {
  std::array<pollfd, 5> fds{};
  fds[0] = {ends.output.get(), POLLIN, 0};
  fds[1] = {ends.input.get(), POLLOUT, 0};
  fds[2] = {signs.event_fd, POLLIN, 0};
  fds[3] = {signs.end_fd, POLLIN, 0};
  fds[4] = {signs.cancel_fd, POLLIN, 0};
  if (::poll(fds.data(), fds.size(),
             static_cast<int>(std::max(timeout, milliseconds(0)).count())) <= 0)
    return {};
  if (fds[0].revents != 0) read_some(ends.output, output);
  if (fds[1].revents != 0 && !write_some(ends.input, ends.unwritten)) ends.input.reset();
  // Without a descriptor for its end the process has to be asked for.
  return {fds[2].revents != 0 || fds[3].revents != 0 || signs.end_fd < 0, fds[4].revents != 0};
}

struct Waited {
  std::optional<isolation::CommandEnd> end;
  bool timed_out = false;
  bool cancelled = false;
  std::optional<Error> lost;

  // The process group has been killed.
  [[nodiscard]] bool stopped() const { return timed_out || cancelled; }
};

Waited pump(const ToolContext& context, isolation::CommandId id, Ends& ends, Output& output) {
  Waited waited;
  Signs signs{context.sandbox.event_fd(), context.sandbox.end_fd(id), context.cancel_fd};
  auto deadline = std::min(Clock::now() + context.timeout, context.deadline);
  for (;;) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()) + milliseconds(1);
    if (waited.stopped()) signs.cancel_fd = -1;
    const Seen seen = poll_once(ends, signs, std::min(left, longest_poll), output);
    if (context.progress && !waited.end) context.progress(output.window().total());
    if (!waited.end && seen.sandbox) {
      auto end = context.sandbox.wait(id, Clock::now());
      if (!end) {
        waited.lost = end.error();
        return waited;
      }
      if (*end) {
        waited.end = **end;
        signs = {};
        deadline = Clock::now() + grace_after_end;
      }
    }
    if (waited.end && !ends.output) return waited;
    bool cancel = !waited.end && !waited.stopped() && seen.cancel && is_readable(context.cancel_fd);
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

ToolResult result_of(const Waited& waited, Output& output, const ToolContext& context) {
  ToolResult result;
  result.output = output.window().text();
  result.truncated = output.window().truncated();
  result.output_total = output.window().total();
  result.kept = output.finish();
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
  add_note(result.output, note);
  return result;
}

ToolResult run(const ToolContext& context, const ProcessRequest& request, Output& output) {
  std::optional<SigpipeBlock> no_sigpipe;
  auto failed = [](const Error& error) { return error_result("start", printable(error.line())); };
  auto from = pipe_to_read();
  if (!from) return failed(from.error());
  Pipe input;
  if (!request.standard_input.empty()) {
    no_sigpipe.emplace();
    auto made = pipe_to_write();
    if (!made) return failed(made.error());
    input = std::move(*made);
  }
  isolation::Command command;
  command.argv = request.argv;
  command.environment = context.environment;
  command.directory = context.home;
  command.standard_input = input.read.get();
  command.standard_output = from->write.get();
  command.standard_error = from->write.get();
  command.tool_call = context.call;
  auto id = context.sandbox.spawn(command);
  if (!id) return failed(id.error());
  from->write.reset();
  input.read.reset();
  Ends ends{std::move(from->read), std::move(input.write), request.standard_input};
  Waited waited = pump(context, *id, ends, output);
  // The wall clock kills the process with everything else; it looks like an end by signal.
  for (const auto& hit : context.sandbox.limits_hit())
    if (hit.limit == "wall_seconds" && !waited.lost)
      waited.lost =
          fail("run tool", request.argv[0], "the sandbox has ended: " + hit.detail).value();
  return result_of(waited, output, context);
}

}  // namespace

void add_note(std::string& output, const std::string& note) {
  if (note.empty()) return;
  if (!output.empty() && !output.ends_with('\n')) output += '\n';
  output += note;
}

std::size_t window_bytes(const ToolContext& context) {
  return context.output_bytes != 0 ? context.output_bytes : output_bound_without_limit;
}

void note_truncation(const ToolContext& context, const Output& output) {
  if (output.window().truncated())
    context.sandbox.note_limit({"output_bytes", "call " + std::to_string(context.call) + ": " +
                                                    std::to_string(output.window().total()) +
                                                    " bytes"});
}

ToolResult error_result(std::string type, std::string message) {
  ToolResult result;
  result.output = message;
  result.error = ToolError{std::move(type), std::move(message)};
  return result;
}

ToolResult run_in_sandbox(const ToolContext& context, const ProcessRequest& request) {
  Output output(window_bytes(context), context.store);
  ToolResult result = run(context, request, output);
  note_truncation(context, output);
  return result;
}

ToolResult read_in_sandbox(const ToolContext& context, std::vector<std::string> argv,
                           std::size_t limit, std::string& bytes) {
  Output output(limit, nullptr);
  ToolResult result = run(context, {std::move(argv), ""}, output);
  if (result.failed()) return result;
  if (output.window().truncated())
    return error_result("arguments", "It is larger than " + std::to_string(limit) + " bytes.");
  bytes = output.window().bytes();
  return result;
}

}  // namespace gyges::tools
