// Streams over HTTP: the server's own, and those that outlive their connection.
#include <gmock/gmock.h>

#include "tests/tools/mcp/http_fixture.h"
#include "tools/mcp/conformance_fixtures.h"
#include "tools/mcp/event_streams.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using Event = HttpClient::StreamEvent;

class HttpStreamTest : public HttpTest {};

std::string cancel_text(const std::string& id) {
  return json{
      {"jsonrpc", "2.0"}, {"method", "notifications/cancelled"}, {"params", {{"requestId", id}}}}
      .dump();
}

Map and_last_event(Map headers, const std::string& id) {
  headers["Last-Event-ID"] = id;
  return headers;
}

TEST_F(HttpStreamTest, GetIsAStreamOfTheServersOwn) {
  serve();
  std::string session = begin();
  HttpClient listener(port_);
  HttpReply opened = listener.open_stream(with(session));
  EXPECT_EQ(opened.status, 200);
  EXPECT_EQ(opened.headers["content-type"], "text/event-stream");
  EXPECT_EQ(HttpClient(port_).post(call_text(1, "end"), with(session)).status, 200);
  Event event = listener.next_event();
  EXPECT_EQ(event.id, "0-1");
  EXPECT_EQ(json::parse(event.data).at("method"), "notifications/message");
  // Who comes later gets what comes later; what was missed is there for who says so.
  HttpClient second(port_);
  EXPECT_EQ(second.open_stream(and_last_event(with(session), "0-0")).status, 200);
  EXPECT_EQ(second.next_event().id, "0-1");
  // One reads at a time.
  EXPECT_EQ(listener.next_event().id, "");
  // The end of the session is the stream's.
  EXPECT_EQ(HttpClient(port_).request("DELETE", with(session)).status, 204);
  EXPECT_EQ(second.next_event().id, "");
}

TEST_F(HttpStreamTest, WhatWasSaidWhileNobodyListenedIsSaidOnce) {
  serve();
  std::string session = begin();
  EXPECT_EQ(HttpClient(port_).post(call_text(1, "end"), with(session)).status, 200);
  ASSERT_TRUE(eventually([&] { return service_.closed == 1; }));
  // It is said after the session has ended, by another thread: the listener may come before.
  HttpClient listener(port_);
  EXPECT_EQ(listener.open_stream(with(session)).status, 200);
  EXPECT_EQ(listener.next_event().id, "0-1");
}

TEST_F(HttpStreamTest, TheServersOwnMessagesAreOfTheLevelThatIsWanted) {
  serve();
  std::string session = begin();
  json quiet{{"jsonrpc", "2.0"},
             {"id", 1},
             {"method", "logging/setLevel"},
             {"params", {{"level", "error"}}}};
  HttpClient client(port_);
  EXPECT_EQ(client.post(quiet.dump(), with(session)).status, 200);
  HttpClient listener(port_);
  EXPECT_EQ(listener.open_stream(with(session)).status, 200);
  EXPECT_EQ(client.post(call_text(2, "end"), with(session)).status, 200);
  EXPECT_EQ(client.post(call_text(3, "echo"), with(session)).status, 200);
  EXPECT_EQ(client.request("DELETE", with(session)).status, 204);
  EXPECT_EQ(listener.next_event().id, "");
}

TEST_F(HttpStreamTest, ABrokenStreamIsTakenUpWhereItBroke) {
  serve();
  std::string session = begin();
  HttpClient first(port_);
  EXPECT_EQ(first.open_stream(with(session), call_text(7, "steps")).status, 200);
  Event one = first.next_event();
  EXPECT_THAT(one.data, HasSubstr("one"));
  first.close();
  // The call goes on; what it says meanwhile is kept.
  service_.go();
  HttpClient second(port_);
  EXPECT_EQ(second.open_stream(and_last_event(with(session), one.id)).status, 200);
  EXPECT_THAT(second.next_event().data, HasSubstr("two"));
  Event answer = second.next_event();
  EXPECT_EQ(json::parse(answer.data).at("id"), 7);
  EXPECT_EQ(second.next_event().id, "");
  // As often as the client likes, and from any event on.
  HttpClient third(port_);
  EXPECT_EQ(third.open_stream(and_last_event(with(session), one.id)).status, 200);
  EXPECT_THAT(third.next_event().data, HasSubstr("two"));
  EXPECT_EQ(third.next_event().id, answer.id);
}

