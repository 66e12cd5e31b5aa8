// Sessions in real sandboxes, and what their bundles hold.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "agent_runtime/mcp/recorded_sessions.h"
#include "base/files.h"
#include "sandbox/recorder/format/bundle.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/recorder.h"
#include "tests/tools/mcp/fake_service.h"
#include "tools/mcp/call_link.h"

namespace gyges::mcp {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SilentLink final : public CallLink {
 public:
  SilentLink() : CallLink(std::make_shared<OpenQuestions>()) {}
  std::vector<std::string> sent;

 protected:
  void send(std::string text) override { sent.push_back(std::move(text)); }
};

class SessionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("mcp_session");
    ASSERT_TRUE(directory);
    directory_.emplace(std::move(*directory));
    auto policy = isolation::load_policy("default");
    ASSERT_TRUE(policy);
    options_.policy = *policy;
    options_.workspace = directory_->path() / "work";
    options_.records = directory_->path() / "runs";
    fs::create_directories(options_.workspace);
    fs::create_directories(options_.records);
    options_.warm = 1;
  }
  // False where this host has no sandboxes; the test has been skipped then.
  bool start() {
    auto opened = recorder::Recorder::open(std::nullopt, {});
    if (opened) recorder_ = std::move(*opened);
    auto made = RecordedSessions::create(options_, recorder_.get());
    if (!made && (made.error().code == EPERM || made.error().code == ENOSYS)) {
      [&] { GTEST_SKIP() << made.error().line(); }();
      return false;
    }
    EXPECT_TRUE(made) << made.error().line();
    if (!made) return false;
    service_ = std::move(*made);
    return true;
  }
  std::unique_ptr<Session> open() {
    ClientInfo client;
    client.name = "test/../client";
    client.transport = "stdio";
    auto session = service_->open(client);
    EXPECT_TRUE(session) << session.error().line();
    return session ? std::move(*session) : nullptr;
  }
  static Request request(const std::string& tool, const json& arguments) {
    Request request;
    request.id = "7";
    request.method = "tools/call";
    request.params = std::make_shared<const json>(
        json{{"name", tool},
             {"arguments", arguments},
             {"_meta", {{"claudecode/toolUseId", "toolu_1"}, {"secret", "sk-never-recorded"}}}});
    return request;
  }
  static json call(Session& session, const std::string& tool, const json& arguments) {
    SilentLink link;
    Answer answer = session.call(request(tool, arguments), link);
    EXPECT_FALSE(answer.fault) << answer.fault->message;
    return json::parse(answer.result);
  }
  static std::string text_of(const json& result) { return result.at("content").at(0).at("text"); }
  fs::path bundle() {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(options_.records)) found.push_back(entry);
    EXPECT_EQ(found.size(), 1U);
    return found.empty() ? fs::path() : found.front();
  }

  std::optional<TemporaryDirectory> directory_;
  SessionOptions options_;
  std::unique_ptr<recorder::Recorder> recorder_;
  std::unique_ptr<RecordedSessions> service_;
};

TEST_F(SessionTest, ClientsAreToldTheNameThatIsWanted) {
  options_.server_name = "the \"works\" tools";
  if (!start()) return;
  const std::string info = service_->server_info();
  EXPECT_EQ(json::parse(info).at("name"), options_.server_name);
  EXPECT_EQ(info.find("gyges"), std::string::npos);
}

