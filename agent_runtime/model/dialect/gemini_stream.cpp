#include <utility>

#include "agent_runtime/model/dialect/gemini.h"
#include "agent_runtime/model/sse.h"
#include "base/json.h"

namespace gyges::model::wire {
namespace {

using Kind = Delta::Kind;
using gemini_parts::made_call_id;

class GeminiReader final : public EventReader {
 public:
  using EventReader::EventReader;

 protected:
  Status take(const std::string& /*name*/, const json& event, std::vector<Delta>& deltas) override {
    if (at(event, "error").is_object()) {
      Delta delta;
      delta.error = gemini_parts::error_of(event, 500);
      delta.error.status = status_of(delta.error.kind);
      fail_stream(std::move(delta), deltas);
      return ok();
    }
    const json& candidates = at(event, "candidates");
    const json& blocked = at(at(event, "promptFeedback"), "blockReason");
    if (!candidates.is_array() && blocked.is_null() && !event.contains("usageMetadata"))
      return bad("", "an event of the stream has no candidates");
    if (!started_) {
      started_ = true;
      Delta delta;
      delta.kind = Kind::start;
      delta.id = id_ = text_at(event, "responseId");
      delta.model = text_at(event, "modelVersion");
      deltas.push_back(std::move(delta));
    }
    if (const json& usage = at(event, "usageMetadata"); usage.is_object())
      merge_usage(usage_, gemini_parts::usage_of(usage));
    if (blocked.is_string()) ended_by("SAFETY");
    if (!candidates.is_array() || candidates.empty()) return ok();
    const json& candidate = candidates.front();
    if (!candidate.is_object()) return bad("/candidates/0", "is no candidate");
    for (const auto& part : at(at(candidate, "content"), "parts"))
      GYGES_CHECK(take_part(part, deltas));
    if (at(candidate, "finishReason").is_string()) ended_by(text_at(candidate, "finishReason"));
    return ok();
  }

  Status end(std::vector<Delta>& deltas) override {
    if (!finished_) return EventReader::end(deltas);
    close_part(deltas);
    Delta delta;
    delta.usage = usage_;
    delta.stop_reason = gemini_parts::stop_reason_of(finish_word_, calls_ > 0);
    stop(std::move(delta), deltas);
    return ok();
  }

 private:
  void ended_by(std::string word) {
    finish_word_ = std::move(word);
    finished_ = true;
  }

  void close_part(std::vector<Delta>& deltas) {
    if (!open_) return;
    open_ = false;
    Delta delta;
    delta.kind = Kind::close;
    delta.block = next_ - 1;
    delta.part.signature = std::exchange(signature_, {});
    if (!delta.part.signature.empty()) delta.part.origin = Gemini::dialect_name;
    deltas.push_back(std::move(delta));
  }

  Status take_part(const json& wire, std::vector<Delta>& deltas) {
    Message one;
    GYGES_CHECK(gemini_parts::read_part(wire, "/candidates/0/content/parts",
                                        made_call_id(id_, next_, wire), one));
    bool is_call = !one.tool_calls.empty();
    Part part = is_call ? Part() : std::move(one.content.front());
    bool plain = !is_call && part.kind != Part::Kind::opaque && part.kind != Part::Kind::image;
    if (plain && open_ && part.kind == kind_) {
      say(false, std::move(part.text), deltas);
      if (!part.signature.empty()) signature_ = part.signature;
      return ok();
    }
    // The proof of what was said may come alone, behind it.
    if (plain && part.text.empty() && part.signature.empty()) return ok();
    close_part(deltas);
    Delta delta;
    delta.kind = Kind::open;
    delta.block = next_++;
    delta.is_call = is_call;
    std::string text;
    if (is_call) {
      ++calls_;
      delta.call = std::move(one.tool_calls.front());
      text = std::exchange(delta.call.arguments, {});
      delta.call.position = ToolCall::at_end;
    } else {
      text = std::exchange(part.text, {});
      signature_ = std::exchange(part.signature, {});
      kind_ = part.kind;
      delta.part = std::move(part);
    }
    open_ = true;
    deltas.push_back(std::move(delta));
    say(is_call, std::move(text), deltas);
    if (plain) return ok();
    close_part(deltas);
    deltas.back().is_call = is_call;
    return ok();
  }

