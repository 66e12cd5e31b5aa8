#include "probed_sandbox.h"

#include <gtest/gtest.h>

#include "sandbox/run/command_run.h"

namespace gyges::cues {

SandboxToProbe sandbox_to_probe(const std::string& persona,
                                const std::filesystem::path& workspace) {
  run::CommandRunRequest request;
  auto policy = isolation::load_policy("default");
  EXPECT_TRUE(policy) << policy.error().line();
  request.policy = std::move(*policy);
  request.policy.limits.wall_seconds = 60;
  if (!persona.empty()) request.persona = persona;
  request.workspace = workspace;
  auto composed = run::compose_sandbox(request);
  EXPECT_TRUE(composed) << composed.error().line();
  if (!composed) return {};
  return {std::move(composed->spec), std::move(composed->environment),
          std::move(composed->directory)};
}

Reading reading_of(const Result<std::string>& text) {
  EXPECT_TRUE(text) << text.error().line();
  auto reading = parse_reading(text ? *text : "", "test");
  EXPECT_TRUE(reading) << reading.error().line();
  return reading ? *reading : Reading{};
}

}  // namespace gyges::cues
