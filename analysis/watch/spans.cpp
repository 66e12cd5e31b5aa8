#include "analysis/watch/spans.h"

#include <fmt/format.h>

#include "analysis/interchange/episode_log.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;

// OTLP's JSON has 64-bit numbers as texts and ids in hex.
std::string nanoseconds(std::int64_t ns) {
  return std::to_string(ns);
}

json attribute(const std::string& key, const std::string& value) {
  return {{"key", key}, {"value", {{"stringValue", valid_utf8(value)}}}};
}
json attribute(const std::string& key, std::int64_t value) {
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}
json attribute(const std::string& key, double value) {
  return {{"key", key}, {"value", {{"doubleValue", value}}}};
}

class SpanBuilder {
 public:
  explicit SpanBuilder(const Alert& alert)
      : alert_(alert),
        trace_(to_hex(sha256("trace/" + alert.run_id + alert.bundle)).substr(0, 32)) {}

  Result<json> build() {
    std::error_code error;
    bool told = !alert_.bundle.empty() &&
                std::filesystem::exists(alert_.bundle + "/transcript.jsonl", error);
    if (told) {
      // A damaged transcript leaves the alert, which is what matters.
      if (auto log = load_episode_log(alert_.bundle)) log_ = std::move(*log);
    }
    add_agent();
    add_replies();
    add_calls();
    return json{
        {"resourceSpans",
         json::array({{{"resource",
                        {{"attributes",
                          json::array({attribute("service.name", std::string("gyges")),
                                       attribute("service.version", std::string("0.1.0"))})}}},
                       {"scopeSpans",
                        json::array({{{"scope", {{"name", "gyges.watch"}, {"version", "0.1.0"}}},
                                      {"spans", spans_}}})}}})}};
  }

 private:
  [[nodiscard]] std::string span_id(const std::string& name) const {
    return to_hex(sha256("span/" + trace_ + "/" + name)).substr(0, 16);
  }
  [[nodiscard]] std::int64_t real(std::uint64_t monotonic) const {
    return log_.realtime_base_ns + static_cast<std::int64_t>(monotonic);
  }
  // Kinds: 1 internal, 3 client.
  json span(const std::string& id, const std::string& name, int kind, std::int64_t start,
            std::int64_t end) const {
    return {{"traceId", trace_},
            {"spanId", span_id(id)},
            {"name", valid_utf8(name)},
            {"kind", kind},
            {"startTimeUnixNano", nanoseconds(start)},
            {"endTimeUnixNano", nanoseconds(std::max(start, end))},
            {"attributes", json::array()},
            {"status", json::object()}};
  }

  void add_agent() {
    bool told = !log_.messages.empty() || !log_.calls.empty();
    std::int64_t start = told ? real(log_.start_ns) : alert_.time_ns;
    std::int64_t end = told ? real(log_.end_ns) : alert_.time_ns;
    json agent = span("agent", "invoke_agent " + alert_.agent, 1, start, end);
    json& attributes = agent["attributes"];
    attributes.push_back(attribute("gen_ai.operation.name", std::string("invoke_agent")));
    attributes.push_back(attribute("gen_ai.agent.name", alert_.agent));
    attributes.push_back(attribute("gen_ai.agent.id", alert_.agent));
    attributes.push_back(attribute("gen_ai.conversation.id", alert_.run_id));
    if (!alert_.model.empty()) attributes.push_back(attribute("gen_ai.request.model", model()));
    attributes.push_back(attribute("gyges.bundle", alert_.bundle));
    attributes.push_back(attribute("gyges.scenario", alert_.scenario));
    json event{{"name", "gyges.alert"},
               {"timeUnixNano", nanoseconds(alert_.time_ns)},
               {"attributes", json::array({attribute("gyges.alert.id", alert_.id),
                                           attribute("gyges.alert.kind", alert_.kind),
                                           attribute("gyges.alert.outcome", alert_.outcome),
                                           attribute("gyges.alert.message", alert_.message)})}};
    if (alert_.kind == "shift")
      event["attributes"].push_back(attribute("gyges.alert.log_e", alert_.log_e));
    for (std::size_t i = 0; i < alert_.evidence.size(); ++i) {
      std::string key = fmt::format("gyges.evidence.{}", i);
      event["attributes"].push_back(attribute(key, alert_.evidence[i].text));
      if (alert_.evidence[i].sequence)
        event["attributes"].push_back(
            attribute(key + ".seq", static_cast<std::int64_t>(*alert_.evidence[i].sequence)));
    }
    agent["events"] = json::array({std::move(event)});
    spans_.push_back(std::move(agent));
  }

  [[nodiscard]] std::string model() const {
    std::size_t space = alert_.model.find(' ');
    return space == std::string::npos ? alert_.model : alert_.model.substr(space + 1);
  }
  [[nodiscard]] std::string provider() const {
    return alert_.model.substr(0, alert_.model.find_first_of("_ "));
  }

  void add_replies() {
    std::uint64_t before = log_.start_ns;
    for (std::size_t i = 0; i < log_.messages.size(); ++i) {
      const LoggedMessage& message = log_.messages[i];
      if (message.role == "assistant") {
        json chat = span(fmt::format("chat/{}", i), "chat " + model(), 3, real(before),
                         real(message.time_ns));
        chat["parentSpanId"] = span_id("agent");
        json& attributes = chat["attributes"];
        attributes.push_back(attribute("gen_ai.operation.name", std::string("chat")));
        attributes.push_back(attribute("gen_ai.provider.name", provider()));
        attributes.push_back(attribute("gen_ai.request.model", model()));
        attributes.push_back(attribute("gen_ai.usage.input_tokens",
                                       static_cast<std::int64_t>(message.input_tokens)));
        attributes.push_back(attribute("gen_ai.usage.output_tokens",
                                       static_cast<std::int64_t>(message.output_tokens)));
        spans_.push_back(std::move(chat));
      }
      before = message.time_ns;
    }
  }

  void add_calls() {
    for (const auto& [number, call] : log_.calls) {
      json tool =
          span(fmt::format("call/{}", number), "execute_tool " + call.name, 1,
               real(call.requested_ns), real(call.executed ? call.executed_ns : call.requested_ns));
      tool["parentSpanId"] = span_id("agent");
      json& attributes = tool["attributes"];
      attributes.push_back(attribute("gen_ai.operation.name", std::string("execute_tool")));
      attributes.push_back(attribute("gen_ai.tool.name", call.name));
      attributes.push_back(attribute("gen_ai.tool.call.id", call.id));
      attributes.push_back(
          attribute("gyges.tool.executed", std::string(call.executed ? "true" : "false")));
      attributes.push_back(attribute("gyges.tool.decision", call.decision));
      if (!call.error_type.empty()) {
        attributes.push_back(attribute("error.type", call.error_type));
        tool["status"] = {{"code", 2}, {"message", valid_utf8(call.error)}};
      }
      spans_.push_back(std::move(tool));
    }
  }

  const Alert& alert_;
  std::string trace_;
  EpisodeLog log_;
  json spans_ = json::array();
};

}  // namespace

Result<json> spans_of(const Alert& alert) {
  return SpanBuilder(alert).build();
}

}  // namespace gyges::analysis
