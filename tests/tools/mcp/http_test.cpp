#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "tests/tools/mcp/fake_service.h"
#include "tests/tools/mcp/http_fixture.h"
#include "tools/mcp/conformance_fixtures.h"
#include "tools/mcp/http_guard.h"
#include "tools/mcp/http_server.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string stateless_call(const std::string& tool) {
  json params{{"name", tool},
              {"_meta",
               {{"io.modelcontextprotocol/protocolVersion", "2026-07-28"},
                {"io.modelcontextprotocol/clientCapabilities", json::object()}}}};
  return json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", "tools/call"}, {"params", params}}.dump();
}

Map stateless_headers(const std::string& tool) {
  return {{"MCP-Protocol-Version", "2026-07-28"}, {"Mcp-Method", "tools/call"}, {"Mcp-Name", tool}};
}

TEST_F(HttpTest, ASessionFromBeginningToEnd) {
  serve();
  HttpClient client(port_);
  HttpReply begun = client.post(initialize_text());
  EXPECT_EQ(begun.headers["content-type"], "application/json");
  std::string session = begun.headers["mcp-session-id"];
  EXPECT_EQ(session.size(), 32U);
  HttpReply noted =
      client.post(R"({"jsonrpc":"2.0","method":"notifications/initialized"})", with(session));
  EXPECT_EQ(noted.status, 202);
  EXPECT_EQ(noted.body, "");
  HttpReply called = client.post(call_text(1, "echo", {{"a", 1}}), with(session));
  EXPECT_EQ(called.status, 200);
  EXPECT_EQ(called.json().at("result").at("echo").at("a"), 1);
  EXPECT_EQ(client.request("DELETE", with(session)).status, 204);
  EXPECT_EQ(client.post(call_text(2, "echo"), with(session)).status, 404);
  EXPECT_EQ(client.request("DELETE", with(session)).status, 404);
  EXPECT_TRUE(eventually([&] { return service_.closed == 1; }));
}

TEST_F(HttpTest, SessionsAreToldApartAndMustBeNamed) {
  serve();
  std::string one = begin();
  std::string two = begin();
  EXPECT_NE(one, two);
  HttpClient client(port_);
  EXPECT_EQ(client.post(call_text(1, "echo"), with(one)).status, 200);
  EXPECT_EQ(client.post(call_text(1, "echo"), with(two)).status, 200);
  EXPECT_EQ(service_.opened, 2);
  EXPECT_EQ(client.post(call_text(1, "echo")).status, 400);
  EXPECT_EQ(client.post(call_text(1, "echo"), with("0123")).status, 404);
  EXPECT_EQ(client.post(call_text(1, "echo"), with("shared \ntest")).status, 400);
}

TEST_F(HttpTest, ForeignHostsAndOriginsAreForbidden) {
  serve();
  auto status = [&](const Map& headers) {
    return HttpClient(port_).post(initialize_text(), headers).status;
  };
  std::string port = ":" + std::to_string(port_);
  for (const std::string host : {"evil.example.com", "localhost.evil.example.com", "127.0.0.1.",
                                 "localhost:80:80", "[::1", "0.0.0.0", "localhost@evil.example"})
    EXPECT_EQ(status({{"Host", host}}), 403) << host;
  EXPECT_EQ(status({{"Host", ""}}), 403);
  for (const std::string host : {"localhost", "LOCALHOST", "127.0.0.1", "[::1]"})
    EXPECT_EQ(status({{"Host", host + port}}), 200) << host;
  for (const std::string origin : {"http://evil.example.com", "null", "file://", "http://",
                                   "http://localhost.evil.example.com", "ftp://localhost"})
    EXPECT_EQ(status({{"Origin", origin}}), 403) << origin;
  EXPECT_EQ(status({{"Origin", "http://localhost:3000"}}), 200);
}

TEST_F(HttpTest, NamesAndOriginsMayBeAllowed) {
  options_.allowed_hosts = {"box.example"};
  options_.allowed_origins = {"https://app.example"};
  serve();
  auto status = [&](const Map& headers) {
    return HttpClient(port_).post(initialize_text(), headers).status;
  };
  EXPECT_EQ(status({{"Host", "box.example:80"}}), 200);
  EXPECT_EQ(status({{"Origin", "https://app.example"}}), 200);
  EXPECT_EQ(status({{"Origin", "https://app.example.com"}}), 403);
}

TEST_F(HttpTest, ATokenIsAskedFor) {
  options_.token = "correct-horse-battery";
  serve();
  auto status = [&](const std::string& authorization) {
    return HttpClient(port_).post(initialize_text(), {{"Authorization", authorization}}).status;
  };
  EXPECT_EQ(status(""), 401);
  EXPECT_EQ(status("Bearer wrong"), 401);
  EXPECT_EQ(status("Bearer correct-horse-batter"), 401);
  EXPECT_EQ(status("Bearer correct-horse-battery2"), 401);
  EXPECT_EQ(status("Basic correct-horse-battery"), 401);
  EXPECT_EQ(status("bearer correct-horse-battery"), 200);
}

