// The tools that a scenario declares as commands, as a third-party agent finds them: a server of
// the Model Context Protocol at a host of the company's. It answers what the egress gateway hands
// out for that host; a call runs the tool's command inside the sandbox.
//
// Which call of the model a request carries out, and what the gate says of one that the model never
// made, is the model endpoint's to say: the record of both is one.
//
// What it reads was written inside the sandbox: bodies are bounded by the link, JSON by the
// protocol, sessions by most_sessions.
//
// Thread-safety: handle() is called by several threads.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/gateway/model_endpoint.h"
#include "agent_runtime/scaffold/tool_host.h"
#include "tools/mcp/protocol.h"
#include "tools/tool_set.h"

namespace gyges::gateway {

// One call of a tool that is to be run.
struct ToolRun {
  std::uint32_t call = 0;
  std::string tool;
  std::string arguments;  // JSON text
  int cancel_fd = -1;     // polls readable once nobody waits for it any more
};

class ToolEndpoint {
 public:
  static constexpr std::size_t most_sessions = 64;
  // Runs in the thread that calls it; several at a time. Whatever it is given gives a result.
  using Run = std::function<tools::ToolResult(const ToolRun& run)>;

  // `tools`: those of `host`, with no text empty. `record` is borrowed and outlives this.
  ToolEndpoint(const scaffold::ToolHost& host, const std::vector<tools::ToolSpec>& tools, Run run,
               ModelEndpoint& record);
  ~ToolEndpoint();
  ToolEndpoint(const ToolEndpoint&) = delete;
  ToolEndpoint& operator=(const ToolEndpoint&) = delete;

  // Whether the request is for this server.
  [[nodiscard]] bool serves(const HttpRequest& request) const;
  bool handle(const HttpRequest& request, Answer& answer);

 private:
  class Tools;
  class Calling;
  struct Said;
  Said answer_of(const HttpRequest& request, Answer& answer);
  Said take(const HttpRequest& request, const mcp::Headers& headers, Answer& answer);
  std::string begin_session(const mcp::Peer& peer);
  std::optional<mcp::Peer> peer_of(const std::string& session);
  mcp::Answer call(const mcp::Request& request, const std::string& session, Answer& answer);

  scaffold::ToolHost host_;
  std::unique_ptr<Tools> service_;
  mcp::Protocol protocol_;
  Run run_;
  ModelEndpoint& record_;
  std::mutex mutex_;                                       // of what follows
  std::list<std::pair<std::string, mcp::Peer>> sessions_;  // the one used last comes last
  std::map<std::string, Calling*> running_;                // by session and request
};

}  // namespace gyges::gateway
