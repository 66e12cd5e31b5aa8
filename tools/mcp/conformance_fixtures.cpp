#include "tools/mcp/conformance_fixtures.h"

#include <poll.h>

#include <algorithm>
#include <thread>

#include "base/json.h"
#include "tools/mcp/fixture_inputs.h"
#include "tools/mcp/protocol.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds step_time{50};
// One red pixel, and eight silent samples.
constexpr const char* png =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
constexpr const char* wav =
    "UklGRiwAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQgAAACAgICAgICAgA==";

constexpr std::string_view empty_schema = R"({"type":"object","properties":{}})";

// Tools that answer always the same: name -> the result.
json plain_results() {
  auto text = [](const char* words) { return json{{"type", "text"}, {"text", words}}; };
  json image{{"type", "image"}, {"data", png}, {"mimeType", "image/png"}};
  auto resource = [](const char* uri, const char* type, const char* words) {
    return json{{"type", "resource"},
                {"resource", {{"uri", uri}, {"mimeType", type}, {"text", words}}}};
  };
  json results;
  auto add = [&](const char* name, json content) { results[name]["content"] = std::move(content); };
  add("test_simple_text", json::array({text("This is a simple text response for testing.")}));
  add("test_image_content", json::array({image}));
  add("test_audio_content",
      json::array({{{"type", "audio"}, {"data", wav}, {"mimeType", "audio/wav"}}}));
  add("test_embedded_resource", json::array({resource("test://embedded-resource", "text/plain",
                                                      "This is an embedded resource content.")}));
  add("test_multiple_content_types",
      json::array({text("Multiple content types test:"), image,
                   resource("test://mixed-content-resource", "application/json",
                            R"({"test":"data","value":123})")}));
  add("test_error_handling",
      json::array({text("This tool intentionally returns an error for testing")}));
  results["test_error_handling"]["isError"] = true;
  add("json_schema_2020_12_tool", json::array({text("Schema accepted.")}));
  add("test_x_mcp_header", json::array({text("Headers match.")}));
  return results;
}

constexpr std::string_view schema_2020_12 = R"json({
  "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
  "$defs": {"address": {"$anchor": "addressDef", "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
  "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"},
    "contactMethod": {"type": "string", "enum": ["phone", "email"]},
    "phone": {"type": "string"}, "email": {"type": "string"}},
  "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
  "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
  "then": {"required": ["phone"]}, "else": {"required": ["email"]},
  "additionalProperties": false})json";

constexpr std::string_view header_schema = R"json({"type": "object",
  "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}})json";

// Elicitations by tool: the form that is shown.
constexpr std::string_view forms = R"json({
  "test_elicitation": {"type": "object", "required": ["username", "email"], "properties": {
    "username": {"type": "string", "description": "User's response"},
    "email": {"type": "string", "description": "User's email address"}}},
  "test_elicitation_sep1034_defaults": {"type": "object", "properties": {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": true}}},
  "test_elicitation_sep1330_enums": {"type": "object", "properties": {
    "untitledSingle": {"type": "string", "enum": ["option1", "option2", "option3"]},
    "titledSingle": {"type": "string", "oneOf": [{"const": "value1", "title": "First Option"},
      {"const": "value2", "title": "Second Option"}, {"const": "value3", "title": "Third Option"}]},
    "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"],
      "enumNames": ["Option One", "Option Two", "Option Three"]},
    "untitledMulti": {"type": "array", "items": {"type": "string",
      "enum": ["option1", "option2", "option3"]}},
    "titledMulti": {"type": "array", "items": {"anyOf": [
      {"const": "value1", "title": "First Choice"}, {"const": "value2", "title": "Second Choice"},
      {"const": "value3", "title": "Third Choice"}]}}}}})json";

constexpr std::string_view prompts = R"json([
  {"name": "test_simple_prompt", "description": "A prompt without arguments"},
  {"name": "test_prompt_with_arguments", "description": "A prompt with two arguments", "arguments": [
    {"name": "arg1", "description": "First test argument", "required": true},
    {"name": "arg2", "description": "Second test argument", "required": true}]},
  {"name": "test_prompt_with_embedded_resource", "description": "A prompt with a resource",
   "arguments": [{"name": "resourceUri", "description": "URI of the resource", "required": true}]},
  {"name": "test_prompt_with_image", "description": "A prompt with an image"},
  {"name": "test_input_required_result_prompt", "description": "A prompt that asks for input"}])json";

