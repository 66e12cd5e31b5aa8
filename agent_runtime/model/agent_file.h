// An agent file (policies/schemas/agent.schema.json, docs/agents.md): who acts in an episode.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "agent_runtime/model/model_client.h"
#include "agent_runtime/model/openai_chat.h"
#include "agent_runtime/model/script.h"

namespace gyges::model {

struct AgentFile {
  std::string name;
  std::string sha256;                    // of the file's bytes
  std::string model_kind;                // "scripted", "openai_chat"
  std::string model_name;                // of an endpoint's model; the agent's name for a script
  std::shared_ptr<const Script> script;  // scripted
  OpenAiChatConfig chat;                 // openai_chat, without the key
  std::string key_env;                   // where the key is, never the key
  std::filesystem::path key_file;
};

Result<AgentFile> load_agent(const std::filesystem::path& path);

// A client for one conversation. Reads the key now; fails when it is not there.
Result<std::unique_ptr<ModelClient>> make_model(const AgentFile& agent, std::uint64_t seed);

}  // namespace gyges::model
