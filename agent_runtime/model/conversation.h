// The one form in which Gyges holds a conversation with a model, whatever wire format a provider
// speaks. JSON (arguments of calls, schemas of tools) stays text here and is parsed where it is
// used.
//
// What a dialect cannot say is left out of what it writes and listed (Loss); docs/agents.md has the
// table. What only one provider understands (signatures of reasoning, encrypted content, members
// without a name here) carries the name of its dialect in `origin` and is written by that dialect
// only. Values: copyable, not synchronised.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::model {

enum class Role { system, user, assistant, tool };

struct Part {
  // opaque: a block that only the dialect `origin` knows; its JSON text stands in `text`.
  enum class Kind { text, reasoning, image, opaque };
  Kind kind = Kind::text;
  std::string text{};        // valid UTF-8
  std::string media_type{};  // image: "image/png"; empty where unknown
  std::string data{};        // image: base64; reasoning: content that its provider alone can read
  std::string url{};         // image: where it lies, instead of data
  std::string signature{};   // reasoning, and text of Gemini: the provider's proof of origin
  std::string id{};          // reasoning: as its provider named it
  std::string origin{};      // dialect of data (reasoning), signature, id and extra
  std::string extra{};       // further members: the text of a JSON object, or empty

  bool operator==(const Part&) const = default;
};

struct ToolCall {
  static constexpr std::size_t at_end = std::numeric_limits<std::size_t>::max();

  std::uint32_t call = 0;   // number within the run, from 1; 0: not numbered yet
  std::string id{};         // as the model named it
  std::string name{};       //
  std::string arguments{};  // the text of a JSON object; free text where `custom`
  std::string fault{};      // not empty: why `arguments` (the raw text then) is not a JSON object
  bool custom = false;      // a call of a tool that takes free text
  std::string space{};      // namespace of the tool; empty: none
  std::string signature{};  // the provider's proof of origin (Gemini)
  std::string origin{};     // dialect of signature and extra
  std::string extra{};      // further members: the text of a JSON object, or empty
  std::size_t position = at_end;  // how many parts of the message's content stand before the call

  bool operator==(const ToolCall&) const = default;
};

struct Message {
  Role role = Role::user;
  std::vector<Part> content{};
  std::vector<ToolCall> tool_calls{};  // role assistant
  std::string tool_call_id{};          // role tool: the call it answers
  std::uint32_t call = 0;              // role tool: its number within the run
  bool tool_failed = false;            // role tool: error, or a status other than 0
  std::string origin{};                // dialect of extra
  std::string extra{};                 // further members: the text of a JSON object, or empty

  bool operator==(const Message&) const = default;
};

// Tokens as the endpoint counted them; 0 where it did not.
struct Usage {
  std::uint64_t input_tokens = 0;          // all that was read, from the cache and into it too
  std::uint64_t output_tokens = 0;         // all that was written, reasoning too
  std::uint64_t cached_tokens = 0;         // of the input, read from the provider's cache
  std::uint64_t cache_written_tokens = 0;  // of the input, written into it
  std::uint64_t reasoning_tokens = 0;      // of the output

  bool operator==(const Usage&) const = default;
};

// refusal: the model declined. error: the provider withheld or broke the reply. pause: a long turn
// of a provider's own tools, to be continued by sending the reply back.
enum class StopReason { tool_use, end, length, error, stop_sequence, refusal, pause };

struct ToolDeclaration {
  // custom: takes free text. hosted: run by the provider itself; `raw` is its declaration.
  enum class Kind { function, custom, hosted };

  std::string name{};  // hosted: its type
  std::string description{};
  std::string parameters{};  // function: the text of a JSON Schema of an object
  Kind kind = Kind::function;
  std::string space{};   // namespace; empty: none
  std::string format{};  // custom: the text of a JSON object that limits the input, or empty
  std::string raw{};     // hosted: JSON text
  std::string origin{};  // dialect of raw and extra
  std::string extra{};   // further members: the text of a JSON object, or empty

  bool operator==(const ToolDeclaration&) const = default;
};

struct Reply {
  Message message{};  // role assistant
  StopReason stop_reason = StopReason::end;
  Usage usage{};
  std::string id{};             // as the provider named the reply
  std::string model{};          // that answered, where the provider says so
  std::int64_t created = 0;     // Unix time in seconds; 0: not known
  std::string stop_sequence{};  // StopReason::stop_sequence: which
  double cost = 0;              // in the currency of the agent file's prices; 0 without prices

  bool operator==(const Reply&) const = default;
};

// Something that could not be said in another dialect.
struct Loss {
  std::string place;  // "/messages/3/content/0": in the conversation form
  std::string what;   // "signature of reasoning from anthropic_messages"

  bool operator==(const Loss&) const = default;
};
using Losses = std::vector<Loss>;

const char* role_name(Role role);                 // "system", "user", "assistant", "tool"
const char* stop_reason_name(StopReason reason);  // "tool_use", "end", "length", "error", ...

// All text parts of a message, one after the other, without reasoning.
std::string text_of(const Message& message);

// Parts and calls of a message in the order in which they were said. Borrows from the message.
struct Block {
  const Part* part = nullptr;      // or
  const ToolCall* call = nullptr;  //
  std::size_t index = 0;           // in content, or in tool_calls
};
std::vector<Block> blocks_of(const Message& message);

// The same conversation in the one spelling that dialects read back: positions of calls behind all
// parts are at_end, empty texts are gone, neighbouring replies are one.
void normalise(std::vector<Message>& messages);

// Adds a loss; past 1,000 nothing more is added but one line that says so.
void lose(Losses& losses, std::string place, std::string what);

}  // namespace gyges::model
