// What pid 1 tells of commands, and the threads that wait for it.
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "sandbox/isolation/sandbox.h"
#include "sandbox/isolation/sandbox_state.h"

namespace gyges::isolation {
namespace {

constexpr std::size_t most_silent_bells = 16;  // kept to be used again
// Between looks whether another thread has read of a command's end, where there is no bell.
constexpr auto longest_wait_without_bell = std::chrono::milliseconds(100);

// What comes before the reason in CommandEnd::start_error.
std::string_view words_of_start_step(init::StartStep step) {
  switch (step) {
    case init::StartStep::descriptors:
      return "pass its streams: ";
    case init::StartStep::limits:
      return "set its limits: ";
    case init::StartStep::privileges:
      return "become the policy's user: ";
    case init::StartStep::directory:
      return "enter its directory: ";
    case init::StartStep::filter:
      return "load the system call filter: ";
    case init::StartStep::find:
    case init::StartStep::execute:
      break;
  }
  return "";
}

}  // namespace

void Sandbox::State::note_end(const init::Reply& reply, bool started_ok) {
  CommandEnd end;
  int status = reply.status;
  if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
  if (!started_ok) {
    auto step = static_cast<init::StartStep>(reply.number[0]);
    end.start_error = std::string(words_of_start_step(step)) + std::strerror(reply.error);
    end.exit_code = step != init::StartStep::directory && reply.error == ENOENT ? 127 : 126;
    ended[reply.id] = std::move(end);
    started.erase(reply.id);
    relabelled.erase(reply.id);
    ring(reply.id);
    return;
  }
  end.user_ns = reply.number[0];
  end.system_ns = reply.number[1];
  end.max_rss_bytes = reply.number[2];
  if (end.signal == SIGXFSZ)
    hit("file_bytes", fmt::format("a file reached {} bytes", policy.limits.file_bytes));
  // SIGXCPU comes at the limit, SIGKILL two seconds later (init/commands.cpp), by a count of ticks
  // that is far from what was used where processes take turns.
  const double used = static_cast<double>(end.user_ns + end.system_ns) / 1e9;
  const auto allowed = static_cast<double>(policy.limits.cpu_seconds);
  if (allowed > 0 && ((end.signal == SIGXCPU && used >= 0.5 * allowed) ||
                      (end.signal == SIGKILL && used >= 0.6 * (allowed + 2))))
    hit("cpu_seconds",
        fmt::format("a process used up its {} s of processor time", policy.limits.cpu_seconds));
  started.erase(reply.id);
  relabelled.erase(reply.id);
  ended[reply.id] = std::move(end);
  ring(reply.id);
}

// Wakes the thread that waits for the command, which need not be the one that read of its end.
void Sandbox::State::ring(CommandId id) {
  auto found = bells.find(id);
  if (found == bells.end() || id == reader) return;
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(found->second.fd.get(), &one, sizeof one);
  found->second.rung = true;
}

int Sandbox::State::bell(CommandId id) {
  auto found = bells.find(id);
  if (found == bells.end()) {
    Bell made;
    if (silent_bells.empty()) {
      made.fd.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    } else {
      made.fd = std::move(silent_bells.back());
      silent_bells.pop_back();
    }
    found = bells.emplace(id, std::move(made)).first;
    if (ended.count(id) != 0) ring(id);
  }
  return found->second.fd.get();
}

void Sandbox::State::forget_bell(CommandId id) {
  auto found = bells.find(id);
  if (found == bells.end()) return;
  Bell bell = std::move(found->second);
  bells.erase(found);
  if (!bell.fd || bell.rung || silent_bells.size() >= most_silent_bells) return;
  silent_bells.push_back(std::move(bell.fd));
}

void Sandbox::State::note(const init::Reply& reply) {
  switch (reply.tell) {
    case init::Tell::ended:
      note_end(reply, true);
      break;
    case init::Tell::not_started:
      note_end(reply, false);
      break;
    case init::Tell::wall_time:
      hit("wall_seconds", fmt::format("the sandbox lived for {} s", policy.limits.wall_seconds));
      break;
    case init::Tell::stopped:
      stopped = reply;
      break;
    case init::Tell::failed:
      if (auto failure = failure_of_init(reply)) hit("sandbox", failure->line());
      break;
    default:
      break;
  }
}

// A message that nobody waits for.
Status Sandbox::State::take(Message message) {
  if (message.reply.tell == init::Tell::listener)
    return emulator && message.fd ? emulator->add(std::move(message.fd)) : ok();
  note(message.reply);
  return ok();
}

// The answer to a spawn; other messages are noted meanwhile.
Result<Message> Sandbox::State::await(CommandId id) {
  auto deadline = std::chrono::steady_clock::now() + setup_time;
  for (;;) {
    auto message = receive_reply(process.control.get(), deadline);
    if (!message) return tl::unexpected<Error>(std::move(message.error()));
    if (!*message)
      return fail("start command", "", "pid 1 did not answer within 120 s",
                  "lower the number of parallel runs; a host that swaps answers so late");
    const init::Reply& reply = (*message)->reply;
    if (auto failure = failure_of_init(reply)) return tl::unexpected<Error>(*failure);
    if (reply.id == id &&
        (reply.tell == init::Tell::spawned || reply.tell == init::Tell::not_spawned))
      return std::move(**message);
    GYGES_CHECK(take(std::move(**message)));
  }
}

Result<std::optional<CommandEnd>> Sandbox::wait(CommandId id,
                                                std::chrono::steady_clock::time_point deadline) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  for (;;) {
    if (auto found = state.ended.find(id); found != state.ended.end()) {
      CommandEnd end = std::move(found->second);
      state.ended.erase(found);
      state.forget_bell(id);
      return std::optional<CommandEnd>(std::move(end));
    }
    if (state.started.count(id) == 0)
      return fail("wait for command", std::to_string(id), "no such command is running");
    auto message = receive_reply(state.process.control.get(), std::chrono::steady_clock::now());
    if (!message) return tl::unexpected<Error>(std::move(message.error()));
    if (*message) {
      if (auto failure = failure_of_init((*message)->reply)) return tl::unexpected<Error>(*failure);
      state.reader = id;
      Status taken = state.take(std::move(**message));
      state.reader = 0;
      GYGES_CHECK(taken);
      continue;
    }
    auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return std::optional<CommandEnd>();
    std::array<pollfd, 2> fds{pollfd{state.process.control.get(), POLLIN, 0},
                              pollfd{state.bell(id), POLLIN, 0}};
    if (fds[1].fd < 0) left = std::min(left, longest_wait_without_bell);
    lock.unlock();
    ::poll(fds.data(), fds.size(),
           static_cast<int>(std::min<std::int64_t>(left.count(), 86'400'000)));
    lock.lock();
  }
}

int Sandbox::event_fd() const {
  return state_->process.control.get();
}

int Sandbox::end_fd(CommandId id) {
  const std::lock_guard lock(state_->mutex);
  return state_->bell(id);
}

}  // namespace gyges::isolation
