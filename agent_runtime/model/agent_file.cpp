#include "agent_runtime/model/agent_file.h"

#include <cstdlib>

#include "agent_runtime/model/http_client.h"
#include "agent_runtime/model/scripted_model.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

milliseconds time_of(const json& model, const char* key, milliseconds otherwise) {
  if (!model.contains(key)) return otherwise;
  return milliseconds(static_cast<std::int64_t>(model.at(key).get<double>() * 1000));
}

void read_parameters(const json& model, const std::string& kind, EndpointConfig& endpoint) {
  json parameters = model.value("parameters", json::object());
  ModelRequest& settings = endpoint.settings;
  json extra = model.value("body", json::object());
  if (parameters.contains("temperature")) settings.temperature = parameters.at("temperature");
  if (parameters.contains("top_p")) settings.top_p = parameters.at("top_p");
  if (parameters.contains("top_k")) settings.top_k = parameters.at("top_k");
  if (parameters.contains("reasoning_tokens"))
    settings.reasoning_tokens = parameters.at("reasoning_tokens");
  if (parameters.contains("max_tokens")) settings.max_output_tokens = parameters.at("max_tokens");
  if (parameters.contains("max_completion_tokens")) {
    // The newer name of the same limit, in chat; the others have one name only.
    if (kind == "openai_chat")
      extra["max_completion_tokens"] = parameters.at("max_completion_tokens");
    else
      settings.max_output_tokens = parameters.at("max_completion_tokens");
  }
  settings.effort = parameters.value("reasoning_effort", "");
  endpoint.send_seed = parameters.value("seed", false);
  if (extra.empty()) return;
  settings.extra = extra.dump();
  settings.origin = kind;
}

void read_prices(const json& model, Prices& prices) {
  json given = model.value("prices", json::object());
  prices.input = given.value("input", 0.0);
  prices.output = given.value("output", 0.0);
  prices.cached_input = given.value("cached_input", -1.0);
  prices.cache_write = given.value("cache_write", -1.0);
}

Status read_endpoint(const json& model, const std::filesystem::path& path, AgentFile& agent) {
  for (const char* key : {"base_url", "name"})
    if (!model.contains(key))
      return fail("check agent", path.string() + " at /model/" + key, "is missing",
                  "a model of kind " + agent.model_kind + " needs base_url and name");
  EndpointConfig& endpoint = agent.endpoint;
  endpoint.dialect = find_dialect(agent.model_kind);
  agent.model_name = model.at("name").get<std::string>();
  endpoint.settings.model = agent.model_name;
  endpoint.settings.stream = model.value("stream", false);
  endpoint.base_url = model.at("base_url").get<std::string>();
  if (shown_address(endpoint.base_url) != endpoint.base_url)
    return fail("check agent", path.string() + " at /model/base_url",
                "holds a user's name, a query or a fragment, and would be recorded with them",
                "name the key by api_key_env or api_key_file");
  endpoint.timeout = time_of(model, "timeout_seconds", endpoint.timeout);
  endpoint.connect_timeout = time_of(model, "connect_timeout_seconds", endpoint.connect_timeout);
  endpoint.first_byte_timeout =
      time_of(model, "first_byte_timeout_seconds", endpoint.first_byte_timeout);
  endpoint.retries = model.value("retries", endpoint.retries);
  endpoint.requests_per_minute = model.value("requests_per_minute", 0.0);
  endpoint.send_reasoning = model.value("send_reasoning", false);
  if (endpoint.send_reasoning && agent.model_kind != "openai_chat")
    return fail("check agent", path.string() + " at /model/send_reasoning",
                "belongs to models of kind openai_chat; the others send it always", "remove it");
  read_parameters(model, agent.model_kind, endpoint);
  read_prices(model, endpoint.prices);
  agent.key_env = model.value("api_key_env", "");
  if (model.contains("api_key_file"))
    agent.key_file = path.parent_path() / model.at("api_key_file").get<std::string>();
  if (!agent.key_env.empty() && !agent.key_file.empty())
    return fail("check agent", path.string() + " at /model",
                "names both api_key_env and api_key_file", "keep one");
  return ok();
}

