#include "tools/mcp/fixture_inputs.h"

#include "base/hash.h"
#include "base/json.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;

// For each fixture its rounds; in each what is asked for, by key. "signed": the client must bring
// the state of the round before.
constexpr std::string_view table = R"json({
  "test_input_required_result_elicitation": {"rounds": [{"user_name": {"elicit": "What is your name?", "field": "name"}}]},
  "test_input_required_result_sampling": {"rounds": [{"capital_question": {"sample": "What is the capital of France?"}}]},
  "test_input_required_result_list_roots": {"rounds": [{"client_roots": {"roots": true}}]},
  "test_input_required_result_request_state": {"signed": true, "rounds": [{"confirm": {"elicit": "Please confirm", "field": "ok", "type": "boolean"}}]},
  "test_input_required_result_tampered_state": {"signed": true, "rounds": [{"confirm": {"elicit": "Please confirm", "field": "ok", "type": "boolean"}}]},
  "test_input_required_result_multiple_inputs": {"signed": true, "rounds": [{
    "user_name": {"elicit": "What is your name?", "field": "name"},
    "greeting": {"sample": "Generate a greeting"},
    "client_roots": {"roots": true}}]},
  "test_input_required_result_multi_round": {"signed": true, "rounds": [
    {"step1": {"elicit": "Step 1: What is your name?", "field": "name"}},
    {"step2": {"elicit": "Step 2: What is your favorite color?", "field": "color"}}]},
  "test_input_required_result_capabilities": {"declared_only": true, "rounds": [{
    "user_name": {"elicit": "What is your name?", "field": "name"},
    "greeting": {"sample": "Generate a greeting"}}]},
  "test_streaming_elicitation": {"rounds": [{"user_name": {"elicit": "What is your name?", "field": "name"}}]},
  "confirm_delete": {"rounds": [{"confirm": {"elicit": "Delete it?", "field": "confirm", "type": "boolean"}}]},
  "multi_input": {"rounds": [{"first": {"elicit": "The first?", "field": "name"}, "second": {"elicit": "The second?", "field": "name"}}]},
  "test_tool_with_task": {"rounds": [{"user_name": {"elicit": "What is your name?", "field": "name"}}]},
  "test_input_required_result_prompt": {"prompt": true, "rounds": [{"user_context": {"elicit": "What context should the prompt use?", "field": "context"}}]}
})json";

const json& fixtures() {
  static const json parsed = json::parse(table);
  return parsed;
}

// The client's capability that a request needs.
const char* capability_of(const json& asked) {
  return asked.contains("elicit") ? "elicitation" : asked.contains("sample") ? "sampling" : "roots";
}

json request_of(const json& asked) {
  if (asked.contains("elicit")) {
    json field{{"type", asked.value("type", "string")}};
    return {{"method", "elicitation/create"},
            {"params",
             {{"mode", "form"},
              {"message", asked.at("elicit")},
              {"requestedSchema",
               {{"type", "object"},
                {"properties", {{asked.at("field").get<std::string>(), field}}},
                {"required", json::array({asked.at("field")})}}}}}};
  }
  if (asked.contains("sample"))
    return {{"method", "sampling/createMessage"},
            {"params",
             {{"messages",
               json::array({{{"role", "user"},
                             {"content", {{"type", "text"}, {"text", asked.at("sample")}}}}})},
              {"maxTokens", 100}}}};
  return {{"method", "roots/list"}, {"params", json::object()}};
}

// Whether `given` answers what was asked for.
bool answers(const json& asked, const json& given) {
  if (!given.is_object()) return false;
  if (asked.contains("roots")) return given.contains("roots") && given.at("roots").is_array();
  if (asked.contains("sample")) return given.contains("content");
  return given.contains("action") && given.at("action").is_string();
}

// No secret stands behind it, for nothing is: what matters is that a changed state is refused.
std::string state_for(std::string_view name, std::size_t round) {
  std::string text = std::string(name) + ":" + std::to_string(round);
  return std::to_string(round) + "." + to_hex(sha256("gyges conformance fixture " + text));
}

Answer ask(const json& fixture, std::string_view name, std::size_t round, const Request& request) {
  json result{{"inputRequests", json::object()}};
  for (const auto& [key, asked] : fixture.at("rounds").at(round).items())
    if (!fixture.contains("declared_only") || request.capabilities->contains(capability_of(asked)))
      result["inputRequests"][key] = request_of(asked);
  if (fixture.contains("signed")) result["requestState"] = state_for(name, round);
  return {json_text(result), std::nullopt, true};
}

std::optional<std::size_t> round_of(const json& fixture, std::string_view name,
                                    const json& params) {
  if (!fixture.contains("signed")) return 0;
  auto state = params.find("requestState");
  if (state == params.end() || !state->is_string()) return std::nullopt;
  for (std::size_t round = 0; round < fixture.at("rounds").size(); ++round)
    if (state->get_ref<const std::string&>() == state_for(name, round)) return round;
  return std::nullopt;
}

}  // namespace

std::vector<std::string> input_fixture_tools() {
  std::vector<std::string> names;
  for (const auto& [name, fixture] : fixtures().items())
    if (!fixture.contains("prompt")) names.push_back(name);
  return names;
}

std::optional<Answer> answer_input_fixture(std::string_view name, const Request& request) {
  auto found = fixtures().find(std::string(name));
  if (found == fixtures().end() || found->contains("prompt") != (request.method == "prompts/get"))
    return std::nullopt;
  if (!stateless(request.revision))
    return fault_answer(Code::invalid_params, "This fixture needs revision 2026-07-28.");
  const json& params = *request.params;
  auto responses = params.find("inputResponses");
  if (responses == params.end() && !params.contains("requestState"))
    return ask(*found, name, 0, request);
  auto round = round_of(*found, name, params);
  if (!round) return fault_answer(Code::invalid_params, "The requestState is not one of ours.");
  if (responses == params.end() || !responses->is_object())
    return fault_answer(Code::invalid_params, "inputResponses is an object.");
  for (const auto& [key, asked] : found->at("rounds").at(*round).items()) {
    auto given = responses->find(key);
    if (given == responses->end() || !answers(asked, *given))
      return ask(*found, name, *round, request);
  }
  if (*round + 1 < found->at("rounds").size()) return ask(*found, name, *round + 1, request);
  std::string text = "state-ok: " + json_text(*responses);
  json content{{"type", "text"}, {"text", text}};
  json result;
  if (found->contains("prompt"))
    result["messages"] = json::array({{{"role", "user"}, {"content", content}}});
  else
    result["content"] = json::array({content});
  return Answer{json_text(result), std::nullopt, false};
}

}  // namespace gyges::mcp
