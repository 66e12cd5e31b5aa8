// JSON-RPC 2.0 as the Model Context Protocol uses it: one message read from hostile bytes, and the
// texts of messages to send. Pure functions; no state. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace gyges::mcp {

// Error codes: JSON-RPC's, and those that revision 2026-07-28 reserves. `busy` is our own, outside
// the reserved range.
enum class Code : int {
  parse_error = -32700,
  invalid_request = -32600,
  method_not_found = -32601,
  invalid_params = -32602,
  internal_error = -32603,
  resource_not_found = -32002,  // up to 2025-11-25; later invalid_params
  header_mismatch = -32020,
  missing_capability = -32021,
  unsupported_version = -32022,
  busy = 429,
};

// What is sent instead of a result.
struct Fault {
  Code code = Code::internal_error;
  std::string message;  // for a person; may quote the client, valid UTF-8
  std::string data;     // JSON text; empty: none
};

struct Bounds {
  std::size_t message_bytes = 8U << 20U;
  std::size_t depth = 64;        // arrays and objects within each other
  std::size_t values = 200'000;  // commas and colons outside strings, about the number of values
  std::size_t id_bytes = 256;    // of a request's id as JSON text
  std::size_t method_bytes = 128;
};

struct Message {
  enum class Kind { request, notification, response };
  Kind kind = Kind::request;
  std::string id;      // JSON text of the string or integer; empty for a notification
  std::string method;  // of requests and notifications
  std::shared_ptr<const nlohmann::json> params;  // an object, never null
  std::shared_ptr<const nlohmann::json> result;  // of a response that succeeded, else null
  std::string error;                             // of a response that failed: its message
};

struct BadMessage {
  Fault fault;
  std::string id;  // JSON text; empty where it could not be read
};

// One message. Batches are refused: no revision served has them (2025-06-18 removed them). Depth
// and number of values are counted before anything is built from the text.
tl::expected<Message, BadMessage> read_message(std::string_view text, const Bounds& bounds = {});

// `id`, `result`, `params` are JSON texts; an empty id: none could be read.
std::string result_text(std::string_view id, std::string_view result);
std::string error_text(std::string_view id, const Fault& fault);
std::string notification_text(std::string_view method, std::string_view params);
std::string request_text(std::string_view id, std::string_view method, std::string_view params);

// A string as JSON text; invalid UTF-8 becomes U+FFFD.
std::string json_string(std::string_view bytes);
// A value as JSON text, without line breaks; never throws.
std::string json_text(const nlohmann::json& value);

}  // namespace gyges::mcp
