// What both dialects of OpenAI share. Internal to this folder.
#pragma once

#include "agent_runtime/model/dialect/wire.h"

namespace gyges::model::wire::openai {

std::string key_header(std::string_view key);
// {"error": {"message", "type", "param", "code"}}, and the spellings of compatible servers.
ModelError error_of(const json& value, int status);
ModelError parse_error(int status, std::string_view body);
json error_body(const ModelError& error);
int error_status(const ModelError& error);
WireReply write_error(const ModelError& error);
WireReply write_models(const std::vector<std::string>& names);

// "auto", "none", "required", or an object that names a tool; `inner` is the member in which chat
// keeps the name ("function"), empty where it stands beside the type.
Status read_choice(const json& wire, const char* inner, ModelRequest& request);

}  // namespace gyges::model::wire::openai