constexpr std::string_view resources = R"json([
  {"uri": "test://static-text", "name": "static text", "description": "A text", "mimeType": "text/plain"},
  {"uri": "test://static-binary", "name": "static image", "description": "An image", "mimeType": "image/png"},
  {"uri": "test://watched-resource", "name": "watched", "description": "A resource to subscribe to", "mimeType": "text/plain"}])json";

Answer content_answer(std::string_view words, bool error = false) {
  Answer answer;
  answer.result = R"({"content":[{"type":"text","text":)" + json_string(words) +
                  R"(}],"isError":)" + (error ? "true" : "false") + "}";
  return answer;
}

// Waits, unless the call is cancelled.
void pause(const Link& link) {
  pollfd fd{link.cancel_fd(), POLLIN, 0};
  ::poll(&fd, 1, static_cast<int>(step_time.count()));
}

void wait_for(const Link& link, std::chrono::milliseconds time) {
  pollfd fd{link.cancel_fd(), POLLIN, 0};
  ::poll(&fd, 1, static_cast<int>(time.count()));
}

std::string argument_of(const json& params, const char* key) {
  auto given = params.find("arguments");
  return given != params.end() && given->contains(key) && given->at(key).is_string()
             ? given->at(key).get<std::string>()
             : std::string();
}

class FixtureSession final : public Session {
 public:
  [[nodiscard]] bool alive() const override { return true; }

  Answer call(const Request& request, Link& link) override {
    const json& params = *request.params;
    auto name = params.at("name").get<std::string>();
    static const json plain = plain_results();
    if (plain.contains(name)) return {json_text(plain.at(name)), std::nullopt, false};
    if (auto answer = answer_input_fixture(name, request)) return *answer;
    if (name == "test_tool_with_logging" || name == "test_logging_tool") return log(request, link);
    if (name == "test_tool_with_progress") return progress(request, link);
    if (name == "greet") return content_answer("Hello, " + argument_of(params, "name") + "!");
    if (name == "slow_compute") return compute(params, link);
    if (name == "failing_job") {
      wait_for(link, std::chrono::seconds(1));
      return content_answer("The job has failed.", true);
    }
    if (name == "protocol_error_job")
      return fault_answer(Code::internal_error, "The job could not be carried out.");
    if (name == "test_reconnection") {
      link.end_stream();
      pause(link);
      return content_answer("The stream was taken up again.");
    }
    std::string argument;
    if (auto given = params.find("arguments"); given != params.end())
      for (const char* key : {"prompt", "message"})
        if (given->contains(key) && given->at(key).is_string())
          argument = given->at(key).get<std::string>();
    if (name == "test_missing_capability" || name == "test_sampling")
      return sample(request, link, argument);
    return elicit(request, link, name, argument);
  }

 private:
  static Answer log(const Request& request, Link& link) {
    for (const char* words :
         {"Tool execution started", "Tool processing data", "Tool execution completed"}) {
      if (!request.log_level.empty() && log_severity(request.log_level) <= log_severity("info"))
        link.notify("notifications/message",
                    R"({"level":"info","logger":"conformance","data":)" + json_string(words) + "}");
      pause(link);
    }
    return content_answer("Tool with logging executed successfully");
  }

  static Answer progress(const Request& request, Link& link) {
    for (int done : {0, 50, 100}) {
      if (!request.progress_token.empty())
        link.notify("notifications/progress", R"({"progressToken":)" + request.progress_token +
                                                  R"(,"progress":)" + std::to_string(done) +
                                                  R"(,"total":100,"message":"working"})");
      pause(link);
    }
    return content_answer("Tool with progress executed successfully");
  }

  static Answer missing(const Request& request, const std::string& capability) {
    if (stateless(request.revision))
      return fault_answer(Code::missing_capability, "The client has no " + capability + ".",
                          R"({"requiredCapabilities":{")" + capability + R"(":{}}})");
    return content_answer("The client has no " + capability + ".", true);
  }

