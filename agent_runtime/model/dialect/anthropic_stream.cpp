#include <map>

#include "agent_runtime/model/dialect/anthropic_messages.h"
#include "agent_runtime/model/sse.h"
#include "base/json.h"

namespace gyges::model::wire {
namespace {

using Kind = Delta::Kind;

class AnthropicReader final : public EventReader {
 public:
  using EventReader::EventReader;

 protected:
  Status take(const std::string& /*name*/, const json& event, std::vector<Delta>& deltas) override {
    std::string type = text_at(event, "type");
    Delta delta;
    if (type == "message_start") {
      const json& message = at(event, "message");
      counts_.take(at(message, "usage"));
      delta.kind = Kind::start;
      delta.id = text_at(message, "id");
      delta.model = text_at(message, "model");
      delta.usage = counts_.usage();
      deltas.push_back(std::move(delta));
    } else if (type == "content_block_start") {
      return open(event, deltas);
    } else if (type == "content_block_delta") {
      return piece(event, deltas);
    } else if (type == "content_block_stop") {
      return close(event, deltas);
    } else if (type == "message_delta") {
      counts_.take(at(event, "usage"));
      const json& change = at(event, "delta");
      stop_.usage = counts_.usage();
      stop_.stop_reason = anthropic::stop_reason_of(text_at(change, "stop_reason"));
      stop_.stop_sequence = text_at(change, "stop_sequence");
      has_stop_ = at(change, "stop_reason").is_string();
    } else if (type == "message_stop") {
      stop(stop_, deltas);
    } else if (type == "ping") {
      deltas.push_back(std::move(delta));
    } else if (type == "error" || (type.empty() && !at(event, "error").is_null())) {
      // Proxies leave out the type.
      delta.error = anthropic::error_of(event, 500);
      delta.error.status = status_of(delta.error.kind);
      fail_stream(std::move(delta), deltas);
    }
    return ok();
  }

  Status end(std::vector<Delta>& deltas) override {
    if (!has_stop_) return EventReader::end(deltas);
    stop(stop_, deltas);
    return ok();
  }

 private:
  struct Block {
    std::size_t number = 0;
    bool is_call = false;
    bool is_opaque = false;
    json opaque{};        // with the input that comes in pieces
    std::string input{};  //
    Part late{};          // signature
  };

  Status open(const json& event, std::vector<Delta>& deltas) {
    const json& block = at(event, "content_block");
    std::uint64_t index = count_or_0(event, "index");
    if (blocks_.contains(index)) return bad("/index", "a block is begun twice");
    Message one;
    GYGES_CHECK(anthropic::read_block(block, "/content_block", one));
    Block known;
    known.number = next_++;
    Delta delta;
    delta.kind = Kind::open;
    delta.block = known.number;
    std::string text;
    if (!one.tool_calls.empty()) {
      known.is_call = delta.is_call = true;
      delta.call = std::move(one.tool_calls.front());
      if (delta.call.arguments != "{}") text = delta.call.arguments;
      delta.call.arguments.clear();
      delta.call.position = ToolCall::at_end;
    } else {
      delta.part = std::move(one.content.front());
      known.is_opaque = delta.part.kind == Part::Kind::opaque;
      if (known.is_opaque) known.opaque = block;
      if (!known.is_opaque) text = delta.part.text;
      delta.part.text.clear();
    }
    deltas.push_back(delta);
    if (!text.empty()) say(known, std::move(text), deltas);
    blocks_.emplace(index, std::move(known));
    return ok();
  }

