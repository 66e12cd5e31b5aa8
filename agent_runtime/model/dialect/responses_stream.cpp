#include <map>
#include <set>

#include "agent_runtime/model/dialect/openai_common.h"
#include "agent_runtime/model/dialect/openai_responses.h"
#include "agent_runtime/model/sse.h"
#include "base/json.h"

namespace gyges::model::wire {
namespace {

using Kind = Delta::Kind;

// Items are read from the pieces that announce them; servers that send only whole items are read
// from those.
class ResponsesReader final : public EventReader {
 public:
  using EventReader::EventReader;

 protected:
  Status take(const std::string& name, const json& event, std::vector<Delta>& deltas) override {
    std::string type = text_at(event, "type");
    if (type.empty()) type = name;
    if (type == "response.created" || type == "response.in_progress") {
      start(at(event, "response"), deltas);
    } else if (type == "response.output_item.added") {
      return begin_item(event, deltas);
    } else if (type == "response.output_item.done") {
      return end_item(event, deltas);
    } else if (type == "response.output_text.delta" || type == "response.refusal.delta") {
      refused_ = refused_ || type == "response.refusal.delta";
      words(event, deltas);
    } else if (type == "response.function_call_arguments.delta" ||
               type == "response.custom_tool_call_input.delta") {
      if (Item* item = item_of(event); item != nullptr && item->is_call && item->open)
        piece(*item, text_at(event, "delta"), deltas);
    } else if (type == "response.reasoning_summary_text.delta" ||
               type == "response.reasoning_text.delta") {
      thoughts(event, type == "response.reasoning_text.delta", deltas);
    } else if (type == "response.completed" || type == "response.incomplete") {
      conclude(at(event, "response"), deltas);
    } else if (type == "response.failed" || type == "error" ||
               (type.empty() && !at(event, "error").is_null())) {
      // Proxies leave out the type.
      const json& inner = type == "response.failed" ? at(event, "response") : event;
      Delta delta;
      delta.error = openai::error_of(inner, 500);
      delta.error.status = openai::error_status(delta.error);
      fail_stream(std::move(delta), deltas);
    }
    return ok();
  }

 private:
  struct Item {
    std::size_t number = 0;  // of its block; of the open one for a message
    bool begun = false;      // has had a block
    bool open = false;
    bool is_call = false;
    bool is_reasoning = false;
    bool said = false;
    std::uint64_t section = 0;  // content or summary index
  };

  Item* item_of(const json& event) {
    auto found = items_.find(count_or_0(event, "output_index"));
    return found == items_.end() ? nullptr : &found->second;
  }

  void start(const json& response, std::vector<Delta>& deltas) {
    if (started_) return;
    started_ = true;
    Delta delta;
    delta.kind = Kind::start;
    delta.id = text_at(response, "id");
    delta.model = text_at(response, "model");
    delta.created = created_at(response, "created_at");
    deltas.push_back(std::move(delta));
  }

  void open(Item& item, Delta delta, std::vector<Delta>& deltas) {
    item.begun = item.open = true;
    item.said = false;
    item.number = next_++;
    has_calls_ = has_calls_ || item.is_call;
    delta.kind = Kind::open;
    delta.block = item.number;
    delta.is_call = item.is_call;
    deltas.push_back(std::move(delta));
  }

  void piece(Item& item, std::string text, std::vector<Delta>& deltas) {
    if (text.empty()) return;
    item.said = true;
    Delta delta;
    delta.kind = Kind::text;
    delta.block = item.number;
    delta.is_call = item.is_call;
    delta.text = std::move(text);
    deltas.push_back(std::move(delta));
  }

  void close(Item& item, Part late, std::vector<Delta>& deltas) {
    if (!item.open) return;
    item.open = false;
    Delta delta;
    delta.kind = Kind::close;
    delta.block = item.number;
    delta.is_call = item.is_call;
    delta.part = std::move(late);
    deltas.push_back(std::move(delta));
  }

