// An agent file (policies/schemas/agent.schema.json, docs/agents.md): who acts in an episode.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "agent_runtime/model/endpoint.h"
#include "agent_runtime/model/model_client.h"
#include "agent_runtime/model/replay_model.h"
#include "agent_runtime/model/script.h"

namespace gyges::model {

struct AgentFile {
  std::string name;
  std::string sha256;                          // of the file's bytes
  std::string model_kind;                      // "scripted", "replay", or the name of a dialect
  std::string model_name;                      // of an endpoint's model; otherwise the agent's name
  std::shared_ptr<const Script> script;        // scripted
  std::shared_ptr<const Recording> recording;  // replay
  EndpointConfig endpoint;                     // a dialect, without the key
  std::string key_env;                         // where the key is, never the key
  std::filesystem::path key_file;
};

Result<AgentFile> load_agent(const std::filesystem::path& path);

// The configuration of an endpoint with its key, which is read now. Fails when it is not there.
Result<EndpointConfig> endpoint_of(const AgentFile& agent);

// A client for one conversation. Reads the key now; fails when it is not there.
Result<std::unique_ptr<ModelClient>> make_model(const AgentFile& agent, std::uint64_t seed);

}  // namespace gyges::model
