// A sandbox behind the egress gateway whose flows the test keeps.
#pragma once

#include <gtest/gtest.h>

#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sandbox/network/flow.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {

class GatewayTest : public SandboxTest {
 protected:
  void TearDown() override { sandbox_.reset(); }

  // Starts a sandbox whose policy has this section `network`; the attack program is at
  // /tmp/attempts.
  void start_with(const nlohmann::json& section, std::string packed_world = "",
                  std::vector<SeedFile> seed = {});
  SandboxSpec spec_with(const nlohmann::json& section);

  // Flows to a destination; complete after stop().
  std::vector<network::Flow> flows_to(const std::string& address, std::uint16_t port);
  std::vector<network::Flow> flows();

 private:
  std::mutex mutex_;
  std::vector<network::Flow> flows_;
};

}  // namespace gyges::isolation
