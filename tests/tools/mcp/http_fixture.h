// A server over HTTP in a thread of its own, and a fake service behind it.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <future>
#include <map>
#include <string>
#include <thread>

#include "tests/tools/mcp/fake_service.h"
#include "tests/tools/mcp/http_client.h"
#include "tools/mcp/http_server.h"

namespace gyges::mcp {

using Map = std::map<std::string, std::string>;

class HttpTest : public ::testing::Test {
 protected:
  void SetUp() override { stop_.reset(::eventfd(0, EFD_CLOEXEC)); }
  void TearDown() override { end(); }
  void serve(Service& service) {
    std::promise<std::uint16_t> port;
    auto ready = port.get_future();
    options_.stop = stop_.get();
    options_.listening = [&port](std::uint16_t number) { port.set_value(number); };
    thread_ = std::thread([this, &service] { status_ = serve_http(service, options_); });
    port_ = ready.get();
  }
  void serve() { serve(service_); }
  void end() {
    if (!thread_.joinable()) return;
    std::uint64_t one = 1;
    ASSERT_EQ(::write(stop_.get(), &one, sizeof one), 8);
    thread_.join();
  }
  // The id of a new session.
  std::string begin() {
    HttpReply reply = HttpClient(port_).post(initialize_text());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return reply.headers["mcp-session-id"];
  }
  static Map with(const std::string& session) {
    return {{"Mcp-Session-Id", session}, {"MCP-Protocol-Version", "2025-11-25"}};
  }

  FakeService service_;
  HttpOptions options_;
  UniqueFd stop_;
  std::uint16_t port_ = 0;
  Status status_;
  std::thread thread_;
};

}  // namespace gyges::mcp