  Status begin_item(const json& event, std::vector<Delta>& deltas) {
    start(json(), deltas);
    const json& wire = at(event, "item");
    std::string type = text_at(wire, "type");
    std::uint64_t index = count_or_0(event, "output_index");
    if (items_.contains(index)) return bad("/output_index", "an item is begun twice");
    Item item;
    Delta delta;
    if (type == "function_call" || type == "custom_tool_call") {
      Message one;
      bool refused = false;
      GYGES_CHECK(responses::read_output_item(wire, "/item", one, refused));
      item.is_call = true;
      delta.call = std::move(one.tool_calls.front());
      delta.call.arguments.clear();
      delta.call.fault.clear();
      delta.call.position = ToolCall::at_end;
      open(item, std::move(delta), deltas);
    } else if (type == "reasoning") {
      item.is_reasoning = true;
      delta.part.kind = Part::Kind::reasoning;
      delta.part.id = text_at(wire, "id");
      delta.part.origin = OpenAiResponses::dialect_name;
      open(item, std::move(delta), deltas);
    }
    items_.emplace(index, item);
    return ok();
  }

  void words(const json& event, std::vector<Delta>& deltas) {
    start(json(), deltas);
    Item& item = items_[count_or_0(event, "output_index")];
    if (item.is_call || item.is_reasoning) return;
    std::uint64_t section = count_or_0(event, "content_index");
    if (item.open && item.section != section) close(item, {}, deltas);
    if (!item.open) open(item, {}, deltas);
    item.section = section;
    piece(item, text_at(event, "delta"), deltas);
  }

  void thoughts(const json& event, bool whole, std::vector<Delta>& deltas) {
    Item* item = item_of(event);
    if (item == nullptr || !item->is_reasoning || !item->open) return;
    std::uint64_t section = count_or_0(event, whole ? "content_index" : "summary_index");
    if (item->said && section != item->section) piece(*item, "\n\n", deltas);
    item->section = section;
    piece(*item, text_at(event, "delta"), deltas);
  }

  Status end_item(const json& event, std::vector<Delta>& deltas) {
    start(json(), deltas);
    const json& wire = at(event, "item");
    std::uint64_t index = count_or_0(event, "output_index");
    if (ended_.contains(index)) return bad("/output_index", "an item ends twice");
    Message one;
    GYGES_CHECK(responses::read_output_item(wire, "/item", one, refused_));
    Item& item = items_[index];
    if (!item.begun) {
      whole(item, one, deltas);
    } else {
      std::string text = !one.tool_calls.empty() ? one.tool_calls.front().arguments
                         : one.content.empty()   ? std::string()
                                                 : one.content.front().text;
      bool nothing =
          item.is_call && !one.tool_calls.empty() && !one.tool_calls.front().custom && text == "{}";
      if (item.open && !item.said && !nothing) piece(item, std::move(text), deltas);
      Part late;
      if (item.is_reasoning && !one.content.empty()) {
        late = std::move(one.content.front());
        late.text.clear();
      }
      close(item, std::move(late), deltas);
    }
    ended_.insert(index);
    items_.erase(index);
    return ok();
  }

  // An item of which no piece was announced.
  void whole(Item& item, Message& message, std::vector<Delta>& deltas) {
    for (const auto& block : blocks_of(message)) {
      item.is_call = block.call != nullptr;
      Delta delta;
      std::string text = item.is_call ? block.call->arguments : block.part->text;
      Part late;
      if (item.is_call) {
        delta.call = *block.call;
        delta.call.arguments.clear();
        delta.call.position = ToolCall::at_end;
      } else {
        delta.part = *block.part;
        delta.part.text.clear();
        late = delta.part;
      }
      open(item, std::move(delta), deltas);
      piece(item, std::move(text), deltas);
      close(item, std::move(late), deltas);
    }
  }

  void conclude(const json& response, std::vector<Delta>& deltas) {
    start(response, deltas);
    for (auto& [index, item] : items_) close(item, {}, deltas);
    Delta delta;
    delta.usage = responses::usage_of(at(response, "usage"));
    delta.stop_reason = responses::stop_reason_of(response, has_calls_, refused_);
    stop(std::move(delta), deltas);
  }

