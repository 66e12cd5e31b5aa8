// A person at a terminal: decides tool calls that a gate hands on, and answers an agent's
// questions.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "agent_runtime/episode/gate.h"
#include "base/fd.h"
#include "tools/tool_state.h"

namespace gyges::episode {

// What an agent wrote is shown escaped: it can move no cursor and forge no prompt. An answer counts
// for the question it was given to: what was typed at a terminal before a question was shown, and
// what comes after its deadline, is thrown away. Thread-safe: one question stands at a time.
class TerminalPerson final : public Decider, public tools::Colleague {
 public:
  // Descriptors that stay open longer than the object; `input` may be a terminal, a pipe or a file.
  // Once `interrupt` (borrowed) polls readable nobody answers any more; -1: nothing interrupts.
  TerminalPerson(int input, int output, int interrupt = -1)
      : input_(input), output_(output), interrupt_(interrupt) {}

  // Shows the call and reads one line: "y", "n REASON", "m JSON", "t REASON"; "s" shows the
  // arguments whole (1 MiB) and asks again. What is none of these is asked again, until the
  // deadline.
  Result<std::optional<ToolDecision>> decide(const Escalation& question) override;

  Result<std::optional<std::string>> ask(const tools::Question& question) override;
  Status notify(std::string_view message) override;

 private:
  // nullopt at the deadline and when `cancel_fd` polls readable; an error at the end of input and
  // once the answer is unwanted.
  Result<std::optional<std::string>> read_line(std::chrono::steady_clock::time_point deadline,
                                               int cancel_fd = -1,
                                               const model::Cancellation* unwanted = nullptr);

  // Throws away what stands in the input and was not meant for the question that comes now.
  Status forget_earlier();

  std::timed_mutex one_question_;
  int input_;
  int output_;
  int interrupt_;
  std::string read_;   // of the next line
  bool late_ = false;  // the question before had no answer in time, which may come yet
};

}  // namespace gyges::episode