Status refuse_foreign_keys(const json& model, const std::string& kind,
                           const std::filesystem::path& path) {
  for (const auto& [key, ignored] : model.items()) {
    bool fits = key == "kind";
    if (key == "script")
      fits = kind == "scripted";
    else if (key == "recording")
      fits = kind == "replay";
    else if (!fits)
      fits = kind != "scripted" && kind != "replay";
    if (!fits)
      return fail("check agent", path.string() + " at /model/" + key,
                  "does not belong to a model of kind " + kind, "remove it, or change the kind");
  }
  return ok();
}

}  // namespace

Result<AgentFile> load_agent(const std::filesystem::path& path) {
  GYGES_TRY(std::string text, read_file(path));
  GYGES_TRY(json value, parse_json(text, path.string()));
  GYGES_CHECK(validate_json(value, "agent", path.string()));
  AgentFile agent;
  agent.name = value.at("name").get<std::string>();
  agent.sha256 = to_hex(sha256(text));
  agent.model_name = agent.name;
  if (value.contains("scaffold")) {
    const json& scaffold = value.at("scaffold");
    agent.scaffold.profile = scaffold.at("profile").get<std::string>();
    if (agent.scaffold.profile.find('/') != std::string::npos)
      agent.scaffold.profile = (path.parent_path() / agent.scaffold.profile).string();
    agent.scaffold.dialect = scaffold.value("dialect", "");
    agent.scaffold.command = scaffold.value("command", std::vector<std::string>{});
    agent.remove_hosted_tools = scaffold.value("hosted_tools", "remove") == "remove";
  }
  const json& model = value.at("model");
  agent.model_kind = model.at("kind").get<std::string>();
  GYGES_CHECK(refuse_foreign_keys(model, agent.model_kind, path));
  if (agent.model_kind == "replay") {
    if (!model.contains("recording"))
      return fail("check agent", path.string() + " at /model/recording", "is missing",
                  "a model of kind replay needs the file with recorded bodies");
    GYGES_TRY(Recording recording,
              load_recording(path.parent_path() / model.at("recording").get<std::string>()));
    agent.recording = std::make_shared<const Recording>(std::move(recording));
    return agent;
  }
  if (agent.model_kind != "scripted") {
    GYGES_CHECK(read_endpoint(model, path, agent));
    return agent;
  }
  if (!model.contains("script"))
    return fail("check agent", path.string() + " at /model/script", "is missing",
                "a model of kind scripted needs its rules");
  GYGES_TRY(Script script, compile_script(model.at("script"), path.string()));
  agent.script = std::make_shared<const Script>(std::move(script));
  return agent;
}

Result<EndpointConfig> endpoint_of(const AgentFile& agent) {
  EndpointConfig config = agent.endpoint;
  if (!agent.key_env.empty()) {
    const char* key = std::getenv(agent.key_env.c_str());
    if (key == nullptr || *key == '\0')
      return fail("read key", agent.key_env, "the environment variable is not set",
                  "export it with the key of the endpoint");
    config.key = key;
  } else if (!agent.key_file.empty()) {
    GYGES_TRY(config.key, read_file(agent.key_file, 65536));
    while (!config.key.empty() && (config.key.back() == '\n' || config.key.back() == '\r'))
      config.key.pop_back();
  }
  if (config.key.find_first_of("\r\n") != std::string::npos)
    return fail("read key", agent.key_env.empty() ? agent.key_file.string() : agent.key_env,
                "the key holds a line break", "store the key alone, on one line");
  return config;
}

Result<std::unique_ptr<ModelClient>> make_model(const AgentFile& agent, std::uint64_t seed) {
  if (agent.script)
    return std::unique_ptr<ModelClient>(std::make_unique<ScriptedModel>(agent.script, seed));
  if (agent.recording)
    return std::unique_ptr<ModelClient>(std::make_unique<ReplayModel>(agent.recording));
  GYGES_TRY(EndpointConfig config, endpoint_of(agent));
  return std::unique_ptr<ModelClient>(std::make_unique<Endpoint>(std::move(config)));
}

}  // namespace gyges::model