TEST_F(HttpTest, OtherAddressesThanLoopbackNeedAToken) {
  options_.address = "0.0.0.0";
  options_.stop = stop_.get();
  auto refused = serve_http(service_, options_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("--token-file"));
}

TEST_F(HttpTest, WhatIsNoMcpIsRefused) {
  serve();
  auto status = [&](const std::string& body, const Map& headers, const std::string& target) {
    return HttpClient(port_).post(body, headers, target).status;
  };
  EXPECT_EQ(status("{}", {}, "/"), 404);
  EXPECT_EQ(status("{}", {}, "/mcp/a/b"), 404);
  EXPECT_EQ(status("{}", {}, "/mcp/" + std::string(65, 'a')), 404);
  EXPECT_EQ(status("{}", {{"Content-Type", "text/plain"}}, "/mcp"), 415);
  EXPECT_EQ(status("{}", {{"Accept", "text/html"}}, "/mcp"), 406);
  EXPECT_EQ(status("garbage", {}, "/mcp"), 400);
  EXPECT_EQ(status("[]", {}, "/mcp"), 400);
  EXPECT_EQ(status(std::string(100'000, '['), {}, "/mcp"), 400);
  EXPECT_EQ(HttpClient(port_).request("PUT", {}).status, 405);
  EXPECT_EQ(HttpClient(port_).request("OPTIONS", {}).status, 405);
  HttpClient raw(port_);
  raw.send("\x16\x03\x01 this is TLS\r\n\r\n");
  EXPECT_EQ(raw.receive().status, 400);
  HttpClient twice(port_);
  twice.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n");
  EXPECT_EQ(twice.receive().status, 403);
}

TEST_F(HttpTest, BodiesAndHeadersAreBounded) {
  options_.body_bytes = 4096;
  serve();
  EXPECT_EQ(HttpClient(port_).post(std::string(5000, ' ')).status, 413);
  HttpClient claims(port_);
  claims.send(
      "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 999999999999\r\n\r\n");
  EXPECT_EQ(claims.receive().status, 413);
  HttpClient chunked(port_);
  chunked.send(
      "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 10; ++i) chunked.send("400\r\n" + std::string(1024, ' ') + "\r\n");
  EXPECT_EQ(chunked.receive().status, 413);
  EXPECT_EQ(HttpClient(port_).post("{}", {{"X-Long", std::string(100'000, 'x')}}).status, 431);
  EXPECT_EQ(HttpClient(port_).post(initialize_text()).status, 200);
}

TEST_F(HttpTest, SlowClientsAreLeft) {
  options_.keep_alive = std::chrono::seconds(1);
  options_.request_time = std::chrono::seconds(1);
  serve();
  HttpClient silent(port_);
  HttpClient slow_header(port_);
  slow_header.send("POST /mcp HTT");
  HttpClient slow_body(port_);
  slow_body.send(
      "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{");
  EXPECT_TRUE(silent.closed());
  EXPECT_TRUE(slow_header.closed());
  EXPECT_TRUE(slow_body.closed());
}

TEST_F(HttpTest, ConnectionsAreBounded) {
  options_.connections = 4;
  serve();
  std::vector<HttpClient> held;
  for (int i = 0; i < 4; ++i) {
    held.emplace_back(port_);
    ASSERT_EQ(held.back().post(initialize_text()).status, 200);
  }
  EXPECT_TRUE(HttpClient(port_).closed());
  held.clear();
  EXPECT_TRUE(eventually([&] { return HttpClient(port_).post(initialize_text()).status == 200; }));
}

TEST_F(HttpTest, TenThousandSessionsMakeRoomForEachOther) {
  options_.sessions.rate = 1e6;
  serve();
  std::string used = begin();
  HttpClient client(port_);
  ASSERT_EQ(client.post(call_text(1, "echo"), with(used)).status, 200);
  for (int i = 0; i < 10'000; ++i) ASSERT_EQ(client.post(initialize_text()).status, 200) << i;
  // The one that has called something is still there, and nothing was started for the others.
  EXPECT_EQ(client.post(call_text(2, "echo"), with(used)).status, 200);
  EXPECT_EQ(service_.opened, 1);
}

TEST_F(HttpTest, SessionsInUseAreNotPushedOut) {
  options_.sessions.sessions = 2;
  serve();
  HttpClient client(port_);
  for (int i = 0; i < 2; ++i)
    ASSERT_EQ(client.post(call_text(1, "echo"), with(begin())).status, 200);
  HttpReply refused = client.post(initialize_text());
  EXPECT_EQ(refused.status, 429);
  EXPECT_EQ(refused.json().at("error").at("code"), 429);
}

TEST_F(HttpTest, IdleSessionsEnd) {
  options_.sessions.idle = std::chrono::seconds(1);
  serve();
  ASSERT_EQ(HttpClient(port_).post(call_text(1, "echo"), with(begin())).status, 200);
  EXPECT_TRUE(eventually([&] { return service_.closed == 1; }));
}

TEST_F(HttpTest, TheRateIsBounded) {
  options_.sessions.rate = 1;
  serve();
  int refused = 0;
  for (int i = 0; i < 50; ++i)
    refused += HttpClient(port_).post(initialize_text()).status == 429 ? 1 : 0;
  EXPECT_GT(refused, 0);
  EXPECT_LT(refused, 50);
}

TEST_F(HttpTest, CancellingStopsACall) {
  serve();
  std::string session = begin();
  HttpClient caller(port_);
  auto answer = std::async(std::launch::async,
                           [&] { return caller.post(call_text("slow", "wait"), with(session)); });
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  std::string cancel =
      R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}})";
  EXPECT_EQ(HttpClient(port_).post(cancel, with(session)).status, 202);
  EXPECT_EQ(answer.get().status, 200);
  EXPECT_EQ(service_.cancelled, 1);
}

TEST_F(HttpTest, HangingUpCancelsAStatelessCallButNotOneOfASession) {
  serve();
  std::string session = begin();
  HttpClient kept(port_);
  kept.send(
      "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Mcp-Session-Id: " +
      session + "\r\nContent-Length: " + std::to_string(call_text(1, "wait").size()) + "\r\n\r\n" +
      call_text(1, "wait"));
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  kept.close();
  HttpClient dropped(port_);
  std::string body = stateless_call("wait");
  std::string head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
  for (const auto& [name, value] : stateless_headers("wait")) head += name + ": " + value + "\r\n";
  dropped.send(head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  ASSERT_TRUE(eventually([&] { return service_.waiting == 2; }));
  EXPECT_EQ(service_.cancelled, 0);
  dropped.close();
  EXPECT_TRUE(eventually([&] { return service_.cancelled == 1; }));
  end();
  EXPECT_EQ(service_.cancelled, 2);
  EXPECT_EQ(service_.closed, 2);
}

TEST_F(HttpTest, StatelessRequestsOfOneNameShareASession) {
  serve();
  auto call = [&](const std::string& target) {
    return HttpClient(port_).post(stateless_call("echo"), stateless_headers("echo"), target).status;
  };
  EXPECT_EQ(call("/mcp"), 200);
  EXPECT_EQ(call("/mcp"), 200);
  EXPECT_EQ(service_.opened, 1);
  EXPECT_EQ(call("/mcp/other"), 200);
  EXPECT_EQ(service_.opened, 2);
}

TEST_F(HttpTest, AStreamIsOpenedWhereACallHasSomethingToSay) {
  auto fixtures = make_conformance_fixtures();
  serve(*fixtures);
  std::string session = begin();
  json call = json::parse(call_text(7, "test_tool_with_progress"));
  call["params"]["_meta"]["progressToken"] = "t";
  HttpReply reply = HttpClient(port_).post(call.dump(), with(session));
  EXPECT_EQ(reply.headers["content-type"], "text/event-stream");
  std::vector<json> messages;
  std::istringstream lines(reply.body);
  for (std::string line; std::getline(lines, line);) messages.push_back(json::parse(line));
  ASSERT_EQ(messages.size(), 4U);
  EXPECT_EQ(messages[1].at("params").at("progress"), 50);
  EXPECT_EQ(messages[3].at("id"), 7);
  // A client that takes no streams is told the end only.
  Map headers = with(session);
  headers["Accept"] = "application/json";
  reply = HttpClient(port_).post(call.dump(), headers);
  EXPECT_EQ(reply.headers["content-type"], "application/json");
  EXPECT_EQ(reply.json().at("id"), 7);
}

TEST_F(HttpTest, AClientThatDoesNotReadItsStreamIsLeft) {
  options_.unsent_bytes = 1U << 20U;
  serve();
  std::string session = begin();
  HttpClient client(port_);
  std::string body = call_text(1, "chatty");  // 20 MB
  client.send(
      "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Accept: application/json, text/event-stream\r\nMcp-Session-Id: " +
      session + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  // The session's next call is answered all the same.
  EXPECT_EQ(HttpClient(port_).post(call_text(2, "echo"), with(session)).status, 200);
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpTest, RequestsInOnePacketAreAnsweredInOrder) {
  serve();
  std::string session = begin();
  HttpClient client(port_);
  std::string both;
  for (int i = 1; i <= 3; ++i) {
    std::string body = call_text(i, "echo");
    both +=
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Mcp-Session-Id: " +
        session + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  client.send(both);
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(client.receive().json().at("id"), i);
}

}  // namespace
}  // namespace gyges::mcp
