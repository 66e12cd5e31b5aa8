// Turns of a third-party agent as lines of transcript.jsonl. An agent sends its whole conversation
// with each request; here each message is written once.
//
// A request continues the conversation ("thread") whose user messages and tool results it begins
// with; otherwise it opens another: titles, summaries, subagents, or a history that the agent has
// rewritten. Calls are numbered through the run in the order in which they were made.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent_runtime/episode/transcript.h"
#include "agent_runtime/gateway/call_join.h"
#include "agent_runtime/model/model_request.h"
#include "agent_runtime/scaffold/scaffold.h"
#include "base/error.h"

namespace gyges::gateway {

// Told about results that come back, each before and after its line is written.
struct ResultHooks {
  std::function<void(std::uint32_t call)> ended;
  std::function<Status(std::uint32_t call, std::uint64_t output_bytes)> executed;
};

class ConversationLog {
 public:
  static constexpr std::size_t most_threads = 4096;

  // Borrowed; both outlive the log.
  ConversationLog(episode::Transcript& transcript, const std::vector<scaffold::ShellTool>& shell,
                  const std::vector<scaffold::McpServer>& servers)
      : transcript_(transcript), shell_(shell), servers_(servers) {}

  // Writes what is new in the request; gives its thread, from 1. `now_ns`: when it came.
  Result<std::uint32_t> take_request(const model::ModelRequest& request, std::uint64_t now_ns,
                                     const ResultHooks& hooks = {});
  // Numbers the reply's calls and writes it.
  Status take_reply(std::uint32_t thread, model::Reply& reply);
  // A number for what is no call of the conversation form and yet asks the agent to act.
  std::uint32_t next_call();
  // The call goes to the agent now, with these arguments.
  const WireCall& handed_on(const model::ToolCall& call, std::uint64_t now_ns);
  // It was run here: its result stands in the transcript before it comes back.
  Status carried_out(std::uint32_t call, std::uint64_t now_ns, std::uint64_t duration_ns,
                     const tools::ToolResult& result);
  // It never goes there; `result` is what the model gets instead.
  Status refused(std::uint32_t thread, const model::Message& result);

  [[nodiscard]] std::uint32_t turns() const { return turns_; }  // replies so far
  [[nodiscard]] const std::vector<WireCall>& calls() const { return calls_; }
  // The words of the last reply that called nothing; what the agent ended with.
  [[nodiscard]] const std::string& last_words() const { return last_words_; }

 private:
  struct Thread {
    std::vector<std::string> said;    // hashes of user messages and results
    std::string system;               // hash
    std::vector<std::uint32_t> open;  // calls of the last reply, in order
    std::size_t answered = 0;         // of them
  };

  Status write_new(Thread& thread, std::uint32_t number, const model::Message& message,
                   std::uint64_t now_ns, const ResultHooks& hooks);
  Status take_result(Thread& thread, model::Message message, std::uint64_t now_ns,
                     std::uint32_t number, const ResultHooks& hooks);

  episode::Transcript& transcript_;
  const std::vector<scaffold::ShellTool>& shell_;
  const std::vector<scaffold::McpServer>& servers_;
  std::vector<Thread> threads_;
  std::map<std::string, std::uint32_t> call_of_id_;
  std::vector<WireCall> calls_;  // calls_[n - 1] has number n
  std::uint32_t turns_ = 0;
  std::string last_words_;
};

}  // namespace gyges::gateway
