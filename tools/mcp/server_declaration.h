// What a scenario says about an MCP server that runs inside the sandbox.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace gyges::mcp {

struct ServerDeclaration {
  std::string name;                      // [A-Za-z0-9_-]{1,32}
  std::vector<std::string> command;      // argv, of a program inside the sandbox
  std::vector<std::string> environment;  // NAME=value, beside that of tool processes
  // Before the names of its tools; absent: mcp__NAME__.
  std::optional<std::string> prefix;
  std::vector<std::string> tools;           // its names of those that are offered; empty: all
  std::chrono::milliseconds start{15'000};  // for initialize and the list of tools
};

}  // namespace gyges::mcp
