#include "sandbox/network/http/handed_out_http1.h"

#include <gmock/gmock.h>

#include "tests/sandbox/network/web_fixture.h"

namespace gyges::network {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class FakeOutlet final : public Outlet {
 public:
  std::vector<OutletRequest> requests;
  std::string bodies;
  OutletListener* listener = nullptr;
  int ends = 0, closes = 0;
  bool full = false, refuses = false;
  std::size_t taken = 0;

  std::uint64_t open(const OutletRequest& request, OutletListener& from) override {
    if (refuses) return 0;
    requests.push_back(request);
    listener = &from;
    return requests.size();
  }
  bool body(std::uint64_t, std::string_view bytes) override {
    bodies += bytes;
    return !full;
  }
  void end(std::uint64_t) override { ++ends; }
  void close(std::uint64_t) override { ++closes; }
  void took(std::uint64_t, std::size_t bytes) override { taken += bytes; }
};

struct HandedOut : ::testing::Test {
  testing::WebFixture web;
  testing::ScriptedPort port;
  FakeOutlet outlet;
  std::vector<std::string> tunnels;
  std::unique_ptr<StreamService> service =
      make_handed_out_http1(web.shared, web.connection, nullptr, port, outlet,
                            [this](const std::string& name, std::uint16_t number,
                                   StreamPort&) -> std::unique_ptr<StreamService> {
                              tunnels.push_back(name + ":" + std::to_string(number));
                              return nullptr;
                            });
};

TEST_F(HandedOut, AnAnswerStreamsAsItComesAndTheConnectionStays) {
  service->received(
      "POST /v1/messages?beta=true HTTP/1.1\r\nHost: api.example\r\n"
      "x-api-key: k\r\nContent-Length: 5\r\n\r\nhel");
  ASSERT_EQ(outlet.requests.size(), 1U);
  EXPECT_EQ(outlet.requests[0].target, "/v1/messages?beta=true");
  EXPECT_EQ(outlet.requests[0].host, "api.example");
  EXPECT_EQ(outlet.ends, 0);
  service->received("lo");
  EXPECT_EQ(outlet.bodies, "hello");
  EXPECT_EQ(outlet.ends, 1);
  outlet.listener->answered({200, {{"Content-Type", "text/event-stream"}}});
  std::string head = port.take();
  EXPECT_THAT(head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(head, HasSubstr("Transfer-Encoding: chunked\r\n"));
  outlet.listener->answer_body("data: 1\n\n");
  EXPECT_EQ(port.take(), "9\r\ndata: 1\n\n\r\n");
  outlet.listener->answer_ended();
  EXPECT_EQ(port.take(), "0\r\n\r\n");
  EXPECT_FALSE(port.closed);
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_EQ(port.flows[0].http->status, 200);
  EXPECT_EQ(port.flows[0].http->response_body.head, "data: 1\n\n");
  service->received("GET /v1/models HTTP/1.1\r\nHost: api.example\r\n\r\n");
  EXPECT_EQ(outlet.requests.size(), 2U);
}

TEST_F(HandedOut, AKnownLengthIsKeptAndHeadHasNoBody) {
  service->received("HEAD / HTTP/1.1\r\nHost: api.example\r\n\r\n");
  outlet.listener->answered({404, {{"Content-Length", "12"}}});
  outlet.listener->answer_body("not for HEAD");
  outlet.listener->answer_ended();
  std::string text = port.take();
  EXPECT_THAT(text, HasSubstr("Content-Length: 12\r\n"));
  EXPECT_THAT(text, EndsWith("\r\n\r\n"));
}

TEST_F(HandedOut, AbsoluteFormsNameTheirOwnHost) {
  service->received(
      "POST http://api.vendor.example:8080/v1/x HTTP/1.1\r\n"
      "Host: api.vendor.example:8080\r\nContent-Length: 0\r\n\r\n");
  ASSERT_EQ(outlet.requests.size(), 1U);
  EXPECT_EQ(outlet.requests[0].host, "api.vendor.example");
  EXPECT_EQ(outlet.requests[0].port, 8080);
  EXPECT_EQ(outlet.requests[0].target, "/v1/x");
}

TEST_F(HandedOut, ConnectAsksForATunnelAndIsNeverHandedOut) {
  service->received(
      "CONNECT telemetry.example:443 HTTP/1.1\r\nHost: telemetry.example:443\r\n\r\n");
  EXPECT_THAT(tunnels, ::testing::ElementsAre("telemetry.example:443"));
  EXPECT_TRUE(outlet.requests.empty());
  EXPECT_THAT(port.sent, StartsWith("HTTP/1.1 502"));
  EXPECT_TRUE(port.closed);
}

TEST_F(HandedOut, WhoSendsFasterThanTheSupervisorReadsWaits) {
  outlet.full = true;
  service->received("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nabcde");
  EXPECT_TRUE(port.paused);
  outlet.full = false;
  outlet.listener->outlet_ready();
  EXPECT_FALSE(port.paused);
}

TEST_F(HandedOut, OnlyWhatTheClientTookMakesRoomForMore) {
  service->received("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  outlet.listener->answered({200, {}});
  const std::string piece(answer_window / 4, 'x');
  outlet.listener->answer_body("small");
  EXPECT_EQ(outlet.taken, 0U) << "not said for every token";
  outlet.listener->answer_body(piece);
  EXPECT_EQ(outlet.taken, piece.size() + 5);
  port.backlog = port.step();
  outlet.listener->answer_body(piece);
  outlet.listener->answer_body(piece);
  EXPECT_EQ(outlet.taken, piece.size() + 5);
  port.backlog = 0;
  service->drained();
  EXPECT_EQ(outlet.taken, 3 * piece.size() + 5);
  port.backlog = port.step();
  outlet.listener->answer_body(piece);
  port.run_timers(*service);
  EXPECT_TRUE(port.was_reset) << "who never reads is cut off";
}

TEST_F(HandedOut, AClientThatGoesClosesItsExchange) {
  service->received("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx");
  service.reset();
  EXPECT_EQ(outlet.closes, 1);
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_THAT(port.flows[0].reason, HasSubstr("before the answer was whole"));
  EXPECT_EQ(port.flows[0].http->request_body.head, "x");
}

TEST_F(HandedOut, ALostSupervisorIsABadGatewayAndACutAnswerAReset) {
  service->received("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  outlet.listener->answer_failed();
  EXPECT_THAT(port.sent, StartsWith("HTTP/1.1 502"));
  EXPECT_TRUE(port.closed);
  testing::ScriptedPort other;
  auto second = make_handed_out_http1(web.shared, web.connection, nullptr, other, outlet, {});
  second->received("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  outlet.listener->answered({200, {}});
  outlet.listener->answer_failed();
  EXPECT_TRUE(other.was_reset);
}

TEST_F(HandedOut, MalformedAndTooManyRequestsAreTurnedAway) {
  service->received(
      "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  EXPECT_TRUE(outlet.requests.empty());
  EXPECT_THAT(port.sent, StartsWith("HTTP/1.1 400"));
  testing::ScriptedPort other;
  outlet.refuses = true;
  auto second = make_handed_out_http1(web.shared, web.connection, nullptr, other, outlet, {});
  second->received("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_THAT(other.sent, StartsWith("HTTP/1.1 503"));
}

TEST_F(HandedOut, ABodyWithoutEndIsCutOff) {
  service->received("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 99999999999\r\n\r\n");
  const std::string piece(1U << 20U, 'x');
  for (int i = 0; i < 70; ++i) service->received(piece);
  EXPECT_LE(outlet.bodies.size(), most_outlet_body);
  EXPECT_EQ(outlet.closes, 1);
  EXPECT_THAT(port.sent, StartsWith("HTTP/1.1 413"));
  EXPECT_TRUE(port.closed);
}

TEST_F(HandedOut, WhatIsSentToAModelIsNotSearchedEvenWhenNobodyReadsIt) {
  service->received("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 99999999999\r\n\r\n");
  const std::string piece(1U << 20U, 'x');
  for (int i = 0; i < 33; ++i) service->received(piece);
  ASSERT_TRUE(port.closed);
  port.searched = true;
  service->received("s3cr3tTokenValue42");
  EXPECT_THAT(port.unread, EndsWith("s3cr3tTokenValue42"));
  EXPECT_FALSE(port.searched);
  EXPECT_FALSE(service->is_searched());
  for (const Flow& flow : port.flows) EXPECT_TRUE(flow.canaries.empty());
}

// A tunnel's own service says what its bytes mean and whether they are searched.
class Reversing final : public StreamService {
 public:
  explicit Reversing(std::string& got) : got_(got) {}
  void received(std::string_view bytes) override { got_ += bytes; }
  std::string meaning(std::string_view bytes) override { return {bytes.rbegin(), bytes.rend()}; }
  void ended() override {}

 private:
  std::string& got_;
};

TEST_F(HandedOut, WhatGoesIntoATunnelIsTheTunnels) {
  std::string got;
  auto proxy = make_handed_out_http1(
      web.shared, web.connection, nullptr, port, outlet,
      [&](const std::string&, std::uint16_t, StreamPort&) -> std::unique_ptr<StreamService> {
        return std::make_unique<Reversing>(got);
      });
  EXPECT_EQ(proxy->meaning("abc"), "abc");
  EXPECT_FALSE(proxy->is_searched());
  proxy->received("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\nearly");
  EXPECT_THAT(port.sent, StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(got, "early");
  EXPECT_EQ(proxy->meaning("abc"), "cba");
  EXPECT_TRUE(proxy->is_searched());
}

TEST_F(HandedOut, AStalledBodyEndsTheConnection) {
  service->received("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\n\r\nx");
  port.run_timers(*service, 3);
  EXPECT_TRUE(port.was_reset);
}

}  // namespace
}  // namespace gyges::network
