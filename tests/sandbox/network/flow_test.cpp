#include "sandbox/network/flow.h"

#include <gtest/gtest.h>

namespace gyges::network {
namespace {

Flow full_flow() {
  Flow flow;
  flow.time_ns = 12;
  flow.duration_ns = 34;
  flow.connection = 5;
  flow.protocol = FlowProtocol::http;
  flow.source = {*parse_address("10.0.2.15"), 40000};
  flow.destination = {*parse_address("2001:db8::1"), 443};
  flow.name = "example.com";
  flow.verdict = FlowVerdict::simulated;
  flow.rule = "web";
  flow.sni = "example.com";
  flow.alpn = "h2";
  flow.sent_bytes = 100;
  flow.attempts = 3;
  flow.http.emplace();
  flow.http->method = "POST";
  flow.http->request_headers = {{"Host", "example.com"}, {"X", std::string("\0\n", 2)}};
  flow.http->request_body = {"abc", 3, "00ff"};
  flow.dns.emplace();
  flow.dns->answers = {"192.0.2.1", "192.0.2.2"};
  flow.dns->query = std::string("\0\1", 2);
  flow.dns->response = "answer";
  flow.canaries = {{"token", "base64", "http body", "..."}};
  return flow;
}

TEST(FlowCodec, ThereAndBack) {
  Flow flow = full_flow();
  auto back = decode_flow(encode_flow(flow));
  ASSERT_TRUE(back) << back.error().line();
  EXPECT_EQ(encode_flow(*back), encode_flow(flow));
  EXPECT_EQ(back->http->request_headers, flow.http->request_headers);
  EXPECT_EQ(back->dns->answers, flow.dns->answers);
  EXPECT_EQ(back->dns->query, flow.dns->query);
  EXPECT_EQ(back->dns->response, flow.dns->response);
  EXPECT_EQ(back->destination, flow.destination);
  EXPECT_EQ(back->verdict, FlowVerdict::simulated);
}

TEST(FlowCodec, EveryTruncationIsAnError) {
  std::string bytes = encode_flow(full_flow());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_flow(std::string_view(bytes).substr(0, size))) << size;
  EXPECT_FALSE(decode_flow(bytes + "x"));
}

TEST(FlowCodec, FlippedBytesNeverHurt) {
  const std::string bytes = encode_flow(full_flow());
  for (std::size_t i = 0; i < bytes.size(); ++i)
    for (unsigned char with : {0x00, 0x7f, 0xff}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(with);
      auto back = decode_flow(changed);
      if (back) {
        EXPECT_LE(encode_flow(*back).size(), bytes.size() + 4);
      }
    }
}

}  // namespace
}  // namespace gyges::network
