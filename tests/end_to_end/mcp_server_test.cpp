// `gyges mcp serve` as a process: clients that vanish, kills, and what is left then.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "base/fd.h"
#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class McpServer : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    fs::create_directories(path("work"));
    // A number that no other test sleeps for finds the processes again.
    static int started = 0;
    token_ = "31539" + std::to_string(::getpid()) + std::to_string(++started);
    auto in = make_pipe();
    auto out = make_pipe();
    ASSERT_TRUE(in && out);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setsid();  // as clients start servers: in a process group of their own
      ::dup2(in->read.get(), 0);
      ::dup2(out->write.get(), 1);
      ::dup2(::open("/dev/null", O_RDWR), 2);
      std::string runs = path("runs").string();
      std::string work = path("work").string();
      ::execl(GYGES_BINARY, GYGES_BINARY, "mcp", "serve", "--out", runs.c_str(), "--workspace",
              work.c_str(), static_cast<char*>(nullptr));
      ::_exit(98);
    }
    to_ = std::move(in->write);
    from_ = std::move(out->read);
    send({{"jsonrpc", "2.0"},
          {"id", 0},
          {"method", "initialize"},
          {"params",
           {{"protocolVersion", "2025-11-25"},
            {"capabilities", json::object()},
            {"clientInfo", {{"name", "test"}, {"version", "1"}}}}}});
    json begun = message();
    ASSERT_TRUE(begun.contains("result")) << begun;
  }
  void TearDown() override {
    if (pid_ > 0) ::kill(-pid_, SIGKILL);
    if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
    // What serves ends with it.
  }
  void send(const json& value) { ASSERT_TRUE(write_all(to_.get(), value.dump() + "\n")); }
  void call(int id, const std::string& command) {
    send({{"jsonrpc", "2.0"},
          {"id", id},
          {"method", "tools/call"},
          {"params", {{"name", "bash"}, {"arguments", {{"command", command}}}}}});
  }
  json message() {
    while (read_.find('\n') == std::string::npos) {
      pollfd fd{from_.get(), POLLIN, 0};
      char chunk[4096];
      if (::poll(&fd, 1, 60'000) <= 0) return {};
      ssize_t n = ::read(from_.get(), chunk, sizeof chunk);
      if (n <= 0) return {};
      read_.append(chunk, static_cast<std::size_t>(n));
    }
    std::string line = read_.substr(0, read_.find('\n'));
    read_.erase(0, line.size() + 1);
    return json::parse(line, nullptr, false);
  }
  // A call that has begun and does not end.
  void begin_endless_call() {
    call(1, "setsid sleep " + token_ + " & sleep " + token_ + "; true");
    ASSERT_TRUE(eventually([&] { return processes_with(token_) >= 3; }, std::chrono::seconds(60)));
    auto text =
        read_file("/proc/" + std::to_string(pid_) + "/task/" + std::to_string(pid_) + "/children");
    ASSERT_TRUE(text);
    server_ = std::atoi(text->c_str());
    ASSERT_GT(server_, 0);
  }
  std::vector<fs::path> bundles() const {
    std::vector<fs::path> found;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(path("runs"), none)) found.push_back(entry);
    return found;
  }
  // Of the one bundle, once there is a seal.
  json sealed_run() {
    bool there =
        eventually([&] { return bundles().size() == 1 && fs::exists(bundles()[0] / "seal.json"); },
                   std::chrono::seconds(60));
    EXPECT_TRUE(there);
    if (!there) return {};
    EXPECT_EQ(gyges({"verify", bundles()[0].string()}).status, 0);
    return read_json(bundles()[0] / "run.json");
  }
  bool nothing_runs() {
    return eventually([&] { return processes_with(token_) == 0; }, std::chrono::seconds(60));
  }
  static bool is_gone(pid_t pid) {
    return eventually([&] { return ::kill(pid, 0) != 0 && errno == ESRCH; },
                      std::chrono::seconds(60));
  }

  std::string token_;
  pid_t pid_ = 0;     // what the client started
  pid_t server_ = 0;  // what serves it
  UniqueFd to_;
  UniqueFd from_;
  std::string read_;
};

TEST_F(McpServer, AClientThatClosesBothEndsInMidCallLeavesASealedRecord) {
  begin_endless_call();
  to_.reset();
  from_.reset();
  json run = sealed_run();
  EXPECT_EQ(run.at("client").at("calls"), 1);
  EXPECT_EQ(run.at("exit").at("kind"), "agent_stopped");
  EXPECT_TRUE(nothing_runs());
  int status = -1;
  EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
  pid_ = 0;
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(McpServer, AClientThatKillsTheServersGroupLeavesASealedRecord) {
  call(0, "echo before");
  EXPECT_THAT(message().dump(), HasSubstr("before"));
  begin_endless_call();
  ::kill(-pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
  json run = sealed_run();
  EXPECT_EQ(run.at("client").at("calls"), 2);
  EXPECT_TRUE(nothing_runs());
  EXPECT_TRUE(is_gone(server_));
}

TEST_F(McpServer, KillNineOfWhatServesLeavesNothingAndABundleThatSaysSo) {
  begin_endless_call();
  ::kill(server_, SIGKILL);
  int status = -1;
  EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
  pid_ = 0;
  EXPECT_EQ(WEXITSTATUS(status), 128 + SIGKILL);
  EXPECT_TRUE(nothing_runs());
  ASSERT_THAT(bundles(), SizeIs(1));
  EXPECT_FALSE(fs::exists(bundles()[0] / "seal.json"));
  Finished verified = gyges({"verify", bundles()[0].string()});
  EXPECT_EQ(verified.status, 125);
  EXPECT_THAT(verified.error, HasSubstr("seal"));
  // What was written until then can be read: the call, and what it did.
  auto transcript = read_file(bundles()[0] / "transcript.jsonl");
  ASSERT_TRUE(transcript);
  EXPECT_THAT(*transcript, HasSubstr(token_));
}

TEST_F(McpServer, ASignalEndsItAndItsRecordIsSealed) {
  begin_endless_call();
  ::kill(pid_, SIGTERM);
  int status = -1;
  EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
  pid_ = 0;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(sealed_run().at("client").at("calls"), 1);
  EXPECT_TRUE(nothing_runs());
}

}  // namespace
}  // namespace gyges
