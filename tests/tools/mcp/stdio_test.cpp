#include "tools/mcp/stdio_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "tests/tools/mcp/fake_service.h"

namespace gyges::mcp {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class StdioTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto in = make_pipe();
    auto out = make_pipe();
    ASSERT_TRUE(in && out);
    in_ = std::move(*in);
    out_ = std::move(*out);
    stop_.reset(::eventfd(0, EFD_CLOEXEC));
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    stop();
    thread_.join();
  }
  void serve(StdioLimits limits = {}) {
    thread_ = std::thread([this, limits] {
      status_ = serve_stdio(service_, {in_.read.get(), out_.write.get(), stop_.get()}, limits);
      out_.write.reset();
    });
  }
  void stop() const {
    std::uint64_t one = 1;
    ASSERT_EQ(::write(stop_.get(), &one, sizeof one), 8);
  }
  void send(const std::string& line) { ASSERT_TRUE(write_all(in_.write.get(), line + "\n")); }
  // The next line; empty at the end of output or after 20 s.
  std::string line() {
    while (read_.find('\n') == std::string::npos) {
      pollfd fd{out_.read.get(), POLLIN, 0};
      char chunk[4096];
      if (::poll(&fd, 1, 20'000) <= 0) return {};
      ssize_t n = ::read(out_.read.get(), chunk, sizeof chunk);
      if (n <= 0) return {};
      read_.append(chunk, static_cast<std::size_t>(n));
    }
    std::string first = read_.substr(0, read_.find('\n'));
    read_.erase(0, first.size() + 1);
    return first;
  }
  json message() {
    std::string text = line();
    EXPECT_FALSE(text.empty());
    return json::parse(text, nullptr, false);
  }
  void begin() {
    serve();
    send(initialize_text());
    ASSERT_EQ(message().at("result").at("protocolVersion"), "2025-11-25");
  }

  FakeService service_;
  Pipe in_;
  Pipe out_;
  UniqueFd stop_;
  std::string read_;
  Status status_;
  std::thread thread_;
};

TEST_F(StdioTest, CallsAreAnsweredAndTheEndOfInputEndsTheSession) {
  begin();
  send(call_text(1, "echo", {{"a", "\n"}}));
  json reply = message();
  EXPECT_EQ(reply.at("id"), 1);
  EXPECT_EQ(reply.at("result").at("echo").at("a"), "\n");
  EXPECT_EQ(service_.opened, 1);
  in_.write.reset();
  thread_.join();
  EXPECT_TRUE(status_);
  EXPECT_EQ(service_.closed, 1);
}

TEST_F(StdioTest, CallsThatRunWhenTheInputEndsAreStillAnswered) {
  serve();
  std::string all = initialize_text() + "\n";
  for (int i = 1; i <= 5; ++i) all += call_text(i, "echo") + "\n";
  ASSERT_TRUE(write_all(in_.write.get(), all));
  in_.write.reset();
  std::set<int> ids;  // calls run side by side
  for (int i = 0; i <= 5; ++i) ids.insert(message().at("id").get<int>());
  EXPECT_EQ(ids, (std::set<int>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(line(), "");
}

TEST_F(StdioTest, ACancelledCallIsStoppedAndNotAnswered) {
  begin();
  send(call_text("slow", "wait"));
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"slow"}})");
  send(call_text(2, "echo"));
  EXPECT_EQ(message().at("id"), 2);
  EXPECT_EQ(service_.cancelled, 1);
}

TEST_F(StdioTest, AStormOfCallsAndCancellationsLeavesTheServerAsItWas) {
  begin();
  for (int i = 0; i < 2000; ++i) {
    std::string id = std::to_string(i);
    send(call_text(i, i % 2 == 0 ? "wait" : "echo"));
    send(R"({"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":)" + id +
         "}}");
  }
  send(R"({"jsonrpc":"2.0","id":"last","method":"ping"})");
  json reply;
  do reply = message();
  while (reply.is_object() && reply.value("id", json()) != "last");
  EXPECT_TRUE(reply.contains("result"));
  EXPECT_TRUE(eventually([&] { return service_.waiting == service_.cancelled; }));
}