  Status piece(const json& event, std::vector<Delta>& deltas) {
    auto found = blocks_.find(count_or_0(event, "index"));
    if (found == blocks_.end()) return bad("/index", "a piece of a block that was not begun");
    Block& block = found->second;
    const json& change = at(event, "delta");
    std::string type = text_at(change, "type");
    if (type == "signature_delta") {
      block.late.signature += text_at(change, "signature");
    } else if (type == "input_json_delta" && !block.is_call) {
      block.input += text_at(change, "partial_json");
    } else if (type == "text_delta") {
      say(block, text_at(change, "text"), deltas);
    } else if (type == "thinking_delta") {
      say(block, text_at(change, "thinking"), deltas);
    } else if (type == "input_json_delta") {
      say(block, text_at(change, "partial_json"), deltas);
    }
    return ok();
  }

  Status close(const json& event, std::vector<Delta>& deltas) {
    auto found = blocks_.find(count_or_0(event, "index"));
    if (found == blocks_.end()) return bad("/index", "the end of a block that was not begun");
    Block& block = found->second;
    if (block.is_opaque) {
      if (!block.input.empty()) block.opaque["input"] = parsed(block.input);
      block.is_opaque = false;
      say(block, dump(block.opaque), deltas);
    }
    Delta delta;
    delta.kind = Kind::close;
    delta.block = block.number;
    delta.is_call = block.is_call;
    delta.part = std::move(block.late);
    if (!delta.part.signature.empty()) delta.part.origin = AnthropicMessages::dialect_name;
    deltas.push_back(std::move(delta));
    blocks_.erase(found);
    return ok();
  }

  static void say(const Block& block, std::string text, std::vector<Delta>& deltas) {
    if (block.is_opaque || text.empty()) return;
    Delta delta;
    delta.kind = Kind::text;
    delta.block = block.number;
    delta.is_call = block.is_call;
    delta.text = std::move(text);
    deltas.push_back(std::move(delta));
  }

  anthropic::Counts counts_;
  std::map<std::uint64_t, Block> blocks_;  // open ones, by the vendor's number
  std::size_t next_ = 0;
  Delta stop_;
  bool has_stop_ = false;
};

class AnthropicWriter final : public StreamWriter {
 public:
  explicit AnthropicWriter(const ModelRequest& request)
      : model_(request.model), id_(reply_id("msg_", "", request)) {}

  std::string write(const Delta& delta) override {
    std::vector<Delta> ready;
    order_.add(delta, ready);
    std::string bytes;
    for (const auto& one : ready) put(one, bytes);
    return bytes;
  }

 private:
  static void event(const char* type, json data, std::string& bytes) {
    data["type"] = type;
    bytes += sse_event(type, dump(data));
  }

  void put(const Delta& delta, std::string& bytes) {
    switch (delta.kind) {
      case Kind::start:
        start(delta, bytes);
        break;
      case Kind::open:
        open(delta, bytes);
        break;
      case Kind::text:
        if (!skipping_) piece(delta, bytes);
        break;
      case Kind::close:
        close(delta, bytes);
        break;
      case Kind::usage:
        merge_usage(usage_, delta.usage);
        break;
      case Kind::ping:
        event("ping", json::object(), bytes);
        break;
      case Kind::stop: {
        merge_usage(usage_, delta.usage);
        bool by_word = delta.stop_reason == StopReason::stop_sequence;
        event("message_delta",
              {{"delta",
                {{"stop_reason", anthropic::stop_word(delta.stop_reason)},
                 {"stop_sequence", by_word ? json(delta.stop_sequence) : json()}}},
               {"usage", anthropic::usage_of(usage_)}},
              bytes);
        event("message_stop", json::object(), bytes);
        break;
      }
      case Kind::error:
        bytes += sse_event("error", dump(anthropic::error_body(delta.error)));
        break;
    }
  }

  void start(const Delta& delta, std::string& bytes) {
    merge_usage(usage_, delta.usage);
    std::string model = delta.model.empty() ? model_ : delta.model;
    event("message_start",
          {{"message",
            {{"id", delta.id.empty() ? id_ : reply_id("msg_", delta.id, {})},
             {"type", "message"},
             {"role", "assistant"},
             {"model", model},
             {"content", json::array()},
             {"stop_reason", nullptr},
             {"stop_sequence", nullptr},
             {"usage", anthropic::usage_of(usage_)}}}},
          bytes);
  }