  void say(bool is_call, std::string text, std::vector<Delta>& deltas) {
    if (text.empty()) return;
    Delta delta;
    delta.kind = Kind::text;
    delta.block = next_ - 1;
    delta.is_call = is_call;
    delta.text = std::move(text);
    deltas.push_back(std::move(delta));
  }

  bool started_ = false;
  bool finished_ = false;
  std::string id_;
  std::string finish_word_;
  std::size_t next_ = 0;
  std::size_t calls_ = 0;
  bool open_ = false;
  Part::Kind kind_ = Part::Kind::text;
  std::string signature_;
  Usage usage_;
};

class GeminiWriter final : public StreamWriter {
 public:
  explicit GeminiWriter(const ModelRequest& request)
      : id_(reply_id("", "", request)), model_(request.model) {}

  std::string write(const Delta& delta) override {
    std::vector<Delta> ready;
    order_.add(delta, ready);
    std::string bytes;
    for (const auto& one : ready) put(one, bytes);
    return bytes;
  }

 private:
  void chunk(json parts, const char* finish, std::string& bytes) const {
    json candidate{{"content", {{"parts", std::move(parts)}, {"role", "model"}}}, {"index", 0}};
    if (finish != nullptr) candidate["finishReason"] = finish;
    bytes += sse_event("", dump({{"candidates", json::array({std::move(candidate)})},
                                 {"usageMetadata", gemini_parts::write_usage(usage_)},
                                 {"modelVersion", model_},
                                 {"responseId", id_}}));
  }

  void put(const Delta& delta, std::string& bytes) {
    Losses ignored;
    switch (delta.kind) {
      case Kind::start:
        if (!delta.id.empty()) id_ = delta.id;
        if (!delta.model.empty()) model_ = delta.model;
        merge_usage(usage_, delta.usage);
        break;
      case Kind::open:
        part_ = delta.part;
        call_ = delta.call;
        call_.arguments.clear();
        text_.clear();
        break;
      case Kind::text: {
        bool plain = !delta.is_call && part_.kind != Part::Kind::opaque;
        if (!plain) {
          text_ += delta.text;
          break;
        }
        json wire{{"text", delta.text}};
        if (part_.kind == Part::Kind::reasoning) wire["thought"] = true;
        chunk(json::array({std::move(wire)}), nullptr, bytes);
        break;
      }
      case Kind::close:
        close(delta, bytes);
        break;
      case Kind::usage:
        merge_usage(usage_, delta.usage);
        break;
      case Kind::ping:
        bytes += sse_comment("ping");
        break;
      case Kind::stop:
        merge_usage(usage_, delta.usage);
        chunk(json::array({{{"text", ""}}}), gemini_parts::stop_word(delta.stop_reason), bytes);
        break;
      case Kind::error:
        bytes += sse_event("", dump(gemini_parts::error_body(delta.error)));
        break;
    }
  }

  void close(const Delta& delta, std::string& bytes) {
    Losses ignored;
    if (delta.is_call) {
      set_arguments(call_, text_);
      chunk(json::array({gemini_parts::write_call(call_, ignored, "")}), nullptr, bytes);
    } else if (part_.kind == Part::Kind::opaque) {
      part_.text = text_;
      if (json wire = gemini_parts::write_part(part_, true, ignored, ""); !wire.is_null())
        chunk(json::array({std::move(wire)}), nullptr, bytes);
    } else if (!delta.part.signature.empty() && delta.part.origin == Gemini::dialect_name) {
      json wire{{"text", ""}, {"thoughtSignature", delta.part.signature}};
      if (part_.kind == Part::Kind::reasoning) wire["thought"] = true;
      chunk(json::array({std::move(wire)}), nullptr, bytes);
    }
  }

  std::string id_;
  std::string model_;
  BlockOrder order_;
  Usage usage_;
  Part part_;
  ToolCall call_;
  std::string text_;
};

}  // namespace

std::unique_ptr<StreamWriter> Gemini::stream_writer(const ModelRequest& request) const {
  return std::make_unique<GeminiWriter>(request);
}

std::unique_ptr<StreamReader> Gemini::stream_reader(const StreamLimits& limits) const {
  return std::make_unique<GeminiReader>(limits);
}

}  // namespace gyges::model::wire