  bool started_ = false;
  bool refused_ = false;
  bool has_calls_ = false;
  std::size_t next_ = 0;
  std::map<std::uint64_t, Item> items_;  // by the vendor's number
  std::set<std::uint64_t> ended_;
};

class ResponsesWriter final : public StreamWriter {
 public:
  explicit ResponsesWriter(const ModelRequest& request)
      : id_(reply_id("resp_", "", request)),
        response_(responses::frame(request, id_, "", 1)),
        output_(json::array()) {}

  std::string write(const Delta& delta) override {
    std::vector<Delta> ready;
    order_.add(delta, ready);
    std::string bytes;
    for (const auto& one : ready) put(one, bytes);
    return bytes;
  }

 private:
  void event(const char* type, json data, std::string& bytes) {
    data["type"] = type;
    data["sequence_number"] = sequence_++;
    bytes += sse_event(type, dump(data));
  }

  void item_event(const char* type, json data, std::string& bytes) {
    data["output_index"] = output_.size();
    event(type, std::move(data), bytes);
  }

  void put(const Delta& delta, std::string& bytes) {
    switch (delta.kind) {
      case Kind::start:
        if (!delta.id.empty()) id_ = reply_id("resp_", delta.id, {});
        response_["id"] = id_;
        response_["created_at"] = created_or_now(delta.created);
        if (!delta.model.empty()) response_["model"] = delta.model;
        merge_usage(usage_, delta.usage);
        event("response.created", {{"response", response_}}, bytes);
        event("response.in_progress", {{"response", response_}}, bytes);
        break;
      case Kind::open:
        open(delta, bytes);
        break;
      case Kind::text:
        text_ += delta.text;
        piece(delta.text, bytes);
        break;
      case Kind::close:
        close(delta, bytes);
        break;
      case Kind::usage:
        merge_usage(usage_, delta.usage);
        break;
      case Kind::ping:
        bytes += sse_comment("keepalive");
        break;
      case Kind::stop: {
        merge_usage(usage_, delta.usage);
        response_["output"] = output_;
        responses::conclude(response_, delta.stop_reason, usage_);
        bool whole = text_at(response_, "status") == "completed";
        event(whole ? "response.completed" : "response.incomplete", {{"response", response_}},
              bytes);
        break;
      }
      case Kind::error: {
        response_["status"] = "failed";
        json inner = openai::error_body(delta.error)["error"];
        json code = inner["code"].is_null() ? inner["type"] : inner["code"];
        response_["error"] = {{"code", code}, {"message", delta.error.message}};
        event("response.failed", {{"response", response_}}, bytes);
        break;
      }
    }
  }

  // The item as it stands now, whole or with what has been said of it.
  json item(bool whole) {
    if (!is_call_ && part_.kind == Part::Kind::opaque)
      return part_.origin == OpenAiResponses::dialect_name && whole ? parsed(text_) : json();
    Block block;
    call_.arguments = whole ? text_ : "";
    bool no_words = !is_call_ && part_.kind == Part::Kind::text && (!whole || text_.empty());
    part_.text = no_words ? "-" : whole ? text_ : "";  // an item without words would not appear
    if (is_call_)
      block.call = &call_;
    else
      block.part = &part_;
    Losses ignored;
    json wire = responses::item_of(block, true, ignored, "");
    if (wire.is_null()) return wire;
    if (no_words) wire["content"] = json::array();
    if (no_words && whole) wire["content"].push_back(words_part(""));
    if (!whole) {
      if (is_call_ && !call_.custom) wire["arguments"] = "";
      if (wire.contains("status")) wire["status"] = "in_progress";
    }
    if (!wire.contains("id")) wire["id"] = responses::item_id(wire, id_, output_.size());
    return wire;
  }

