#include "agent_runtime/episode/terminal_person.h"

#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::episode {
namespace {

using Action = ToolDecision::Action;
using Clock = std::chrono::steady_clock;

constexpr std::size_t shown_bytes = 4000;
constexpr std::size_t shown_name_bytes = 200;
constexpr std::size_t most_shown_bytes = 1U << 20U;
constexpr std::size_t most_thrown_away = 1U << 20U;
constexpr std::size_t longest_line = 1U << 16U;

std::string shown(std::string_view text, std::size_t bytes = shown_bytes) {
  std::string part = printable(text.substr(0, bytes));
  if (text.size() > bytes) part += " [" + std::to_string(text.size() - bytes) + " bytes more]";
  return part;
}

// What a line says; nullopt when it says nothing that is understood.
std::optional<ToolDecision> understood(std::string_view line) {
  ToolDecision decision;
  char letter = line.empty() ? '\0' : line.front();
  std::string_view rest = line.size() > 1 && line[1] == ' ' ? line.substr(2) : std::string_view();
  if (line.size() > 1 && line[1] != ' ') return std::nullopt;
  decision.reason = valid_utf8(rest);
  if (letter == 'y') return decision;
  if (letter == 'n') {
    decision.action = Action::reject;
    return decision;
  }
  if (letter == 't') {
    decision.action = Action::terminate;
    return decision;
  }
  if (letter != 'm') return std::nullopt;
  auto arguments = parse_json(rest, "arguments");
  if (!arguments || !arguments->is_object()) return std::nullopt;
  decision.action = Action::modify;
  decision.arguments = rest;
  decision.reason.clear();
  return decision;
}

}  // namespace

Status TerminalPerson::forget_earlier() {
  bool terminal = ::isatty(input_) == 1;
  // In a pipe or a file the answers to the questions to come may stand ready; after a question that
  // was not answered nobody can tell which is which.
  if (!terminal && !late_) return ok();
  late_ = false;
  read_.clear();
  if (terminal)
    return ::tcflush(input_, TCIFLUSH) == 0 ? ok() : fail_errno("ask a person", "terminal");
  std::array<char, 4096> bytes;
  for (std::size_t thrown_away = 0; thrown_away < most_thrown_away; thrown_away += bytes.size()) {
    pollfd waiting{input_, POLLIN, 0};
    if (::poll(&waiting, 1, 0) <= 0 || (waiting.revents & POLLIN) == 0) return ok();
    if (::read(input_, bytes.data(), bytes.size()) <= 0) return ok();
  }
  return fail("ask a person", "terminal", "answers come without being asked for");
}

Result<std::optional<std::string>> TerminalPerson::read_line(Clock::time_point deadline,
                                                             int cancel_fd,
                                                             const model::Cancellation* unwanted) {
  for (;;) {
    if (auto end = read_.find('\n'); end != std::string::npos) {
      std::string line = read_.substr(0, end);
      read_.erase(0, end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return std::optional<std::string>(std::move(line));
    }
    if (read_.size() > longest_line)
      return fail("ask a person", "terminal", "the line is too long");
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      late_ = true;
      return std::optional<std::string>();
    }
    if (unwanted != nullptr && unwanted->cancelled()) {
      late_ = true;
      GYGES_CHECK(write_all(output_, "\nThe question is withdrawn: the agent waits no longer.\n"));
      return fail("ask a person", "terminal", "the agent waits no longer");
    }
    const std::int64_t longest_wait = unwanted != nullptr ? 50 : 1000;
    std::array<pollfd, 3> wait{pollfd{input_, POLLIN, 0}, pollfd{interrupt_, POLLIN, 0},
                               pollfd{cancel_fd, POLLIN, 0}};
    int ready = ::poll(wait.data(), wait.size(), static_cast<int>(std::min(left, longest_wait)));
    if (ready < 0 && errno != EINTR) return fail_errno("ask a person", "terminal");
    if (ready <= 0) continue;
    if (wait[1].revents != 0) return fail("ask a person", "terminal", "it was interrupted");
    if (wait[2].revents != 0) {
      late_ = true;
      return std::optional<std::string>();
    }
    std::array<char, 4096> bytes;
    ssize_t n = ::read(input_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("ask a person", "terminal");
    if (n == 0)
      return fail("ask a person", "terminal", "its input has ended", "run it at a terminal");
    read_.append(bytes.data(), static_cast<std::size_t>(n));
  }
}

Result<std::optional<ToolDecision>> TerminalPerson::decide(const Escalation& question) {
  std::unique_lock lock(one_question_, question.deadline);
  if (!lock) return std::optional<ToolDecision>();
  const model::ToolCall& call = question.pending.call;
  std::string text = "\nCall " + std::to_string(call.call) + ": " +
                     shown(call.name, shown_name_bytes) + "  (rule " + question.rule.name + ")\n";
  if (!question.rule.then.reason.empty())
    text += "  asked because: " + shown(question.rule.then.reason) + "\n";
  text += "  arguments: " + shown(call.arguments) + "\n";
  if (!question.rationale.empty()) text += "  the agent says: " + shown(question.rationale) + "\n";
  GYGES_CHECK(forget_earlier());
  for (;;) {
    text += "[y]es, [n]o REASON, [m]odify JSON, [t]erminate REASON, [s]how all: ";
    GYGES_CHECK(write_all(output_, text));
    GYGES_TRY(std::optional<std::string> line,
              read_line(question.deadline, -1, question.pending.unwanted));
    if (!line) return std::optional<ToolDecision>();
    if (*line == "s") {
      text = shown(call.arguments, most_shown_bytes) + "\n";
      continue;
    }
    if (auto decision = understood(*line)) return decision;
    text = "Not understood. ";
  }
}

Result<std::optional<std::string>> TerminalPerson::ask(const tools::Question& question) {
  std::unique_lock lock(one_question_, question.deadline);
  if (!lock) return std::optional<std::string>();
  GYGES_CHECK(forget_earlier());
  GYGES_CHECK(write_all(output_, "\nThe agent asks: " + shown(question.text) + "\nAnswer: "));
  return read_line(question.deadline, question.cancel_fd);
}

Status TerminalPerson::notify(std::string_view message) {
  return write_all(output_, "\nThe agent tells: " + shown(message) + "\n");
}

}  // namespace gyges::episode