  static Answer sample(const Request& request, Link& link, const std::string& prompt) {
    if (!request.capabilities->contains("sampling")) return missing(request, "sampling");
    Answer answer = link.ask("sampling/createMessage",
                             R"({"messages":[{"role":"user","content":{"type":"text","text":)" +
                                 json_string(prompt) + R"(}}],"maxTokens":100})");
    if (answer.fault) return content_answer(answer.fault->message, true);
    json result = json::parse(answer.result, nullptr, false);
    const json none = json::object();
    const json& content = result.contains("content") ? result.at("content") : none;
    std::string text =
        content.is_object() && content.contains("text") && content.at("text").is_string()
            ? content.at("text").get<std::string>()
            : json_text(content);
    return content_answer("LLM response: " + text);
  }

  static Answer compute(const json& params, Link& link) {
    auto given = params.find("arguments");
    double seconds = 0;
    if (given != params.end() && given->contains("seconds") && given->at("seconds").is_number())
      seconds = std::clamp(given->at("seconds").get<double>(), 0.0, 600.0);
    wait_for(link, std::chrono::milliseconds(static_cast<int>(seconds * 1000)));
    return content_answer("Computed.");
  }

  static Answer elicit(const Request& request, Link& link, const std::string& name,
                       const std::string& message) {
    if (!request.capabilities->contains("elicitation")) return missing(request, "elicitation");
    static const json all = json::parse(forms);
    json params{{"message", message.empty() ? "Please fill in the form." : message},
                {"requestedSchema", all.at(name)}};
    Answer answer = link.ask("elicitation/create", json_text(params));
    if (answer.fault) return content_answer(answer.fault->message, true);
    json result = json::parse(answer.result, nullptr, false);
    std::string action = result.contains("action") ? json_text(result.at("action")) : "none";
    std::string content = result.contains("content") ? json_text(result.at("content")) : "{}";
    return content_answer(
        (name == "test_elicitation" ? "User response: action=" : "Elicitation completed: action=") +
        action + ", content=" + content);
  }
};

class ConformanceFixtures final : public Service {
 public:
  ConformanceFixtures() {
    const json plain = plain_results();
    for (const auto& [name, result] : plain.items())
      add(name, name == "json_schema_2020_12_tool" ? schema_2020_12
                : name == "test_x_mcp_header"      ? header_schema
                                                   : empty_schema);
    tools_.back().header_arguments.emplace_back("region", "region");
    for (const std::string& name : input_fixture_tools()) add(name, empty_schema);
    for (const char* name :
         {"test_tool_with_logging", "test_logging_tool", "test_tool_with_progress",
          "test_missing_capability", "test_reconnection"})
      add(name, empty_schema);
    for (const char* name : {"greet", "slow_compute", "failing_job", "protocol_error_job"})
      add(name, empty_schema);
    add("test_sampling",
        R"({"type":"object","required":["prompt"],"properties":{"prompt":{"type":"string"}}})");
    const json all = json::parse(forms);
    for (const auto& [name, form] : all.items()) add(name, empty_schema);
  }

  [[nodiscard]] std::string capabilities(Revision revision) const override {
    switch (revision) {
      case Revision::r2025_06_18:
        return R"({"tools":{},"resources":{"subscribe":true},"prompts":{},"completions":{},)"
               R"("logging":{}})";
      case Revision::r2025_11_25:
        return R"({"tools":{},"resources":{"subscribe":true},"prompts":{},"completions":{},)"
               R"("logging":{},"tasks":{"list":{},"cancel":{},)"
               R"("requests":{"tools":{"call":{}}}}})";
      case Revision::r2026_07_28:
        break;
    }
    return std::string(
               R"({"tools":{},"resources":{},"prompts":{},"completions":{},"logging":{},)") +
           R"("extensions":{")" + tasks_extension + R"(":{}}})";
  }
  [[nodiscard]] std::string instructions() const override { return "Conformance fixtures."; }
  [[nodiscard]] bool has_tasks() const override { return true; }
  [[nodiscard]] TaskUse task_use(const Request& request) const override {
    auto name = request.params->at("name").get<std::string>();
    if (name == "failing_job") return TaskUse::required;
    for (const char* one : {"slow_compute", "protocol_error_job", "confirm_delete", "multi_input"})
      if (name == one) return TaskUse::always;
    if (name == "test_tool_with_task" && request.params->contains("inputResponses"))
      return TaskUse::required;
    return TaskUse::none;
  }
  [[nodiscard]] const std::vector<ToolEntry>& tools() const override { return tools_; }
  Result<std::unique_ptr<Session>> open(const ClientInfo&) override {
    return std::make_unique<FixtureSession>();
  }

