#include <map>

#include "agent_runtime/model/dialect/openai_chat.h"
#include "agent_runtime/model/dialect/openai_common.h"
#include "agent_runtime/model/sse.h"
#include "base/json.h"

namespace gyges::model::wire {
namespace {

using Kind = Delta::Kind;

class ChatReader final : public EventReader {
 public:
  using EventReader::EventReader;

 protected:
  bool take_word(const std::string& word, std::vector<Delta>& deltas) override {
    if (word != "[DONE]") return false;
    if (!stopped() && started_) conclude(deltas);
    return true;
  }

  Status take(const std::string& /*name*/, const json& event, std::vector<Delta>& deltas) override {
    if (const json& error = at(event, "error"); !error.is_null()) {
      Delta delta;
      delta.error = openai::error_of(event, 500);
      fail_stream(std::move(delta), deltas);
      return ok();
    }
    start(event, deltas);
    if (const json& usage = at(event, "usage"); usage.is_object())
      merge_usage(stop_.usage, chat::usage_of(usage));
    const json& choices = at(event, "choices");
    if (!choices.is_array() || choices.empty()) return ok();
    if (count_or_0(choices.front(), "index") != 0) return ok();  // further choices are not read
    const json& delta = at(choices.front(), "delta");
    std::string thought = text_at(delta, "reasoning_content");
    if (thought.empty()) thought = text_at(delta, "reasoning");
    say(Part::Kind::reasoning, std::move(thought), deltas);
    say(Part::Kind::text, text_at(delta, "content"), deltas);
    std::string refusal = text_at(delta, "refusal");
    refused_ = refused_ || !refusal.empty();
    say(Part::Kind::text, std::move(refusal), deltas);
    for (const auto& call : at(delta, "tool_calls")) GYGES_CHECK(take_call(call, deltas));
    if (at(choices.front(), "finish_reason").is_string()) {
      finish_word_ = text_at(choices.front(), "finish_reason");
      finished_ = true;
    }
    return ok();
  }

  Status end(std::vector<Delta>& deltas) override {
    if (!finished_) return EventReader::end(deltas);
    conclude(deltas);
    return ok();
  }

 private:
  struct Call {
    std::size_t number = 0;
    bool open = true;
    bool custom = false;
    std::string arguments{};
  };

  void start(const json& event, std::vector<Delta>& deltas) {
    if (started_) return;
    started_ = true;
    Delta delta;
    delta.kind = Kind::start;
    delta.id = text_at(event, "id");
    delta.model = text_at(event, "model");
    delta.created = created_at(event, "created");
    deltas.push_back(std::move(delta));
  }

  void close(std::size_t number, bool is_call, std::vector<Delta>& deltas) {
    Delta delta;
    delta.kind = Kind::close;
    delta.block = number;
    delta.is_call = is_call;
    deltas.push_back(std::move(delta));
  }

  void close_part(std::vector<Delta>& deltas) {
    if (has_part_) close(part_, false, deltas);
    has_part_ = false;
  }

  void piece(std::size_t number, bool is_call, std::string text, std::vector<Delta>& deltas) {
    if (text.empty()) return;
    Delta delta;
    delta.kind = Kind::text;
    delta.block = number;
    delta.is_call = is_call;
    delta.text = std::move(text);
    deltas.push_back(std::move(delta));
  }

  void say(Part::Kind kind, std::string text, std::vector<Delta>& deltas) {
    if (text.empty()) return;
    if (!has_part_ || kind != part_kind_) {
      close_part(deltas);
      has_part_ = true;
      part_kind_ = kind;
      part_ = next_++;
      Delta delta;
      delta.kind = Kind::open;
      delta.block = part_;
      delta.part.kind = kind;
      if (kind == Part::Kind::reasoning) delta.part.origin = OpenAiChat::dialect_name;
      deltas.push_back(std::move(delta));
    }
    piece(part_, false, std::move(text), deltas);
  }

  // Some servers number no calls; then an id or a name begins a new one.
  std::uint64_t index_of(const json& wire) const {
    if (auto index = count_at(wire, "index")) return *index;
    bool begins = !text_at(wire, "id").empty() || !text_at(at(wire, "function"), "name").empty();
    return begins || calls_.empty() ? last_ + (calls_.empty() ? 0 : 1) : last_;
  }

  Status take_call(const json& wire, std::vector<Delta>& deltas) {
    std::uint64_t index = index_of(wire);
    const json& custom = at(wire, "custom");
    const json& body = custom.is_object() ? custom : at(wire, "function");
    auto found = calls_.find(index);
    if (found == calls_.end()) {
      Delta delta;
      delta.kind = Kind::open;
      delta.is_call = true;
      delta.call.id = text_at(wire, "id");
      delta.call.name = text_at(body, "name");
      delta.call.custom = custom.is_object();
      if (delta.call.custom) delta.call.origin = OpenAiChat::dialect_name;
      if (delta.call.name.empty()) return bad("/choices/0/delta", "a tool call without a name");
      close_part(deltas);
      // A call that is whole ends when the next begins; one that is not may go on beside it.
      if (auto last = calls_.find(last_); last != calls_.end())
        close_if_whole(last->second, deltas);
      delta.block = next_++;
      found = calls_.emplace(index, Call{delta.block, true, delta.call.custom}).first;
      deltas.push_back(std::move(delta));
    }
    last_ = index;
    Call& call = found->second;
    const json& arguments = at(body, "arguments");
    std::string text = call.custom             ? text_at(body, "input")
                       : arguments.is_object() ? dump(arguments)
                                               : text_at(body, "arguments");
    if (text.empty()) return ok();
    if (!call.open) return bad("/choices/0/delta/tool_calls", "arguments of a call that has ended");
    if (!call.custom) call.arguments += text;
    piece(call.number, true, std::move(text), deltas);
    return ok();
  }

