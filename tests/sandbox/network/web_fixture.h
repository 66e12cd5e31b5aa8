// A small web for tests, at documentation addresses.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/json.h"
#include "sandbox/network/http/http1_service.h"
#include "sandbox/network/http/web_server.h"
#include "sandbox/network/world/zone.h"
#include "tests/sandbox/network/scripted_ports.h"

namespace gyges::network::testing {

inline WorldData small_web() {
  auto json = nlohmann::json::parse(R"({
    "sites": [
      {"host": ["web.example", "192.0.2.80"], "addresses": ["192.0.2.80"],
       "files": [{"at": "/", "from": "unused"}],
       "pages": [{"path": "/api/*", "methods": ["POST"], "status": 201, "json": {"ok": true}},
                 {"path": "/empty", "status": 204}]},
      {"host": "other.example", "addresses": ["192.0.2.80"]},
      {"host": "far.example", "addresses": ["192.0.2.99"]},
      {"host": "slow.example", "addresses": ["192.0.2.81"], "latency_ms": {"median": 50}},
      {"host": "broken.example", "addresses": ["192.0.2.82"], "error_rate": 1},
      {"host": "secure.example", "addresses": ["192.0.2.83"], "redirect_to_https": true}],
    "metadata": {"values": {"/latest/meta-data/instance-id": "i-0abc", "/latest/meta-data/placement/region": "eu-north-1"}}})");
  auto data = world_from_json(json,
                              {{"0/0/index.html", "<p>hello</p>"},
                               {"0/0/big.bin", std::string(300000, 'b')},
                               {"0/0/pkg/info/refs", "0123456789"}},
                              "test");
  EXPECT_TRUE(data) << data.error().line();
  data->seed = 3;
  data->created_at = 1'760'000'000;
  return std::move(*data);
}

struct WebFixture {
  WorldData data = small_web();
  Zone zone{data};
  NameTable names;
  CanarySet canaries = CanarySet::compile({{"key", "s3cr3tTokenValue42"}}).value();
  SplitCanaries split{canaries};
  WebServer server{zone, data, names};
  WebShared shared{server, canaries, split, 1000};
  Connection connection;

  explicit WebFixture(const char* address = "192.0.2.80") {
    connection.destination = {parse_address(address).value(), 80};
  }
};

}  // namespace gyges::network::testing