TEST_F(SessionTest, CallsShareASandboxAndLeaveASealedBundle) {
  std::ofstream(options_.workspace / "there.txt") << "from the host\n";
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  EXPECT_EQ(text_of(call(*session, "bash", {{"command", "cat there.txt; echo new > made.txt"}})),
            "from the host\n");
  EXPECT_EQ(text_of(call(*session, "read_file", {{"path", "made.txt"}})), "new\n");
  json failed = call(*session, "bash", {{"command", "exit 3"}});
  EXPECT_EQ(failed.at("isError"), true);
  EXPECT_TRUE(session->alive());
  session.reset();
  EXPECT_FALSE(fs::exists(options_.workspace / "made.txt"));

  fs::path run = bundle();
  auto faults = recorder::verify_bundle(run);
  ASSERT_TRUE(faults) << faults.error().line();
  EXPECT_THAT(*faults, IsEmpty());
  json document = json::parse(*read_file(run / "run.json"));
  EXPECT_EQ(document.at("kind"), "mcp_session");
  EXPECT_EQ(document.at("client").at("calls"), 3);
  EXPECT_EQ(document.at("client").at("name"), "test/../client");
  EXPECT_EQ(document.at("exit").at("kind"), "agent_stopped");
  std::istringstream lines(*read_file(run / "transcript.jsonl"));
  std::vector<std::string> types;
  for (std::string line; std::getline(lines, line);) {
    json one = json::parse(line);
    types.push_back(one.at("type"));
    if (one.at("type") == "tool_requested") {
      EXPECT_EQ(one.at("id"), "toolu_1");
    }
  }
  EXPECT_EQ(types.size(), 10U);
  EXPECT_EQ(types.back(), "end");
  for (const auto& entry : fs::recursive_directory_iterator(run))
    if (entry.is_regular_file()) {
      EXPECT_EQ(read_file(entry.path())->find("sk-never-recorded"), std::string::npos)
          << entry.path();
    }
  if (!recorder_) GTEST_SKIP() << "system calls are not looked at: no recorder on this host";
  auto reader = recorder::TraceReader::open(run / "trace.gyt");
  ASSERT_TRUE(reader) << reader.error().line();
  std::set<std::uint32_t> origins;
  std::uint64_t calls = 0;
  auto read = reader->for_each([&](const recorder::Event& event) {
    if (event.kind != recorder::EventKind::syscall) return true;
    origins.insert(event.origin_call);
    ++calls;
    return true;
  });
  EXPECT_TRUE(read) << read.error().line();
  EXPECT_GT(calls, 50U);
  EXPECT_EQ(origins, (std::set<std::uint32_t>{1, 2, 3}));
}

TEST_F(SessionTest, CallsRunSideBySideAndEachIsJoinedToItsProcesses) {
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  // The first ends only because the second runs beside it.
  std::string held;
  std::thread slow([&] {
    held = text_of(call(*session, "bash",
                        {{"command", "until [ -e go ]; do sleep 0.02; done; env echo held"}}));
  });
  EXPECT_EQ(text_of(call(*session, "bash", {{"command", "env printf quick; touch go"}})), "quick");
  slow.join();
  EXPECT_EQ(held, "held\n");
  session.reset();
  if (!recorder_) GTEST_SKIP() << "system calls are not looked at: no recorder on this host";
  auto reader = recorder::TraceReader::open(bundle() / "trace.gyt");
  ASSERT_TRUE(reader) << reader.error().line();
  std::map<std::string, std::set<std::uint32_t>> programs;  // which calls executed them
  auto read = reader->for_each([&](const recorder::Event& event) {
    if (event.kind != recorder::EventKind::process_exec) return true;
    for (const auto& capture : event.captures)
      if (capture.kind == recorder::CaptureKind::file_identity)
        programs[std::string(capture.bytes.substr(capture.bytes.rfind('/') + 1))].insert(
            event.origin_call);
    return true;
  });
  EXPECT_TRUE(read) << read.error().line();
  // Which of the two was the first is not said.
  ASSERT_EQ(programs["touch"].size(), 1U);
  std::uint32_t quick = *programs["touch"].begin();
  EXPECT_TRUE(quick == 1 || quick == 2);
  EXPECT_EQ(programs["printf"], programs["touch"]);
  EXPECT_EQ(programs["echo"], (std::set<std::uint32_t>{3 - quick}));
  for (std::uint32_t label : programs["sleep"]) EXPECT_EQ(label, 3 - quick);
}

