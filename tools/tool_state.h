// What lasts from one call to the next within an episode or a session.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::tools {

class ShellSession;

struct Question {
  std::string_view text;  // what an agent wrote: valid UTF-8, not yet printable
  std::chrono::steady_clock::time_point deadline;
  int cancel_fd =
      -1;  // borrowed; polls readable once nobody waits for the answer; -1: somebody does
};

// The person whom an agent can ask. Where a third-party agent asks, several threads may do so.
class Colleague {
 public:
  virtual ~Colleague() = default;
  // The answer, or nullopt if nobody answers in time.
  virtual Result<std::optional<std::string>> ask(const Question& question) = 0;
  virtual Status notify(std::string_view message) = 0;
};

// Where the mail tool reads and writes, inside the sandbox.
struct MailPlaces {
  std::string mailbox;  // an mbox file; empty: /var/mail/USER
  std::string sent;     // an mbox file; empty: mail/sent in the home directory
  std::string address;  // of the agent, as sender
  std::string server;   // "smtp://HOST[:PORT]", reached from inside; empty: nothing leaves
};

struct TodoItem {
  std::string text;
  std::string status;  // "open", "doing", "done"
};

struct ToolState {
  ToolState();
  ~ToolState();
  ToolState(ToolState&&) noexcept;
  ToolState& operator=(ToolState&&) noexcept;

  std::unique_ptr<ShellSession> shell;  // of bash_session; null until its first call
  std::vector<TodoItem> todo;
  Colleague* colleague = nullptr;  // borrowed; null: there is nobody to ask
  MailPlaces mail;
};

}  // namespace gyges::tools