  void close_if_whole(Call& call, std::vector<Delta>& deltas) {
    if (!call.open || (!call.custom && !json::accept(call.arguments))) return;
    call.open = false;
    call.arguments.clear();
    close(call.number, true, deltas);
  }

  void conclude(std::vector<Delta>& deltas) {
    close_part(deltas);
    for (auto& [index, call] : calls_) {
      if (call.open) close(call.number, true, deltas);
      call.open = false;
    }
    stop_.stop_reason = chat::stop_reason_of(finish_word_, !calls_.empty(), refused_);
    stop(stop_, deltas);
  }

  bool started_ = false;
  bool finished_ = false;
  bool refused_ = false;
  std::string finish_word_;
  std::size_t next_ = 0;
  bool has_part_ = false;
  Part::Kind part_kind_ = Part::Kind::text;
  std::size_t part_ = 0;
  std::map<std::uint64_t, Call> calls_;  // by the vendor's number
  std::uint64_t last_ = 0;
  Delta stop_;
};

class ChatWriter final : public StreamWriter {
 public:
  explicit ChatWriter(const ModelRequest& request)
      : id_(reply_id("chatcmpl-", "", request)),
        model_(request.model),
        with_usage_(request.stream_usage) {}

  std::string write(const Delta& delta) override {
    switch (delta.kind) {
      case Kind::start:
        if (!delta.id.empty()) id_ = reply_id("chatcmpl-", delta.id, {});
        if (!delta.model.empty()) model_ = delta.model;
        created_ = created_or_now(delta.created);
        merge_usage(usage_, delta.usage);
        return chunk({{"role", "assistant"}, {"content", ""}}, json());
      case Kind::open:
        return open(delta);
      case Kind::text:
        return piece(delta);
      case Kind::close:
        return {};
      case Kind::usage:
        merge_usage(usage_, delta.usage);
        return {};
      case Kind::ping:
        return sse_comment("ping");
      case Kind::stop:
        return end(delta);
      case Kind::error:
        return sse_event("", dump(openai::error_body(delta.error)));
    }
    return {};
  }

 private:
  struct Block {
    Part::Kind kind = Part::Kind::text;
    std::size_t index = 0;  // among the calls
    bool custom = false;
  };

  json frame() const {
    return {
        {"id", id_}, {"object", "chat.completion.chunk"}, {"created", created_}, {"model", model_}};
  }

  std::string chunk(json delta, json finish_reason) const {
    json body = frame();
    body["choices"] = json::array({{{"index", 0},
                                    {"delta", std::move(delta)},
                                    {"logprobs", nullptr},
                                    {"finish_reason", std::move(finish_reason)}}});
    if (with_usage_) body["usage"] = nullptr;
    return sse_event("", dump(body));
  }

  std::string call_chunk(json call) const {
    json delta;
    delta["tool_calls"] = json::array();
    delta["tool_calls"].push_back(std::move(call));
    return chunk(std::move(delta), json());
  }

  std::string open(const Delta& delta) {
    Block& block = blocks_[delta.block];
    block.kind = delta.part.kind;
    if (!delta.is_call) return {};
    block.index = calls_++;
    block.custom = delta.call.custom;
    json body{{"name", flat_name(delta.call.space, delta.call.name)},
              {block.custom ? "input" : "arguments", ""}};
    const char* type = block.custom ? "custom" : "function";
    return call_chunk(
        {{"index", block.index}, {"id", delta.call.id}, {"type", type}, {type, body}});
  }

  std::string piece(const Delta& delta) {
    const Block& block = blocks_[delta.block];
    if (delta.is_call) {
      json inner;
      inner[block.custom ? "input" : "arguments"] = delta.text;
      json call{{"index", block.index}};
      call[block.custom ? "custom" : "function"] = std::move(inner);
      return call_chunk(std::move(call));
    }
    if (block.kind == Part::Kind::reasoning)
      return chunk({{"reasoning_content", delta.text}}, json());
    if (block.kind == Part::Kind::text) return chunk({{"content", delta.text}}, json());
    return {};
  }

  std::string end(const Delta& delta) {
    merge_usage(usage_, delta.usage);
    std::string bytes = chunk(json::object(), chat::stop_word(delta.stop_reason));
    if (with_usage_) {
      json body = frame();
      body["choices"] = json::array();
      body["usage"] = chat::write_usage(usage_);
      bytes += sse_event("", dump(body));
    }
    return bytes + sse_event("", "[DONE]");
  }

  std::string id_;
  std::string model_;
  std::int64_t created_ = 0;
  bool with_usage_;
  Usage usage_;
  std::map<std::size_t, Block> blocks_;
  std::size_t calls_ = 0;
};

}  // namespace

std::unique_ptr<StreamWriter> OpenAiChat::stream_writer(const ModelRequest& request) const {
  return std::make_unique<ChatWriter>(request);
}

std::unique_ptr<StreamReader> OpenAiChat::stream_reader(const StreamLimits& limits) const {
  return std::make_unique<ChatReader>(limits);
}

}  // namespace gyges::model::wire
