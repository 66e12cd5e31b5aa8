// Where a third-party agent finds the tools that a scenario declares as commands, and those that
// ship and that it is to have beside its own: at an MCP server of the company's, over HTTP. What
// answers is the supervisor.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gyges::scaffold {

struct ToolHost {
  std::string name = "tools";                     // of the server, in the agent's configuration
  std::string host = "tools.{{persona.domain}}";  // a template until prepare_scaffold() fills it in
  std::uint16_t port = 8080;
  bool tls = false;
  std::string path = "/mcp";
  std::vector<std::string> tools{};  // their names; empty: there is no such server
};

// Whether a tool that ships asks or tells a person: it starts no process.
bool is_for_people(const std::string& tool);

// "http://tools.example.com:8080/mcp"
std::string url_of(const ToolHost& tools);

}  // namespace gyges::scaffold
