// bash_session: what carries over, what does not, and how a session ends.
#include <gmock/gmock.h>

#include "base/json.h"
#include "tests/tools/tools_fixture.h"
#include "tools/shell_session.h"

namespace gyges::tools {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class SessionTest : public ToolsTest {
 protected:
  ToolResult shell(const std::string& command) {
    return call("bash_session", json{{"command", command}}.dump());
  }
};

TEST_F(SessionTest, StateCarriesOver) {
  EXPECT_EQ(shell("cd /tmp; x=5; f() { echo \"f $1\"; }; export Y=z").output, "");
  EXPECT_EQ(shell("pwd; echo $x; f 1; sh -c 'echo $Y'").output, "/tmp\n5\nf 1\nz\n");
  // The positive control: one shell per call forgets.
  EXPECT_EQ(bash("pwd; echo [$x]").output, "/home/user\n[]\n");
}

TEST_F(SessionTest, StatusAndOutputBelongToTheCommand) {
  ToolResult failed = shell("echo out; echo err >&2; false");
  EXPECT_EQ(failed.output, "out\nerr\n[exit status 1]");
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(shell("true").output, "");
  EXPECT_TRUE(shell("if").failed()) << "a syntax error does not end the shell";
  EXPECT_EQ(shell("echo still; echo '[exit status 9]'").output, "still\n[exit status 9]\n");
  EXPECT_TRUE(state_.shell->alive());
}

TEST_F(SessionTest, CommandsOfAnyShapeAndSize) {
  EXPECT_EQ(shell("cat <<'E'\na\n'\"$x\\\nE\necho æøå | wc -c").output, "a\n'\"$x\\\n7\n");
  std::string big = "x='" + std::string(300000, 'y') + "'; echo ${#x}";
  EXPECT_EQ(shell(big).output, "300000\n");
  EXPECT_EQ(shell("read a; echo \"[$a]\"; cat; echo end").output, "[]\nend\n")
      << "what a command reads is not the next command";
  EXPECT_EQ(shell("ls -l /proc/self/fd | grep -c pipe").output, "2\n")
      << "the channels of the session are not open in what it starts";
}

TEST_F(SessionTest, TheTimeoutEndsTheShellAndTheNextCallStartsAnother) {
  timeout_ = std::chrono::seconds(1);
  shell("x=5");
  ToolResult result = shell("echo begun; sleep 1000");
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.error->type, "timeout");
  EXPECT_THAT(result.output, HasSubstr("begun\n[stopped after 1 seconds; the shell was ended"));
  timeout_ = std::chrono::seconds(10);
  EXPECT_EQ(shell("echo \"[$x]\"; pgrep -c sleep").output, "[]\n0\n[exit status 1]");
}

TEST_F(SessionTest, AShellThatLeavesIsReported) {
  EXPECT_EQ(shell("echo a; exit 3").output, "a\n[the shell has ended with status 3]");
  EXPECT_EQ(shell("echo b").output, "b\n");
  EXPECT_EQ(shell("kill -9 $$").output, "[the shell was ended by signal 9]");
  EXPECT_EQ(shell("echo c").output, "c\n");
  EXPECT_EQ(shell("exec true").output, "[the shell has ended with status 0]");
}

TEST_F(SessionTest, Restart) {
  shell("x=5");
  EXPECT_THAT(call("bash_session", R"({"restart":true})").output, HasSubstr("ended"));
  EXPECT_EQ(call("bash_session", R"({"restart":true,"command":"echo [$x]"})").output, "[]\n");
  EXPECT_EQ(call("bash_session", "{}").error->type, "arguments");
}

TEST_F(SessionTest, BackgroundJobsDoNotHoldTheCall) {
  EXPECT_EQ(shell("sleep 300 & echo done").output, "done\n");
  EXPECT_EQ(shell("jobs -r | wc -l").output, "1\n");
}

TEST_F(SessionTest, MuchOutputIsCutAndTheSessionGoesOn) {
  output_bytes_ = 4096;
  ToolResult result = shell("head -c 20000000 /dev/zero | tr '\\0' x; echo last");
  EXPECT_TRUE(result.truncated);
  EXPECT_THAT(result.output, ::testing::EndsWith("xlast\n"));
  EXPECT_EQ(result.output_total, 20000005U);
  EXPECT_EQ(shell("echo on").output, "on\n");
}

}  // namespace
}  // namespace gyges::tools
