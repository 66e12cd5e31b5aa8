#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/text.h"
#include "tests/tools/tools_fixture.h"

namespace gyges::tools {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using Clock = std::chrono::steady_clock;

TEST_F(ToolsTest, BashReturnsOutputAndStatus) {
  ToolResult result = bash("echo out; echo err >&2; pwd; id -u; exit 3");
  EXPECT_EQ(result.output, "out\nerr\n/home/user\n1000\n[exit status 3]");
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_TRUE(result.failed());
  EXPECT_FALSE(result.error);
  EXPECT_FALSE(result.truncated);
}

TEST_F(ToolsTest, BashSaysWhichSignalEndedIt) {
  ToolResult result = bash("kill -SEGV $$");
  EXPECT_EQ(result.signal, 11);
  EXPECT_THAT(result.output, HasSubstr("signal 11"));
}

TEST_F(ToolsTest, OutputIsValidUtf8) {
  EXPECT_EQ(bash(R"(printf 'a\377b\n')").output,
            "a\xEF\xBF\xBD"
            "b\n");
}

TEST_F(ToolsTest, TimeoutKillsTheWholeGroup) {
  timeout_ = std::chrono::seconds(1);
  auto begin = Clock::now();
  ToolResult result = bash("echo begun; sleep 1000 & sleep 1000; echo never");
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->type, "timeout");
  EXPECT_EQ(result.output, "begun\n[stopped after 1 seconds]");
  EXPECT_EQ(bash("pgrep -c sleep").output, "0\n[exit status 1]");
}

TEST_F(ToolsTest, TheAgentMayAskForLessTimeButNotMore) {
  ToolResult result = call("bash", R"({"command":"sleep 100","timeout_seconds":1})");
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->type, "timeout");
  timeout_ = std::chrono::seconds(1);
  auto begin = Clock::now();
  call("bash", R"({"command":"sleep 100","timeout_seconds":50})");
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(ToolsTest, TheDeadlineOfTheEpisodeCountsToo) {
  start();
  episode_ = std::chrono::milliseconds(300);
  auto begin = Clock::now();
  EXPECT_TRUE(bash("sleep 100").error);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
}

TEST_F(ToolsTest, BackgroundProcessesDoNotHoldTheCall) {
  auto begin = Clock::now();
  ToolResult result = bash("sleep 300 & echo done");
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(result.output, "done\n");
  EXPECT_EQ(bash("pgrep -c sleep").output, "1\n");
}

TEST_F(ToolsTest, AGigabyteOfOutputIsCutInTheMiddleAndRecorded) {
  output_bytes_ = 4096;
  timeout_ = std::chrono::seconds(30);
  ToolResult result =
      bash("echo first; head -c 1073741824 /dev/zero | tr '\\0' x; echo; echo last");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_TRUE(result.truncated);
  EXPECT_LT(result.output.size(), 4200U);
  EXPECT_THAT(result.output, ::testing::StartsWith("first\nxxx"));
  EXPECT_THAT(result.output, ::testing::EndsWith("xxx\nlast\n"));
  EXPECT_THAT(result.output, HasSubstr("bytes left out"));
  auto hits = sandbox_->limits_hit();
  ASSERT_THAT(hits, SizeIs(1));
  EXPECT_EQ(hits[0].limit, "output_bytes");
  EXPECT_THAT(hits[0].detail, HasSubstr("1073741836 bytes"));
}

TEST_F(ToolsTest, EndlessOutputStopsAtTheTimeout) {
  timeout_ = std::chrono::seconds(1);
  ToolResult result = bash("yes");
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->type, "timeout");
  EXPECT_TRUE(result.truncated);
}

TEST_F(ToolsTest, WritesAndReadsFiles) {
  std::string big;
  for (int i = 1; i <= 60000; ++i) big += "line " + std::to_string(i) + "\n";
  ToolResult written = call("write_file", json{{"path", "~/a/b/c.txt"}, {"content", big}}.dump());
  EXPECT_EQ(written.output, "Wrote " + std::to_string(big.size()) + " bytes.");
  EXPECT_EQ(bash("wc -c < a/b/c.txt").output, std::to_string(big.size()) + "\n");
  EXPECT_EQ(call("read_file", R"({"path":"a/b/c.txt","first_line":2,"lines":2})").output,
            "line 2\nline 3\n");
  EXPECT_EQ(call("read_file", R"({"path":"~/a/b/c.txt","first_line":60000})").output,
            "line 60000\n");
  EXPECT_TRUE(call("read_file", R"({"path":"/home/user/a/b/c.txt"})").truncated);
  EXPECT_EQ(call("write_file", R"({"path":"/tmp/empty","content":""})").output, "Wrote 0 bytes.");
  EXPECT_EQ(bash("stat -c %s /tmp/empty").output, "0\n");
  EXPECT_THAT(call("list_dir", R"({"path":"a/b"})").output, HasSubstr("c.txt"));
}