  void open(const Delta& delta, std::string& bytes) {
    json block;
    kind_ = delta.part.kind;
    bool own = delta.part.origin == AnthropicMessages::dialect_name;
    if (delta.is_call) {
      custom_ = delta.call.custom;
      block = {{"type", "tool_use"},
               {"id", anthropic::wire_id(delta.call.id)},
               {"name", flat_name(delta.call.space, delta.call.name)},
               {"input", json::object()}};
    } else if (kind_ == Part::Kind::text) {
      block = {{"type", "text"}, {"text", ""}};
    } else if (kind_ == Part::Kind::reasoning && own && !delta.part.data.empty()) {
      block = {{"type", "redacted_thinking"}, {"data", delta.part.data}};
    } else if (kind_ == Part::Kind::reasoning) {
      block = {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}};
    }
    // Blocks of other providers do not appear; ours that have no name here wait for their text.
    skipping_ = block.is_null() && !own;
    opaque_.clear();
    waiting_ = block.is_null() && own;
    if (!block.is_null()) begin(std::move(block), bytes);
    if (delta.is_call)
      piece_of("input_json_delta", "partial_json", custom_ ? "{\"input\":\"" : "", bytes);
  }

  void begin(json block, std::string& bytes) {
    event("content_block_start", {{"index", index_}, {"content_block", std::move(block)}}, bytes);
    if (index_ == 0) event("ping", json::object(), bytes);
  }

  void piece_of(const char* type, const char* key, std::string text, std::string& bytes) {
    event("content_block_delta",
          {{"index", index_}, {"delta", {{"type", type}, {key, std::move(text)}}}}, bytes);
  }

  void piece(const Delta& delta, std::string& bytes) {
    if (waiting_)
      opaque_ += delta.text;
    else if (delta.is_call && custom_)
      piece_of("input_json_delta", "partial_json", escaped(delta.text), bytes);
    else if (delta.is_call)
      piece_of("input_json_delta", "partial_json", delta.text, bytes);
    else if (kind_ == Part::Kind::reasoning)
      piece_of("thinking_delta", "thinking", delta.text, bytes);
    else
      piece_of("text_delta", "text", delta.text, bytes);
  }

  void close(const Delta& delta, std::string& bytes) {
    if (skipping_) return;
    if (waiting_) begin(parsed(opaque_), bytes);
    if (delta.is_call && custom_) piece_of("input_json_delta", "partial_json", "\"}", bytes);
    bool signed_here =
        delta.part.origin == AnthropicMessages::dialect_name && !delta.part.signature.empty();
    if (!delta.is_call && kind_ == Part::Kind::reasoning && signed_here)
      piece_of("signature_delta", "signature", delta.part.signature, bytes);
    event("content_block_stop", {{"index", index_++}}, bytes);
  }

  // As it stands between the quotes of a JSON string.
  static std::string escaped(const std::string& text) {
    std::string quoted = dump(text);
    return quoted.substr(1, quoted.size() - 2);
  }

  std::string model_;
  std::string id_;  // for a reply that has none
  BlockOrder order_;
  Usage usage_;
  std::size_t index_ = 0;
  Part::Kind kind_ = Part::Kind::text;
  std::string opaque_;
  bool custom_ = false;
  bool skipping_ = false;
  bool waiting_ = false;
};

}  // namespace

std::unique_ptr<StreamWriter> AnthropicMessages::stream_writer(const ModelRequest& request) const {
  return std::make_unique<AnthropicWriter>(request);
}

std::unique_ptr<StreamReader> AnthropicMessages::stream_reader(const StreamLimits& limits) const {
  return std::make_unique<AnthropicReader>(limits);
}

}  // namespace gyges::model::wire
