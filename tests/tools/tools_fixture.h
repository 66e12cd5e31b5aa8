// Calls tools in a real sandbox.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"
#include "tools/tool_registry.h"
#include "tools/tool_state.h"

namespace gyges::tools {

class ToolsTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void start();
  // Of the next call; the sandbox must have been started.
  ToolContext context();
  ToolResult call(const std::string& tool, const std::string& arguments);
  // bash with one command line.
  ToolResult bash(const std::string& command);

  isolation::Policy policy_;
  std::unique_ptr<isolation::Sandbox> sandbox_;
  std::chrono::seconds timeout_{10};
  std::chrono::milliseconds episode_{60000};
  std::uint64_t output_bytes_ = 65536;
  std::uint32_t calls_ = 0;
  OutputStore* store_ = nullptr;
  ToolState state_;
};

}  // namespace gyges::tools
