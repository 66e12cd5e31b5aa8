// What an MCP server offers: tools and, for the conformance suite, more. The protocol (protocol.h)
// and the transports (stdio_server.h, http_server.h) know only these interfaces.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tools/mcp/message.h"
#include "tools/mcp/revision.h"

namespace gyges::mcp {

struct ClientInfo {
  std::string name;     // as it says, shortened; valid UTF-8
  std::string version;  // likewise
  Revision revision = latest_with_sessions;
  std::string transport;  // "stdio", "http"
};

// One request that has been checked for form.
struct Request {
  std::string id;  // JSON text
  std::string method;
  std::shared_ptr<const nlohmann::json> params;        // an object
  std::shared_ptr<const nlohmann::json> capabilities;  // the client's, an object
  Revision revision = latest_with_sessions;
  std::string progress_token;  // JSON text; empty: no progress is wanted
  std::string log_level;       // least level of log messages; empty: none are wanted
};

// A result, the JSON text of an object, or a fault.
struct Answer {
  std::string result;
  std::optional<Fault> fault;
  bool input_required = false;  // revision 2026-07-28: the client shall ask again with input
  bool task = false;  // revision 2026-07-28: the answer is to be fetched (session_tasks.h)
};

inline Answer fault_answer(Code code, std::string message, std::string data = {}) {
  return {{}, Fault{code, std::move(message), std::move(data)}, false, false};
}

// From a running request back to its client. Thread-safe.
class Link {
 public:
  virtual ~Link() = default;
  // Related to the request; dropped when the client is gone. `params` is JSON text.
  virtual void notify(std::string_view method, std::string_view params) = 0;
  // Asks the client (sampling, elicitation), and waits; revisions with sessions only.
  virtual Answer ask(std::string_view method, std::string_view params) = 0;
  // Ends the stream of the request, where the client can come back for the rest; the call goes on.
  virtual void end_stream() {}
  // Polls readable once the request has been cancelled or its client is gone. Borrowed; -1 where
  // there was no descriptor to be had.
  [[nodiscard]] virtual int cancel_fd() const = 0;
};

// The state behind a client's calls: a sandbox. Opened and ended by one thread.
class Session {
 public:
  // Ends it; what was recorded is kept.
  virtual ~Session() = default;
  // Never throws. Answers tools/call, and what Service::in_session() names. Several threads may
  // call at once, but never two in the same lane.
  virtual Answer call(const Request& request, Link& link) = 0;
  // False: no further call can succeed. Thread-safe, and quick.
  [[nodiscard]] virtual bool alive() const = 0;
};

struct ToolEntry {
  std::string name;
  std::string declaration;  // JSON text of the object in tools/list
  // String arguments that clients of 2026-07-28 repeat in a header Mcp-Param-NAME: NAME in lower
  // case (the schema's x-mcp-header) and the argument.
  std::vector<std::pair<std::string, std::string>> header_arguments;
};

// How a call of a tool is answered to a client that knows tasks (session_tasks.h).
enum class TaskUse {
  none,       // at once; it never becomes a task
  when_slow,  // by a task where it takes long, or where the client asks for one
  always,     // by a task; to clients that know none, at once
  required,   // by a task; clients that know none are refused
};

inline constexpr const char* tasks_extension = "io.modelcontextprotocol/tasks";
// Whether a client of 2026-07-28 with these capabilities knows tasks.
bool declares_tasks(const nlohmann::json& capabilities);

// Immutable or thread-safe.
class Service {
 public:
  virtual ~Service() = default;
  // JSON text of the object of server capabilities.
  [[nodiscard]] virtual std::string capabilities(Revision revision) const = 0;
  [[nodiscard]] virtual std::string instructions() const = 0;
  // JSON text of the object that clients, and through them agents, are told of the server.
  [[nodiscard]] virtual std::string server_info() const {
    return R"({"name":"gyges","version":"0.1.0"})";
  }
  [[nodiscard]] virtual const std::vector<ToolEntry>& tools() const = 0;
  // Whether a method besides tools/call is answered by the session.
  [[nodiscard]] virtual bool in_session(std::string_view method) const {
    static_cast<void>(method);
    return false;
  }
  // Calls of one session that have the same lane run one after the other; those without one (empty)
  // wait for no other.
  [[nodiscard]] virtual std::string lane(const Request& request) const {
    static_cast<void>(request);
    return {};
  }
  // Whether its calls may become tasks. Its capabilities say so, too.
  [[nodiscard]] virtual bool has_tasks() const { return false; }
  // Of a tools/call; asked where it has tasks.
  [[nodiscard]] virtual TaskUse task_use(const Request& request) const {
    static_cast<void>(request);
    return TaskUse::when_slow;
  }
  // Answers other methods (resources, prompts, completion); nullopt: there is no such method.
  virtual std::optional<Answer> answer(const Request& request) {
    static_cast<void>(request);
    return std::nullopt;
  }
  // Called by the thread that will use the session. It may outlive neither service nor thread.
  virtual Result<std::unique_ptr<Session>> open(const ClientInfo& client) = 0;
};

}  // namespace gyges::mcp
