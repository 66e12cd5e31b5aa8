// A shell inside the sandbox that lives from call to call: directory, variables, functions and
// background jobs carry over.
//
// The record stays right: before each command the shell's process is labelled with the call that
// sent it, so that what it does and starts belongs to that call; what an earlier call left running
// in the background keeps the earlier call's label.
#pragma once

#include <string>

#include "base/fd.h"
#include "sandbox/isolation/sandbox.h"
#include "tools/tool.h"

namespace gyges::tools {

class ShellSession {
 public:
  // Starts nothing; the shell is started with the first command.
  ShellSession() = default;
  ~ShellSession() = default;
  ShellSession(const ShellSession&) = delete;
  ShellSession& operator=(const ShellSession&) = delete;

  // Runs one command line (no NUL) to its end. At the timeout the shell is killed with everything
  // in its process group, and the next command starts another. Output that background jobs write
  // between two calls is shown with the next one.
  ToolResult run(const ToolContext& context, const std::string& command);

  [[nodiscard]] bool alive() const { return alive_; }
  // Ends the shell and its process group.
  Status stop(isolation::Sandbox& sandbox);

 private:
  struct Turn;
  Status start(const ToolContext& context);
  void pump(const ToolContext& context, Turn& turn);
  void take_status(Turn& turn);
  void close();

  bool alive_ = false;
  isolation::CommandId id_ = 0;
  UniqueFd commands_;  // to the shell
  UniqueFd output_;    // of the shell and all it starts
  UniqueFd statuses_;  // a status and a NUL after each command
};

}  // namespace gyges::tools
