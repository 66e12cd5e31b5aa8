// A wire format of models: pure functions between its JSON and the conversation form, both ways,
// without input or output of their own. The gateway reads requests and writes replies with it, the
// client writes requests and reads replies.
//
// Readers bound what they take (depth of JSON, blocks of a reply, bytes of an event) and ignore
// what they do not know, or keep it where the same dialect can write it again. Dialects are
// stateless and thread-safe; readers and writers of streams serve one reply and one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/model/conversation.h"
#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/model_request.h"
#include "base/error.h"

namespace gyges::model {

// What a path of the API asks for.
struct Route {
  enum class Kind { none, generate, count_tokens, models };
  Kind kind = Kind::none;
  std::string model{};  // where the path names it (Gemini)
  bool stream = false;  // where the path says it (Gemini)
};

struct WireRequest {
  std::string path;                  // after the base URL, with its query: "/v1/messages"
  std::vector<std::string> headers;  // "Name: value"; the key is not among them
  std::string body;
};

struct WireReply {
  int status = 200;
  std::vector<std::string> headers;  // "Content-Type: application/json", ...
  std::string body;
};

struct StreamLimits {
  std::size_t event_bytes = 16U << 20U;
  std::size_t total_bytes = 64U << 20U;
};

// Reads a streamed reply.
class StreamReader {
 public:
  virtual ~StreamReader() = default;
  // Appends what the bytes say. Fails on what cannot be understood or is past the limits; nothing
  // may be fed after that.
  virtual Status feed(std::string_view bytes, std::vector<Delta>& deltas) = 0;
  // The stream has ended: appends what is still owed. Fails when the reply is not whole.
  virtual Status finish(std::vector<Delta>& deltas) = 0;
};

// Writes a streamed reply as the vendor would. Returns the bytes for each delta, which may be none:
// some vendors send blocks one after the other, and what overlaps waits.
class StreamWriter {
 public:
  virtual ~StreamWriter() = default;
  virtual std::string write(const Delta& delta) = 0;
};

class Dialect {
 public:
  virtual ~Dialect() = default;
  // "anthropic_messages", "openai_chat", "openai_responses", "gemini": as agent files say it.
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Header that carries the key: "x-api-key: KEY".
  [[nodiscard]] virtual std::string key_header(std::string_view key) const = 0;

  // Server side. `path` is that of the request, with or without its query and a prefix.
  [[nodiscard]] virtual Route route(std::string_view path) const = 0;
  [[nodiscard]] virtual Result<ModelRequest> parse_request(std::string_view path,
                                                           std::string_view body) const = 0;
  // `request` is the one that is answered, for vendors whose replies repeat parts of it.
  virtual WireReply write_response(const ModelRequest& request, const Reply& reply,
                                   Losses& losses) const = 0;
  [[nodiscard]] virtual std::unique_ptr<StreamWriter> stream_writer(
      const ModelRequest& request) const = 0;
  [[nodiscard]] virtual WireReply write_error(const ModelError& error) const = 0;
  // Answer to Route::count_tokens, and to Route::models.
  [[nodiscard]] virtual WireReply write_count(std::uint64_t tokens) const = 0;
  [[nodiscard]] virtual WireReply write_models(const std::vector<std::string>& names) const = 0;

  // Client side. Fails only when the conversation cannot be said at all.
  virtual Result<WireRequest> write_request(const ModelRequest& request, Losses& losses) const = 0;
  [[nodiscard]] virtual Result<Reply> parse_response(std::string_view body) const = 0;
  [[nodiscard]] virtual std::unique_ptr<StreamReader> stream_reader(
      const StreamLimits& limits) const = 0;
  // Of a reply with a status other than 2xx; bodies that are no JSON become the message.
  [[nodiscard]] virtual ModelError parse_error(int status, std::string_view body) const = 0;
};

// nullptr: there is none of this name. The object lives as long as the program.
const Dialect* find_dialect(std::string_view name);
// All of them.
std::vector<const Dialect*> dialects();

// A whole reply from a whole stream.
Result<Reply> read_stream(const Dialect& dialect, std::string_view bytes,
                          const StreamLimits& limits = {});
// A whole stream from a whole reply; pieces as in deltas_of().
std::string write_stream(const Dialect& dialect, const ModelRequest& request, const Reply& reply,
                         std::size_t piece_bytes = 0);

}  // namespace gyges::model