  std::optional<Answer> answer(const Request& request) override {
    const std::string& method = request.method;
    auto result = [](std::string text) { return Answer{std::move(text), std::nullopt, false}; };
    if (method == "resources/list")
      return result(R"({"resources":)" + std::string(resources) + "}");
    if (method == "resources/templates/list")
      return result(
          R"({"resourceTemplates":[{"uriTemplate":"test://template/{id}/data",)"
          R"("name":"template","description":"A template","mimeType":"application/json"}]})");
    if (method == "resources/read") return read(request);
    if (method == "prompts/list") return result(R"({"prompts":)" + std::string(prompts) + "}");
    if (method == "prompts/get") return prompt(request);
    if (method == "completion/complete")
      return result(
          R"({"completion":{"values":["paris","park","party"],"total":3,"hasMore":false}})");
    bool subscribing = method == "resources/subscribe" || method == "resources/unsubscribe";
    if (subscribing && !stateless(request.revision)) return result("{}");
    return std::nullopt;
  }

 private:
  void add(const std::string& name, std::string_view schema) {
    tools_.push_back({name,
                      R"({"name":)" + json_string(name) +
                          R"(,"description":"Conformance fixture","inputSchema":)" +
                          std::string(schema) + "}",
                      {}});
  }

  static Answer read(const Request& request) {
    auto uri = request.params->find("uri");
    if (uri == request.params->end() || !uri->is_string())
      return fault_answer(Code::invalid_params, "The uri is missing.");
    auto text = uri->get<std::string>();
    json content{{"uri", text}};
    constexpr std::string_view before = "test://template/";
    constexpr std::string_view after = "/data";
    if (text == "test://static-text" || text == "test://watched-resource") {
      content["mimeType"] = "text/plain";
      content["text"] = "This is the content of the static text resource.";
    } else if (text == "test://static-binary") {
      content["mimeType"] = "image/png";
      content["blob"] = png;
    } else if (text.starts_with(before) && text.ends_with(after) &&
               text.size() > before.size() + after.size()) {
      std::string id = text.substr(before.size(), text.size() - before.size() - after.size());
      content["mimeType"] = "application/json";
      content["text"] =
          json_text({{"id", id}, {"templateTest", true}, {"data", "Data for ID: " + id}});
    } else {
      return fault_answer(
          stateless(request.revision) ? Code::invalid_params : Code::resource_not_found,
          "Resource not found", R"({"uri":)" + json_string(text) + "}");
    }
    return {json_text({{"contents", json::array({content})}}), std::nullopt, false};
  }

  static Answer prompt(const Request& request) {
    const json& params = *request.params;
    std::string name = params.contains("name") && params.at("name").is_string()
                           ? params.at("name").get<std::string>()
                           : std::string();
    if (auto answer = answer_input_fixture(name, request)) return *answer;
    auto argument = [&](const char* key) {
      auto given = params.find("arguments");
      return given != params.end() && given->is_object() && given->contains(key) &&
                     given->at(key).is_string()
                 ? given->at(key).get<std::string>()
                 : std::string();
    };
    json messages = json::array();
    auto say = [&](json content) {
      messages.push_back({{"role", "user"}, {"content", std::move(content)}});
    };
    auto text = [](const std::string& words) { return json{{"type", "text"}, {"text", words}}; };
    if (name == "test_simple_prompt") {
      say(text("This is a simple prompt for testing."));
    } else if (name == "test_prompt_with_arguments") {
      say(text("Prompt with arguments: arg1='" + argument("arg1") + "', arg2='" + argument("arg2") +
               "'"));
    } else if (name == "test_prompt_with_embedded_resource") {
      say({{"type", "resource"},
           {"resource",
            {{"uri", argument("resourceUri")},
             {"mimeType", "text/plain"},
             {"text", "Embedded resource content for testing."}}}});
      say(text("Please process the embedded resource above."));
    } else if (name == "test_prompt_with_image") {
      say({{"type", "image"}, {"data", png}, {"mimeType", "image/png"}});
      say(text("Please analyze the image above."));
    } else {
      return fault_answer(Code::invalid_params, "There is no such prompt.");
    }
    return {json_text({{"messages", messages}}), std::nullopt, false};
  }

  std::vector<ToolEntry> tools_;
};

}  // namespace

std::unique_ptr<Service> make_conformance_fixtures() {
  return std::make_unique<ConformanceFixtures>();
}

}  // namespace gyges::mcp
