#include "gateway_fixture.h"

#include "sandbox/network/network_policy.h"

extern "C" const char gyges_network_attempts_begin[];
extern "C" const char gyges_network_attempts_end[];

namespace gyges::isolation {

SandboxSpec GatewayTest::spec_with(const nlohmann::json& section) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  auto policy = network::network_policy_from_json(section, "test");
  if (!policy) {
    ADD_FAILURE() << policy.error().line();
    return spec;
  }
  spec.policy.network = *policy;
  SeedFile program;
  program.path = "/tmp/attempts";
  program.mode = 0755;
  program.content = {gyges_network_attempts_begin, gyges_network_attempts_end};
  spec.seed.push_back(std::move(program));
  spec.flows = [this](network::Flow flow) -> Status {
    std::scoped_lock lock(mutex_);
    flows_.push_back(std::move(flow));
    return ok();
  };
  return spec;
}

void GatewayTest::start_with(const nlohmann::json& section, std::string packed_world,
                             std::vector<SeedFile> seed) {
  SandboxSpec spec = spec_with(section);
  spec.packed_world = std::move(packed_world);
  for (SeedFile& file : seed) spec.seed.push_back(std::move(file));
  start(spec);
}

std::vector<network::Flow> GatewayTest::flows() {
  std::scoped_lock lock(mutex_);
  return flows_;
}

std::vector<network::Flow> GatewayTest::flows_to(const std::string& address, std::uint16_t port) {
  std::vector<network::Flow> found;
  for (network::Flow& flow : flows())
    if (network::to_string(flow.destination.address) == address && flow.destination.port == port)
      found.push_back(std::move(flow));
  return found;
}

}  // namespace gyges::isolation