TEST_F(HttpStreamTest, ACallsStreamEndsWithItsAnswerThoughItsSessionHasBeenEnded) {
  serve();
  std::string session = begin();
  HttpClient client(port_);
  EXPECT_EQ(client.open_stream(with(session), call_text(7, "steps")).status, 200);
  EXPECT_THAT(client.next_event().data, HasSubstr("one"));
  EXPECT_EQ(HttpClient(port_).request("DELETE", with(session)).status, 204);
  service_.go();
  EXPECT_EQ(json::parse(client.next_event().data).at("id"), 7);
  EXPECT_EQ(client.next_event().id, "");
}

TEST_F(HttpStreamTest, AnAnswerThatTakesLongCanBeHadOverAnotherConnection) {
  serve();
  std::string session = begin();
  HttpClient first(port_);
  EXPECT_EQ(first.open_stream(with(session), call_text("slow", "wait")).status, 200);
  Event begun = first.next_event();
  EXPECT_EQ(begun.data, "");
  ASSERT_NE(begun.id, "");
  first.close();
  HttpClient second(port_);
  EXPECT_EQ(second.open_stream(and_last_event(with(session), begun.id)).status, 200);
  EXPECT_EQ(HttpClient(port_).post(cancel_text("slow"), with(session)).status, 202);
  EXPECT_EQ(json::parse(second.next_event().data).at("id"), "slow");
}

TEST_F(HttpStreamTest, TheServerMayEndAStreamThatTheClientThenTakesUp) {
  auto fixtures = make_conformance_fixtures();
  serve(*fixtures);
  std::string session = begin();
  HttpClient first(port_);
  EXPECT_EQ(first.open_stream(with(session), call_text(3, "test_reconnection")).status, 200);
  Event begun = first.next_event();
  EXPECT_EQ(begun.data, "");
  EXPECT_EQ(first.next_event().id, "");
  HttpClient second(port_);
  EXPECT_EQ(second.open_stream(and_last_event(with(session), begun.id)).status, 200);
  EXPECT_EQ(json::parse(second.next_event().data).at("id"), 3);
}

TEST_F(HttpStreamTest, EventsThatAreNotThereAreAnError) {
  serve();
  std::string session = begin();
  std::string other = begin();
  HttpClient client(port_);
  service_.go();
  EXPECT_EQ(client.post(call_text(1, "steps"), with(session)).status, 200);
  auto status = [&](const std::string& of, const std::string& id) {
    return HttpClient(port_).open_stream(and_last_event(with(of), id)).status;
  };
  EXPECT_EQ(status(session, "1-1"), 200);
  for (const char* bad : {"1-9", "2-1", "1", "-1", "1-", "x-y", "99999999999999999999-1", "1-1 "})
    EXPECT_EQ(status(session, bad), std::string(bad) == "1-1 " ? 200 : 400) << bad;
  EXPECT_EQ(status(other, "1-1"), 400);
  EXPECT_EQ(status("0123", "1-1"), 404);
  EXPECT_EQ(client.request("GET", {{"Accept", "text/event-stream"}}).status, 400);
  EXPECT_EQ(client.request("GET", with(session)).status, 406);
  EXPECT_EQ(client.open_stream({{"MCP-Protocol-Version", "2026-07-28"}}).status, 405);
  Map foreign = with(session);
  foreign["Origin"] = "https://attacker.example";
  EXPECT_EQ(HttpClient(port_).open_stream(foreign).status, 403);
}

TEST(EventStreams, WhatIsKeptIsBounded) {
  EventStreams streams;
  auto ended = streams.add();
  auto running = streams.add();
  streams.keep(*ended, "first");
  ended->ended = true;
  const std::string big(EventStreams::max_bytes / 4, 'x');
  for (int i = 0; i < 3; ++i) streams.keep(*running, big);
  EXPECT_TRUE(streams.find("1-0").stream);
  for (int i = 0; i < 3; ++i) streams.keep(*running, big);
  // Those that have ended go first.
  EXPECT_FALSE(streams.find("1-0").stream);
  EXPECT_TRUE(streams.find("1-1").stream);
  EXPECT_FALSE(streams.find("2-0").stream);
  EXPECT_TRUE(streams.find("2-" + std::to_string(running->dropped)).stream);
  EXPECT_LE(running->kept.size(), 4U);
  // One that is too large alone is kept nowhere.
  streams.keep(*running, std::string(2 * EventStreams::max_bytes, 'x'));
  EXPECT_TRUE(running->kept.empty());
  running->ended = true;
  for (std::size_t i = 0; i < 3 * EventStreams::max_streams; ++i) streams.add()->ended = true;
  EXPECT_LE(streams.size(), EventStreams::max_streams);
  EXPECT_TRUE(streams.find("0-0").stream) << "the server's own";
}

}  // namespace
}  // namespace gyges::mcp
