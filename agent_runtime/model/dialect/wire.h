// What the dialects share: reading of members that may be missing or of another type, images,
// members without a name in the form. Internal to this folder.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "agent_runtime/model/conversation.h"
#include "agent_runtime/model/dialect/dialect.h"

namespace gyges::model::wire {

using nlohmann::json;

// The member; a shared null value when there is none or `object` is no object.
const json& at(const json& object, const char* key);
// Text of a member; empty when it is none.
std::string text_at(const json& object, const char* key);
std::optional<std::uint64_t> count_at(const json& object, const char* key);
std::uint64_t count_or_0(const json& object, const char* key);
std::optional<double> number_at(const json& object, const char* key);
std::optional<bool> flag_at(const json& object, const char* key);

// A reply, or an event of one. Where a token ends within a character some servers write half of a
// surrogate pair, others some bytes of the UTF-8: both become U+FFFD, for JSON knows no such text,
// and a reply is not to be lost for it.
Result<json> parse_reply_json(std::string_view text, const std::string& source);

// Whether a message holds one of the words, which are in lower case, in any case.
bool says_one_of(std::string_view message, std::span<const std::string_view> words);

std::string dump(const json& value);   // invalid UTF-8 becomes U+FFFD
json parsed(const std::string& text);  // text of the form; null where it is no JSON

// Error of a body: `place` is a JSON pointer.
tl::unexpected<Error> bad(std::string_view place, std::string_view reason);

// The members but those of `known`, as JSON text; empty when there are none.
std::string rest_of(const json& object, std::initializer_list<const char*> known);
// Adds `extra`, when it is of this dialect, to `object`; members already there win, objects are
// joined. A foreign one is a loss.
void put_extra(json& object, const std::string& extra, const std::string& origin,
               std::string_view dialect, Losses& losses, const std::string& place);

// The arguments of a call as an object. Text that is none is kept under "invalid_arguments", free
// text of a custom tool under "input"; both are losses.
json arguments_of(const ToolCall& call, Losses& losses, const std::string& place);
// The parameters of a tool as a schema object; a tool with free text gets one with "input".
json parameters_of(const ToolDeclaration& tool, Losses& losses, const std::string& place);
std::string description_of(const ToolDeclaration& tool);
// Name for dialects without namespaces: "space__name".
std::string flat_name(const std::string& space, const std::string& name);

// "data:image/png;base64,..." or an address.
std::string url_of_image(const Part& image);
Part image_of_url(const std::string& url);

// What is lost when `part` is written in `dialect`: signature, data and extra of another one.
void lose_foreign(const Part& part, std::string_view dialect, Losses& losses,
                  const std::string& place);
void lose_foreign(const ToolCall& call, std::string_view dialect, Losses& losses,
                  const std::string& place);

// The last part of a path, without query: "/v1/chat/completions?x" -> "/v1/chat/completions".
std::string_view path_of(std::string_view path);

WireReply json_reply(int status, const json& body);

// An id that is stable for the same content: prefix and 24 hexadecimal digits.
std::string made_id(std::string_view prefix, std::string_view content);
// The id of a reply as this vendor writes it: the reply's own where it has the prefix, otherwise
// one made from it, or from the conversation that it answers.
std::string reply_id(std::string_view prefix, const std::string& id, const ModelRequest& request);
// Calls behind all parts of a message get the position at_end.
void settle_positions(Message& message);
// A time of a body in Unix seconds, whole or not; 0 where there is none or it makes no sense.
std::int64_t created_at(const json& object, const char* key);
// Now where `created` is 0. Unix time in seconds.
std::int64_t created_or_now(std::int64_t created);

// Buffers the deltas of blocks that overlap, for vendors that send one block after the other.
class BlockOrder {
 public:
  // Appends the deltas that may be written now. A stop closes what was left open.
  void add(const Delta& delta, std::vector<Delta>& ready);

 private:
  struct Waiting {
    std::vector<Delta> deltas;
    bool closed = false;
    bool is_call = false;
  };
  std::vector<Waiting> blocks_;
  std::size_t current_ = 0;
};

// Base of stream readers: framing, limits, numbering; the dialect reads one event at a time.
class EventReader : public StreamReader {
 public:
  explicit EventReader(const StreamLimits& limits);
  ~EventReader() override;
  Status feed(std::string_view bytes, std::vector<Delta>& deltas) final;
  Status finish(std::vector<Delta>& deltas) final;

 protected:
  // `name` of the event, which may be empty; `event` is its data.
  virtual Status take(const std::string& name, const json& event, std::vector<Delta>& deltas) = 0;
  // Data that is no JSON but an agreed word ("[DONE]").
  virtual bool take_word(const std::string& word, std::vector<Delta>& deltas);
  // At the end of a stream that has not stopped: whether the reply is whole nevertheless.
  virtual Status end(std::vector<Delta>& deltas);

  void stop(Delta delta, std::vector<Delta>& deltas);
  // The endpoint gave up; nothing more is read.
  void fail_stream(Delta delta, std::vector<Delta>& deltas);
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  bool stopped_ = false;
};

const Dialect& anthropic_messages();
const Dialect& openai_chat();
const Dialect& openai_responses();
const Dialect& gemini();

}  // namespace gyges::model::wire
