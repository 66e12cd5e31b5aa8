#include "agent_runtime/model/agent_file.h"

#include <cstdlib>

#include "agent_runtime/model/scripted_model.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using nlohmann::json;

Status read_chat(const json& model, const std::filesystem::path& path, AgentFile& agent) {
  for (const char* key : {"base_url", "name"})
    if (!model.contains(key))
      return fail("check agent", path.string() + " at /model/" + key, "is missing",
                  "a model of kind openai_chat needs base_url and name");
  agent.model_name = model.at("name").get<std::string>();
  agent.chat.base_url = model.at("base_url").get<std::string>();
  agent.chat.name = agent.model_name;
  agent.chat.timeout = std::chrono::milliseconds(
      static_cast<std::int64_t>(model.value("timeout_seconds", 120.0) * 1000));
  agent.chat.retries = model.value("retries", 4U);
  json parameters = model.value("parameters", json::object());
  agent.chat.send_seed = parameters.value("seed", false);
  parameters.erase("seed");
  agent.chat.parameters = parameters.dump();
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
    bool fits = key == "kind" || (kind == "scripted") == (key == "script");
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
  const json& model = value.at("model");
  agent.model_kind = model.at("kind").get<std::string>();
  GYGES_CHECK(refuse_foreign_keys(model, agent.model_kind, path));
  if (agent.model_kind == "openai_chat") {
    GYGES_CHECK(read_chat(model, path, agent));
    return agent;
  }
  if (!model.contains("script"))
    return fail("check agent", path.string() + " at /model/script", "is missing",
                "a model of kind scripted needs its rules");
  GYGES_TRY(Script script, compile_script(model.at("script"), path.string()));
  agent.script = std::make_shared<const Script>(std::move(script));
  agent.model_name = agent.name;
  return agent;
}

Result<std::unique_ptr<ModelClient>> make_model(const AgentFile& agent, std::uint64_t seed) {
  if (agent.script)
    return std::unique_ptr<ModelClient>(std::make_unique<ScriptedModel>(agent.script, seed));
  OpenAiChatConfig config = agent.chat;
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
  return std::unique_ptr<ModelClient>(std::make_unique<OpenAiChat>(std::move(config)));
}

}  // namespace gyges::model