TEST_F(ToolsTest, AWriterThatDoesNotReadItsInputHangsNothing) {
  std::string big(8U << 20U, 'x');
  ToolResult result = call("write_file", json{{"path", "/proc/version"}, {"content", big}}.dump());
  EXPECT_TRUE(result.failed());
  EXPECT_THAT(result.output, HasSubstr("/proc/version"));
}

TEST_F(ToolsTest, FailuresOfFilesAreForTheModel) {
  ToolResult missing = call("read_file", R"({"path":"/no/such"})");
  EXPECT_TRUE(missing.failed());
  EXPECT_THAT(missing.output, HasSubstr("No such file or directory"));
  EXPECT_TRUE(call("write_file", R"({"path":"/usr/x","content":"y"})").failed());
  EXPECT_TRUE(call("list_dir", R"({"path":"-la"})").failed());
}

TEST_F(ToolsTest, PathsAreNeverOptionsOrCommands) {
  EXPECT_EQ(call("write_file", R"({"path":"$(touch pwned); -x","content":"1"})").output,
            "Wrote 1 bytes.");
  EXPECT_EQ(bash("ls").output, "$(touch pwned); -x\n");
}

TEST_F(ToolsTest, BadArgumentsAreAResult) {
  struct Case {
    const char* tool;
    const char* arguments;
    const char* type;
  };
  for (const Case& one :
       {Case{"bash", "{}", "arguments"}, Case{"bash", "nonsense", "arguments"},
        Case{"bash", "[]", "arguments"}, Case{"bash", R"({"command":5})", "arguments"},
        Case{"bash", R"({"command":"x","shell":"zsh"})", "arguments"},
        Case{"bash", "{\"command\":\"a\\u0000b\"}", "arguments"},
        Case{"read_file", R"({"path":"x","first_line":0})", "arguments"},
        Case{"read_file", "{\"path\":\"a\\u0000b\"}", "arguments"},
        Case{"submit", R"({"report":null})", "arguments"}, Case{"launch", "{}", "unknown_tool"}}) {
    ToolResult result = call(one.tool, one.arguments);
    ASSERT_TRUE(result.error) << one.arguments;
    EXPECT_EQ(result.error->type, one.type) << one.arguments;
    EXPECT_NE(result.output, "");
  }
}

TEST_F(ToolsTest, SubmitCarriesTheReport) {
  ToolResult result = call("submit", R"({"report":"all done"})");
  EXPECT_EQ(result.report.value_or(""), "all done");
}

TEST_F(ToolsTest, AForkBombRunsIntoTheLimitAndEndsWithTheSandbox) {
  policy_.limits.processes = 40;
  timeout_ = std::chrono::seconds(2);
  // The shell waits without a process; how fast others multiply is the machine's.
  bash("exec 3<> <(:); :(){ :|:& };:; read -rt 1.5 -u 3");
  bash("echo hello");
  auto end = sandbox_->stop("");
  ASSERT_TRUE(end) << end.error().line();
  std::vector<std::string> limits;
  for (const auto& hit : end->limits_hit) limits.push_back(hit.limit);
  EXPECT_THAT(limits, ::testing::Contains("processes"));
}

TEST_F(ToolsTest, ALostSandboxIsSaid) {
  policy_.limits.wall_seconds = 1;
  ToolResult result = bash("sleep 100");
  EXPECT_TRUE(result.sandbox_lost);
  ASSERT_TRUE(result.error);
  EXPECT_TRUE(bash("echo hello").failed());
}

TEST(Tools, SchemasAreValidAndDescribeEveryArgument) {
  EXPECT_THAT(tool_names(), SizeIs(15));
  for (auto name : tool_names()) {
    const Tool* tool = find_tool(name);
    json schema = json::parse(tool->parameters());
    EXPECT_EQ(schema.at("type"), "object");
    EXPECT_EQ(schema.at("additionalProperties"), false);
    for (const auto& [argument, value] : schema.at("properties").items())
      EXPECT_NE(value.value("description", ""), "") << name << " " << argument;
  }
}

}  // namespace
}  // namespace gyges::tools