TEST_F(SessionTest, ManyCallsAtOnceAreAllAnswered) {
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        std::string words = std::to_string(t) + "-" + std::to_string(i);
        json result = call(*session, "bash", {{"command", "echo " + words}});
        right += text_of(result) == words + "\n" ? 1 : 0;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 60);
  session.reset();
  json document = json::parse(*read_file(bundle() / "run.json"));
  EXPECT_EQ(document.at("client").at("calls"), 60);
  auto faults = recorder::verify_bundle(bundle());
  ASSERT_TRUE(faults) << faults.error().line();
  EXPECT_THAT(*faults, IsEmpty());
}

TEST_F(SessionTest, LongOutputsOfCallsAtOnceAreKeptApart) {
  options_.output_bytes = 1024;
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  std::vector<std::thread> threads;
  for (int t = 1; t <= 4; ++t)
    threads.emplace_back([&, t] {
      std::string command = "for i in 1 2 3; do yes " + std::to_string(t) + " | head -n 5000; done";
      call(*session, "bash", {{"command", command}});
    });
  for (std::thread& thread : threads) thread.join();
  session.reset();
  std::set<std::string> kept;
  for (const auto& entry : fs::directory_iterator(bundle() / "blobs")) {
    std::string bytes = *read_file(entry.path());
    EXPECT_EQ(bytes.size(), 30'000U);
    kept.insert(bytes.substr(0, 2));
    EXPECT_EQ(bytes.find_first_not_of(bytes.substr(0, 2)), std::string::npos);
  }
  EXPECT_EQ(kept, (std::set<std::string>{"1\n", "2\n", "3\n", "4\n"}));
}

TEST_F(SessionTest, ASandboxThatEndsWhileNobodyCallsEndsItsSession) {
  options_.policy.limits.wall_seconds = 1;
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  call(*session, "bash", {{"command", "true"}});
  EXPECT_TRUE(eventually([&] { return !session->alive(); }));
  session.reset();
  json document = json::parse(*read_file(bundle() / "run.json"));
  EXPECT_EQ(document.at("exit").at("kind"), "time_limit");
}

TEST_F(SessionTest, FlowsOfSandboxesMadeAheadGoToTheBundleOfTheirSession) {
  options_.policy.network.mode = network::NetworkPolicy::Mode::gateway;
  options_.warm = 2;
  if (!start()) return;
  auto one = open();
  auto two = open();
  auto three = open();  // more than were made ahead
  ASSERT_TRUE(one && two && three);
  int number = 0;
  for (Session* session : {one.get(), two.get(), three.get()})
    call(*session, "bash",
         {{"command", "(echo > /dev/tcp/192.0.2." + std::to_string(++number) + "/80) 2>&1"}});
  one.reset();
  two.reset();
  three.reset();
  std::set<std::string> reached;
  for (const auto& entry : fs::directory_iterator(options_.records)) {
    std::istringstream flows(*read_file(entry.path() / "flows.jsonl"));
    std::set<std::string> of_session;
    for (std::string line; std::getline(flows, line);)
      of_session.insert(json::parse(line).at("destination"));
    EXPECT_EQ(of_session.size(), 1U);
    reached.insert(of_session.begin(), of_session.end());
  }
  EXPECT_EQ(reached, (std::set<std::string>{"192.0.2.1", "192.0.2.2", "192.0.2.3"}));
}

TEST_F(SessionTest, ToolsWithoutStateHaveNoLane) {
  options_.tools = {"bash", "bash_session", "edit_file", "read_file", "todo"};
  if (!start()) return;
  for (const char* tool : {"bash", "read_file"})
    EXPECT_EQ(service_->lane(request(tool, json::object())), "") << tool;
  for (const char* tool : {"bash_session", "edit_file", "todo"})
    EXPECT_EQ(service_->lane(request(tool, json::object())), tool);
}

TEST_F(SessionTest, SessionsSeeNothingOfEachOtherNorOfTheRecords) {
  if (!start()) return;
  auto one = open();
  auto two = open();
  ASSERT_TRUE(one && two);
  call(*one, "bash", {{"command", "echo mine > /tmp/mine; echo mine > mine"}});
  EXPECT_EQ(text_of(call(*one, "bash", {{"command", "cat /tmp/mine mine"}})), "mine\nmine\n");
  json other = call(*two, "bash", {{"command", "cat /tmp/mine mine 2>/dev/null | wc -c"}});
  EXPECT_EQ(text_of(other), "0\n");
}

TEST_F(SessionTest, ACancelledCallIsKilledAndTheNextOneRuns) {
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  SilentLink link;
  std::thread canceller([&link] {
    ::usleep(200'000);
    link.cancel();
  });
  auto begin = std::chrono::steady_clock::now();
  Answer answer = session->call(request("bash", {{"command", "sleep 1000 & sleep 1000"}}), link);
  canceller.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
  EXPECT_THAT(answer.result, HasSubstr("cancelled"));
  EXPECT_EQ(text_of(call(*session, "bash", {{"command", "pgrep -c sleep"}})), "0\n[exit status 1]");
}

TEST_F(SessionTest, ProgressIsToldWhereItIsWanted) {
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  Request wanted = request("bash", {{"command", "echo begun; sleep 1.5"}});
  wanted.progress_token = "\"t\"";
  SilentLink link;
  EXPECT_EQ(text_of(json::parse(session->call(wanted, link).result)), "begun\n");
  ASSERT_FALSE(link.sent.empty());
  double last = 0;
  for (const std::string& text : link.sent) {
    json params = json::parse(text).at("params");
    EXPECT_EQ(params.at("progressToken"), "t");
    EXPECT_GT(params.at("progress").get<double>(), last);
    last = params.at("progress").get<double>();
  }
}

TEST_F(SessionTest, ArgumentsThatDoNotFitAreSaidAsTheRevisionHasIt) {
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  SilentLink link;
  Request bad = request("bash", {{"comand", "true"}});
  Answer answer = session->call(bad, link);
  EXPECT_FALSE(answer.fault);
  EXPECT_EQ(json::parse(answer.result).at("isError"), true);
  bad.revision = Revision::r2025_06_18;
  answer = session->call(bad, link);
  ASSERT_TRUE(answer.fault);
  EXPECT_EQ(answer.fault->code, Code::invalid_params);
}

TEST_F(SessionTest, TheWallClockEndsASessionThatIsSealedAllTheSame) {
  options_.policy.limits.wall_seconds = 1;
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  json result = call(*session, "bash", {{"command", "sleep 100"}});
  EXPECT_EQ(result.at("isError"), true);
  EXPECT_THAT(text_of(result), HasSubstr("new one"));
  EXPECT_FALSE(session->alive());
  session.reset();
  json document = json::parse(*read_file(bundle() / "run.json"));
  EXPECT_EQ(document.at("exit").at("kind"), "time_limit");
}

TEST_F(SessionTest, SecretsOfTheServerAreMasked) {
  std::ofstream(options_.workspace / "token") << "a-bearer-token-of-some-length\n";
  options_.secrets = {options_.workspace / "token"};
  if (!start()) return;
  auto session = open();
  ASSERT_TRUE(session);
  std::string command = "cat token; ls " + options_.records.string() + " | wc -l";
  std::string text = text_of(call(*session, "bash", {{"command", command}}));
  EXPECT_EQ(text.find("bearer"), std::string::npos) << text;
  EXPECT_THAT(text, HasSubstr("0\n"));
}

TEST_F(SessionTest, UnknownToolsAreAnErrorAtStart) {
  options_.tools = {"bash", "nothing"};
  auto made = RecordedSessions::create(options_, nullptr);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().line(), HasSubstr("nothing"));
}

}  // namespace
}  // namespace gyges::mcp
