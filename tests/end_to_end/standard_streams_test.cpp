// Standard streams that a caller closed, filled or walked away from.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdlib>

#include "base/files.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class StandardStreams : public EndToEnd {
 protected:
  // Runs a line of shell in which $G is the binary; its exit status.
  [[nodiscard]] int shell(const std::string& line) const {
    std::string script = "cd '" + directory_->path().string() + "'; G='" GYGES_BINARY "'; " + line;
    int status = std::system(script.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  [[nodiscard]] std::string text(const std::string& name) const {
    auto bytes = read_file(path(name));
    return bytes ? *bytes : "";
  }
};

TEST_F(StandardStreams, TheRecordOfARunWithoutThemIsIntact) {
  // Were a closed descriptor left free, the trace would take its number and the output.
  std::string run = R"("$G" run --out bundle -- sh -c 'echo out; echo err >&2; cat' )";
  EXPECT_EQ(shell(run + "<&- >&- 2>&-"), 0);
  EXPECT_EQ(shell(R"("$G" verify bundle)"), 0);
  EXPECT_EQ(shell(R"("$G" trace show bundle > shown)"), 0);
  EXPECT_THAT(text("shown"), HasSubstr("\"out\\n\""));
}

TEST_F(StandardStreams, OutputThatDidNotArriveIsAnError) {
  ASSERT_EQ(shell(R"("$G" policy explain > whole)"), 0);
  for (const char* command : {"policy explain", "policy explain --json", "doctor --json",
                              "policy check default", "--help", "--version"}) {
    std::string line = std::string("\"$G\" ") + command;
    EXPECT_EQ(shell(line + " > /dev/full 2> said"), 125) << command;
    EXPECT_THAT(text("said"), HasSubstr("write standard output: ")) << command;
    EXPECT_EQ(shell(line + " >&- 2> said"), 125) << command;
    EXPECT_THAT(text("said"), HasSubstr("write standard output: ")) << command;
  }
}

TEST_F(StandardStreams, OutputOfACommandThatWasLostIsSaidAndRecorded) {
  EXPECT_EQ(shell(R"("$G" run --out full -- echo hello > /dev/full 2> said)"), 0);
  EXPECT_THAT(text("said"), HasSubstr("output of the command was lost: write fd 1: No space left"));
  EXPECT_THAT(text("full/run.json"), HasSubstr("output of the command was lost"));
  EXPECT_EQ(shell(R"("$G" run --out whole -- echo hello > heard 2> said)"), 0);
  EXPECT_EQ(text("heard"), "hello\n");
  EXPECT_THAT(text("whole/run.json"), Not(HasSubstr("was lost")));
}

TEST_F(StandardStreams, AReaderThatHasSeenEnoughIsNone) {
  EXPECT_EQ(shell(R"("$G" policy explain 2> said | head -1 > first)"), 0);
  EXPECT_THAT(text("first"), HasSubstr("policy default"));
  EXPECT_EQ(text("said"), "");
}

}  // namespace
}  // namespace gyges
