// A profile made concrete for one run: command line, environment, files, mounts and the host at
// which the agent finds its model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "agent_runtime/scaffold/agent_profile.h"
#include "base/error.h"
#include "sandbox/cues/text_template.h"
#include "sandbox/isolation/policy.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::scaffold {

struct ScaffoldRequest {
  std::string profile;               // shipped name or file
  std::string dialect;               // empty: the profile's usual one
  std::string model;                 // name that the agent asks for; empty: the profile's
  std::vector<std::string> command;  // for profiles without argv
  std::filesystem::path directory;   // of installed agents; empty: agents_directory()
};

// Where agents are installed: $GYGES_AGENTS, else gyges/agents below $XDG_CACHE_HOME or ~/.cache.
std::filesystem::path agents_directory();

struct Scaffold {
  AgentProfile profile;
  ProfileDialect dialect;  // the one in use, host filled in
  std::vector<std::string> argv;
  Variables environment;
  std::vector<isolation::SeedFile> files;
  std::set<std::string> prompt_files;  // paths of those that hold a prompt
  std::vector<isolation::Mount> mounts;
  std::string model;
  std::string key;  // the placeholder
};

// `context` has the persona's values. Fails with a cure where the program is not installed, the
// dialect is not one of the profile's, or a template shows something unknown.
Result<Scaffold> prepare_scaffold(const ScaffoldRequest& request,
                                  const cues::TemplateContext& context,
                                  const std::string& system_prompt, const std::string& user_prompt);

// The site of the simulated internet at which the model is reached, as an element of the persona's
// `internet.sites`; JSON text. Depends on profile and persona alone.
Result<std::string> model_site(const ScaffoldRequest& request,
                               const cues::TemplateContext& context);

// Adds mounts, variables and the rule that lets the model's host be reached. A policy without a
// network gets one in which nothing else can be.
void apply_scaffold(const Scaffold& scaffold, isolation::Policy& policy);

}  // namespace gyges::scaffold