  void open(const Delta& delta, std::string& bytes) {
    is_call_ = delta.is_call;
    part_ = delta.part;
    call_ = delta.call;
    text_.clear();
    said_ = false;
    json wire = item(false);
    skipping_ = wire.is_null();
    if (skipping_) return;
    item_id_ = text_at(wire, "id");
    item_event("response.output_item.added", {{"item", wire}}, bytes);
    if (is_call_ || part_.kind != Part::Kind::text) return;
    item_event("response.content_part.added",
               {{"item_id", item_id_}, {"content_index", 0}, {"part", words_part("")}}, bytes);
  }

  static json words_part(const std::string& text) {
    return {{"type", "output_text"},
            {"annotations", json::array()},
            {"logprobs", json::array()},
            {"text", text}};
  }

  void piece(const std::string& text, std::string& bytes) {
    if (skipping_) return;
    if (is_call_) {
      item_event(call_.custom ? "response.custom_tool_call_input.delta"
                              : "response.function_call_arguments.delta",
                 {{"item_id", item_id_}, {"delta", text}}, bytes);
    } else if (part_.kind == Part::Kind::reasoning) {
      if (!said_)
        item_event("response.reasoning_summary_part.added",
                   {{"item_id", item_id_},
                    {"summary_index", 0},
                    {"part", {{"type", "summary_text"}, {"text", ""}}}},
                   bytes);
      item_event("response.reasoning_summary_text.delta",
                 {{"item_id", item_id_}, {"summary_index", 0}, {"delta", text}}, bytes);
    } else {
      item_event("response.output_text.delta",
                 {{"item_id", item_id_},
                  {"content_index", 0},
                  {"delta", text},
                  {"logprobs", json::array()}},
                 bytes);
    }
    said_ = true;
  }

  void close(const Delta& delta, std::string& bytes) {
    if (!is_call_ && part_.kind == Part::Kind::reasoning &&
        delta.part.origin == OpenAiResponses::dialect_name) {
      if (!delta.part.data.empty()) part_.data = delta.part.data;
      part_.origin = OpenAiResponses::dialect_name;
    }
    if (is_call_ && !call_.custom && text_.empty()) text_ = "{}";
    json wire = item(true);
    if (wire.is_null()) return;
    wire["id"] = skipping_ ? wire.value("id", "") : item_id_;
    if (skipping_) {
      item_event("response.output_item.added", {{"item", wire}}, bytes);
    } else if (is_call_) {
      bool custom = call_.custom;
      item_event(
          custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done",
          {{"item_id", item_id_}, {custom ? "input" : "arguments", text_}}, bytes);
    } else if (part_.kind == Part::Kind::reasoning) {
      if (said_) end_summary(bytes);
    } else {
      item_event("response.output_text.done",
                 {{"item_id", item_id_},
                  {"content_index", 0},
                  {"text", text_},
                  {"logprobs", json::array()}},
                 bytes);
      item_event("response.content_part.done",
                 {{"item_id", item_id_}, {"content_index", 0}, {"part", words_part(text_)}}, bytes);
    }
    item_event("response.output_item.done", {{"item", wire}}, bytes);
    output_.push_back(std::move(wire));
  }

  void end_summary(std::string& bytes) {
    item_event("response.reasoning_summary_text.done",
               {{"item_id", item_id_}, {"summary_index", 0}, {"text", text_}}, bytes);
    item_event("response.reasoning_summary_part.done",
               {{"item_id", item_id_},
                {"summary_index", 0},
                {"part", {{"type", "summary_text"}, {"text", text_}}}},
               bytes);
  }

  std::string id_;
  json response_;
  json output_;
  BlockOrder order_;
  Usage usage_;
  std::uint64_t sequence_ = 0;
  // The block that is open.
  bool is_call_ = false;
  Part part_;
  ToolCall call_;
  std::string text_;
  std::string item_id_;
  bool said_ = false;
  bool skipping_ = false;
};

}  // namespace

std::unique_ptr<StreamWriter> OpenAiResponses::stream_writer(const ModelRequest& request) const {
  return std::make_unique<ResponsesWriter>(request);
}

std::unique_ptr<StreamReader> OpenAiResponses::stream_reader(const StreamLimits& limits) const {
  return std::make_unique<ResponsesReader>(limits);
}

}  // namespace gyges::model::wire
