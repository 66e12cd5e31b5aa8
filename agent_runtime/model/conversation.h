// The one form in which Gyges holds a conversation with a model, whatever wire format a provider
// speaks. JSON (arguments of calls, schemas of tools) stays text here and is parsed where it is
// used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gyges::model {

enum class Role { system, user, assistant, tool };

struct Part {
  enum class Kind { text, reasoning };
  Kind kind = Kind::text;
  std::string text;  // valid UTF-8
};

struct ToolCall {
  std::uint32_t call = 0;  // number within the run, from 1; 0: not numbered yet
  std::string id;          // as the model named it
  std::string name;
  std::string arguments;  // the text of a JSON object
  std::string fault;      // not empty: why `arguments` (the raw text then) is not a JSON object
};

struct Message {
  Role role = Role::user;
  std::vector<Part> content;
  std::vector<ToolCall> tool_calls;  // role assistant
  std::string tool_call_id;          // role tool: the call it answers
  std::uint32_t call = 0;            // role tool: its number within the run
  bool tool_failed = false;          // role tool: error, or a status other than 0
};

struct Usage {
  std::uint64_t input_tokens = 0;
  std::uint64_t output_tokens = 0;
};

enum class StopReason { tool_use, end, length, error };

struct ToolDeclaration {
  std::string name;
  std::string description;
  std::string parameters;  // the text of a JSON Schema of an object
};

struct Reply {
  Message message;  // role assistant
  StopReason stop_reason = StopReason::end;
  Usage usage;
};

const char* role_name(Role role);                 // "system", "user", "assistant", "tool"
const char* stop_reason_name(StopReason reason);  // "tool_use", "end", "length", "error"

// All text parts of a message, one after the other, without reasoning.
std::string text_of(const Message& message);

}  // namespace gyges::model
