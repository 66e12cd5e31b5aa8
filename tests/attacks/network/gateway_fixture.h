// A sandbox behind the egress gateway whose flows the test keeps.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"
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

  // The gateway among this process's children; -1: none.
  static pid_t gateway_pid();
  // The most memory that it had at one time, its program included.
  static std::uint64_t gateway_peak_kib();

 private:
  std::mutex mutex_;
  std::vector<network::Flow> flows_;
};

// Whose policy simulates everything, with a site web.example at 192.0.2.80, a mail server at
// 192.0.2.25, and model.example at 192.0.2.90, where nothing listens unless the spec has an outlet.
class SimulatedTest : public GatewayTest {
 protected:
  // Under these rules, before the one that simulates everything.
  void start_world(const nlohmann::json& rules = nlohmann::json::array(),
                   const nlohmann::json& canaries = nlohmann::json::array());
  // What each of the attempts `what` came to, by its name.
  std::map<std::string, std::string> attempt(const char* what, const char* with) {
    Ran ran = run_argv({"/tmp/attempts", what, with});
    EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
    std::map<std::string, std::string> outcomes;
    for (const std::string& line : split(ran.output, '\n'))
      if (auto space = line.find(' '); space != std::string::npos)
        outcomes[line.substr(0, space)] = line.substr(space + 1);
    return outcomes;
  }
  // Before start_world().
  std::function<void(SandboxSpec&)> adapt_ = [](SandboxSpec&) {};
};

// The test's process is in a network namespace of its own, where 198.51.100.7, 198.51.100.53 (its
// name server) and 10.9.9.9 are local, so that the gateway can relay and nothing can leave. Skips
// without root.
class OwnNetwork {
 public:
  OwnNetwork() = default;
  ~OwnNetwork();
  OwnNetwork(const OwnNetwork&) = delete;
  OwnNetwork& operator=(const OwnNetwork&) = delete;
  void enter();  // fails the test where it cannot

 private:
  UniqueFd home_, files_;
};

}  // namespace gyges::isolation
