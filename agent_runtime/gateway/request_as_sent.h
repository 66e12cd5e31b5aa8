// The request of an agent as it is sent on to an endpoint of the agent's own dialect: byte for byte
// but for the model's name and the tools that the provider would run itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/gateway/outlet_server.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/pass_through.h"

namespace gyges::gateway {

// nullopt: it cannot be changed as demanded (a member that stands twice, hosted tools among others
// in one declaration); then the request is written anew from what was read. `model`: empty for the
// agent's own. `has_hosted`: there are hosted tools in it, as the dialect's reader sees, and the
// result holds none.
std::optional<std::string> body_as_sent(const model::Dialect& dialect, std::string_view target,
                                        std::string_view body, const std::string& model,
                                        bool has_hosted);

// Headers by which an agent tells the provider which version and features it speaks, as lines. No
// other goes out: they name the agent's host, session and key.
std::vector<std::string> headers_as_sent(const HttpRequest& request);

// The agent wants a stream as one JSON array (Gemini without alt=sse).
bool wants_array(const model::Dialect& dialect, std::string_view target);

// The names of the tools in `request` that the provider would run itself, taken out of it.
std::vector<std::string> take_hosted_tools(model::ModelRequest& request);

// Where in `body` the provider is told to fetch an image or a file, as "MEMBER ADDRESS", cut short:
// what stands in an address leaves by the provider's hand. Content that is in the body itself
// (data:), arguments of calls and declarations of tools are not meant. At most 16.
std::vector<std::string> addresses_to_fetch(std::string_view body);

}  // namespace gyges::gateway
