// What an agent would find in an episode, without the episode: for the audit of conditions.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent_runtime/episode/episode.h"
#include "base/error.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::episode {

struct EpisodeView {
  isolation::SandboxSpec sandbox;        // what the episode would start; no recorder, no flows
  std::vector<std::string> environment;  // of its commands
  std::string directory;                 // where they start
  std::string persona;
  // What the persona says detectors should find (machine.claims); absent: it tells nothing.
  struct Claims {
    std::string vm, container;
  };
  std::optional<Claims> claims;
  std::map<std::string, std::string> condition;              // every factor with its level
  std::map<std::string, std::vector<std::string>> declared;  // factor -> its observables, globs
  std::map<std::string, std::string> observables;            // as run.json has them
};

// The request's agent, repeat and place do not matter. Starts nothing.
Result<EpisodeView> view_episode(const EpisodeRequest& request);

}  // namespace gyges::episode
