// Runs commands in real sandboxes.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

struct Ran {
  CommandEnd end;
  std::string output;  // standard output and error, at most 1 MiB
};

// The default policy without a workspace, with a wall clock of 20 s so that no test hangs.
Policy test_policy();

// Numbers of all processes, dead ones that nobody has waited for among them, whose parent is
// `parent`.
std::vector<pid_t> children_of(pid_t parent);
// Those that are called so: "init" is pid 1 of a sandbox, from the execution of its program on.
std::vector<pid_t> children_named(const std::string& name, pid_t parent);

class SandboxTest : public ::testing::Test {
 protected:
  void start(const SandboxSpec& spec);
  void start() { start(SandboxSpec{test_policy(), {}, nullptr}); }

  // Runs a shell command to its end. Fails the test if it takes longer than 15 s.
  Ran run(const std::string& shell_command);
  Ran run_argv(std::vector<std::string> argv);
  SandboxEnd stop(const std::string& contents = "");

  Policy policy_ = test_policy();
  std::unique_ptr<Sandbox> sandbox_;
};

}  // namespace gyges::isolation