TEST_F(StdioTest, TooManyWaitingCallsAreRefused) {
  StdioLimits limits;
  limits.calls = {1, 3};
  serve(limits);
  send(initialize_text());
  message();
  send(call_text(1, "wait"));
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  for (int i = 2; i <= 5; ++i) send(call_text(i, "echo"));
  json refused = message();
  EXPECT_EQ(refused.at("error").at("code"), 429);
  EXPECT_EQ(refused.at("id"), 5);
}

TEST_F(StdioTest, ASlowCallHoldsNoQuickOne) {
  begin();
  send(call_text("slow", "wait"));
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  send(call_text(2, "echo"));
  EXPECT_EQ(message().at("id"), 2);
  EXPECT_EQ(service_.cancelled, 0);
}

TEST_F(StdioTest, TheSameIdTwiceIsRefused) {
  begin();
  send(call_text(1, "wait"));
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  send(call_text(1, "echo"));
  EXPECT_EQ(message().at("error").at("code"), -32600);
}

TEST_F(StdioTest, GarbageIsAnsweredByErrorsAndTheSessionGoesOn) {
  begin();
  send(std::string("\0\xff\x1b[31m{{{{", 11));
  EXPECT_EQ(message().at("error").at("code"), -32700);
  send(std::string(100'000, '['));
  EXPECT_EQ(message().at("error").at("code"), -32600);
  send("");
  send("[]");
  EXPECT_EQ(message().at("error").at("code"), -32600);
  send(call_text(3, "echo"));
  EXPECT_EQ(message().at("id"), 3);
}

TEST_F(StdioTest, ALineThatIsTooLongIsLeftOut) {
  StdioLimits limits;
  limits.line_bytes = 1000;
  serve(limits);
  send(initialize_text());
  message();
  send(std::string(300'000, 'x'));
  EXPECT_THAT(message().at("error").at("message"), HasSubstr("longer than 1000"));
  send(call_text(1, "echo"));
  EXPECT_EQ(message().at("id"), 1);
}

TEST_F(StdioTest, ASignalEndsTheSessionAndWhatRuns) {
  begin();
  send(call_text(1, "wait"));
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  stop();
  thread_.join();
  EXPECT_EQ(service_.cancelled, 1);
  EXPECT_EQ(service_.closed, 1);
}

TEST_F(StdioTest, AClientThatNeverReadsIsLeft) {
  StdioLimits limits;
  limits.unsent_bytes = 1U << 20U;
  serve(limits);
  send(initialize_text());
  send(call_text(1, "chatty"));  // 20 MB
  thread_.join();
  EXPECT_EQ(service_.closed, 1);
}

TEST_F(StdioTest, AClientThatVanishesEndsTheSession) {
  begin();
  send(call_text(1, "wait"));
  ASSERT_TRUE(eventually([&] { return service_.waiting == 1; }));
  in_.write.reset();
  out_.read.reset();
  thread_.join();
  EXPECT_EQ(service_.cancelled, 1);
  EXPECT_EQ(service_.closed, 1);
}

TEST_F(StdioTest, ASessionThatHasEndedMakesRoomForANewOne) {
  begin();
  send(call_text(1, "end"));
  EXPECT_EQ(message().at("id"), 1);
  // The client is told of it, before the next call is answered.
  EXPECT_EQ(message().at("method"), "notifications/message");
  send(call_text(2, "echo"));
  EXPECT_EQ(message().at("id"), 2);
  EXPECT_EQ(service_.opened, 2);
  EXPECT_EQ(service_.closed, 1);
}

TEST_F(StdioTest, StatelessRequestsNeedNoBeginning) {
  serve();
  json params{{"name", "echo"},
              {"_meta",
               {{"io.modelcontextprotocol/protocolVersion", "2026-07-28"},
                {"io.modelcontextprotocol/clientCapabilities", json::object()}}}};
  send(json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", "tools/call"}, {"params", params}}.dump());
  EXPECT_EQ(message().at("result").at("resultType"), "complete");
}

}  // namespace
}  // namespace gyges::mcp
