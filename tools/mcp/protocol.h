// The Model Context Protocol's server side as a state machine without input or output: a message
// and what the transport knows of it go in, what is to be done comes out.
//
// Served are 2025-06-18, 2025-11-25 and 2026-07-28. A client of the last one says so in every
// request; one that begins with `initialize` gets the revision it asks for, or 2025-11-25.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "tools/mcp/message.h"
#include "tools/mcp/service.h"

namespace gyges::mcp {

// Of a client that has a session; the default is one that has said nothing yet.
struct Peer {
  bool initialized = false;
  ClientInfo client;
  std::shared_ptr<const nlohmann::json> capabilities;  // null before initialize
  std::string log_level = "info";
};

// What an HTTP request says beside its body; all absent over stdio.
struct Headers {
  bool http = false;
  std::optional<std::string> version;             // MCP-Protocol-Version
  std::optional<std::string> method;              // Mcp-Method
  std::optional<std::string> name;                // Mcp-Name
  std::map<std::string, std::string> parameters;  // Mcp-Param-NAME by NAME in lower case
};

struct Step {
  enum class Kind {
    reply,   // send `text`, which answers the request
    call,    // have the session answer `request`
    cancel,  // of the running request `text` (an id's JSON text)
    answer,  // to a request of ours, id `text`: `response`
    none,    // nothing is to be sent
  };
  Kind kind = Kind::none;
  std::string text;
  int http_status = 200;     // of the reply; 202 for none
  bool initialized = false;  // this was an `initialize` that succeeded: `client` is new
  Request request;
  ClientInfo client;  // of a call: who makes it
  Answer response;
};

class Protocol {
 public:
  // `service` is borrowed.
  explicit Protocol(Service& service) : service_(service) {}

  // For bytes that are no message.
  [[nodiscard]] Step refuse(const BadMessage& bad) const;

  // Whether a message belongs to a revision without sessions.
  [[nodiscard]] static bool is_stateless(const Message& message, const Headers& headers);

  // `peer` is the client's session, unused by stateless messages; it is changed by `initialize` and
  // `logging/setLevel`.
  Step handle(Peer& peer, const Message& message, const Headers& headers) const;

  // The message that answers a request: what the revision asks every result to carry is added.
  [[nodiscard]] std::string reply_text(const Request& request, const Answer& answer) const;
  // HTTP status of an answer.
  [[nodiscard]] static int http_status(const Request& request, const Answer& answer);

 private:
  Step initialize(Peer& peer, const Message& message, const Headers& headers) const;
  Step stateful(Peer& peer, const Message& message, const Headers& headers) const;
  Step stateless_request(const Message& message, const Headers& headers) const;
  Step dispatch(Request request, ClientInfo client) const;
  [[nodiscard]] Step reply(const Request& request, const Answer& answer) const;
  [[nodiscard]] Answer list_tools(const Request& request) const;
  [[nodiscard]] std::string parameter_fault(const Message& message, const Headers& headers) const;

  Service& service_;
};

// What a client with a session is told, by a message of the server's own, when the session's
// sandbox has ended by itself; and whether it wants to hear of it (logging/setLevel).
std::string session_over_text();
bool wants_session_over(const Peer& peer);

// The least severe levels come first: debug, info, notice, warning, error, critical, alert,
// emergency. -1 for another word.
int log_severity(std::string_view level);

}  // namespace gyges::mcp
