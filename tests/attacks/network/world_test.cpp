// Real clients against the simulated internet, through the gateway.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "gateway_fixture.h"

namespace gyges::isolation {
namespace {

using network::FlowProtocol;
using network::FlowVerdict;

class WorldTest : public SimulatedTest {
 protected:
  std::string curl(const std::string& arguments) {
    return run("curl -sS -m 8 " + arguments + " 2>&1").output;
  }
};

TEST_F(WorldTest, ClientsGetThePersonasSites) {
  if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "this host has no /usr/bin/curl";
  start_world();
  EXPECT_EQ(curl("http://web.example/hello"), "good morning");
  EXPECT_EQ(curl("--cacert /tmp/authority.pem https://web.example/hello"), "good morning");
  EXPECT_EQ(curl("--http2 --cacert /tmp/authority.pem https://web.example/hello"), "good morning");
  // Not the world's authority, not trusted.
  EXPECT_NE(curl("https://web.example/hello").find("certificate"), std::string::npos);
  EXPECT_NE(curl("http://nowhere.example/").find("Could not resolve"), std::string::npos);
  EXPECT_NE(curl("http://192.0.2.99/").find("Failed to connect"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");

  bool dns = false, http = false, tls = false, refused = false;
  for (const network::Flow& flow : flows()) {
    dns |= flow.dns && flow.dns->name.starts_with("web.example") && flow.dns->code == "NOERROR";
    http |= flow.http && flow.http->url == "http://web.example/hello" && flow.http->status == 200 &&
            flow.verdict == FlowVerdict::simulated;
    tls |= flow.sni == "web.example";
    refused |= flow.protocol == FlowProtocol::tcp && flow.verdict == FlowVerdict::refused &&
               network::to_string(flow.destination.address) == "192.0.2.99";
  }
  EXPECT_TRUE(dns);
  EXPECT_TRUE(http);
  EXPECT_TRUE(tls);
  EXPECT_TRUE(refused);
}

// The name in TLS and the one in the request are two: the request gets no answer of the site, by
// HTTP/1.1 and by HTTP/2, and the record says so.
TEST_F(WorldTest, ARequestForAnotherSiteThanThatOfTlsIsMisdirected) {
  if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "this host has no /usr/bin/curl";
  start_world();
  const std::string ask =
      "-o /dev/null -w '%{http_version} %{http_code}' --cacert /tmp/authority.pem ";
  const std::string url = "https://web.example/hello";
  EXPECT_EQ(curl("--http2 " + ask + url), "2 200");
  EXPECT_EQ(curl("--http2 -H 'Host: mail.example' " + ask + url), "2 421");
  EXPECT_EQ(curl("--http1.1 " + ask + url), "1.1 200");
  EXPECT_EQ(curl("--http1.1 -H 'Host: mail.example' " + ask + url), "1.1 421");
  EXPECT_EQ(stop().network_failure, "");
  int refused = 0, answered = 0;
  for (const network::Flow& flow : flows()) {
    if (!flow.http) continue;
    EXPECT_EQ(flow.sni, "web.example");
    const bool other = flow.http->url.find("mail.example") != std::string::npos;
    EXPECT_EQ(flow.http->status, other ? 421 : 200);
    EXPECT_EQ(flow.reason.empty(), !other) << flow.reason;
    (other ? refused : answered) += 1;
  }
  EXPECT_EQ(refused, 2);
  EXPECT_EQ(answered, 2);
}

// GYGES_LOAD=full takes tens of thousands of connections instead of hundreds.
TEST_F(WorldTest, AServerThatIsWornDownStillAnswers) {
  const char* load = std::getenv("GYGES_LOAD");
  bool full = load != nullptr && std::string(load) == "full";
  start_world();
  Ran ran = run_argv({"/tmp/attempts", "load", "192.0.2.80", full ? "4000" : "300"});
  EXPECT_EQ(ran.output,
            "control 200\nslow_heads 200\nhalf_open 200\nlong_head turned_away\n"
            "many_fields turned_away\nendless_line turned_away\ntls_garbage 200\n");
  EXPECT_EQ(stop().network_failure, "");
  std::size_t web = flows_to("192.0.2.80", 80).size();
  EXPECT_GT(web, full ? 4000U : 300U);
}

}  // namespace
}  // namespace gyges::isolation
