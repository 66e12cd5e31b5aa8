#include "agent_runtime/episode/terminal_person.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>

#include <thread>

#include "base/text.h"

namespace gyges::episode {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;
using Action = ToolDecision::Action;

// Answers each prompt as it is shown, like somebody who reads before typing.
class Typist {
 public:
  Typist(int shown, int typed, std::vector<std::string> answers)
      : thread_([=, this] {
          std::size_t next = 0;
          std::size_t from = 0;
          std::array<char, 4096> bytes;
          for (ssize_t n = 0; (n = ::read(shown, bytes.data(), bytes.size())) > 0;) {
            seen_.append(bytes.data(), static_cast<std::size_t>(n));
            for (std::size_t at = 0;
                 next < answers.size() && (at = seen_.find("all: ", from)) != std::string::npos;
                 from = at + 1)
              EXPECT_TRUE(write_all(typed, answers[next++]));
          }
        }) {}
  // When the other end of `shown` is closed.
  std::string seen() {
    thread_.join();
    return seen_;
  }

 private:
  std::string seen_;
  std::thread thread_;
};

class TerminalPersonTest : public ::testing::Test {
 protected:
  void SetUp() override { shown_ = std::move(*make_pipe()); }

  ToolDecision decide(TerminalPerson& person, milliseconds patience = std::chrono::seconds(60),
                      const std::string& name = "bash") {
    model::ToolCall call;
    call.call = 1;
    call.name = name;
    call.arguments = "{\"command\":\"" + std::string(9000, 'x') + "rm -r /\"}";
    GateRule rule;
    rule.name = "r";
    PendingCall pending{call, "because", {}, {}};
    auto answer = person.decide({pending, rule, "", std::chrono::steady_clock::now() + patience});
    EXPECT_TRUE(answer) << answer.error().line();
    ToolDecision none;
    none.approver = "nobody";
    return answer && *answer ? **answer : none;
  }

  Pipe shown_;
};

// At a terminal, what was typed before the question was there is no answer to it.
TEST_F(TerminalPersonTest, WordsTypedAheadApproveNothing) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  UniqueFd keep_master(master);
  UniqueFd keep_slave(slave);
  ASSERT_TRUE(write_all(master, "y\ny\n"));
  pollfd there{slave, POLLIN, 0};
  ASSERT_EQ(::poll(&there, 1, 60000), 1) << "the early answer has arrived";
  TerminalPerson person(slave, shown_.write.get());
  Typist typist(shown_.read.get(), master, {"n no\n", "y\n"});
  ToolDecision first = decide(person);
  EXPECT_EQ(first.action, Action::reject);
  EXPECT_EQ(first.reason, "no");
  EXPECT_EQ(decide(person).action, Action::approve) << "the positive control";
  shown_.write.reset();
  typist.seen();
}

TEST_F(TerminalPersonTest, AnAnswerThatComesTooLateIsNotTakenForTheNextQuestion) {
  Pipe typed = std::move(*make_pipe());
  TerminalPerson person(typed.read.get(), shown_.write.get());
  EXPECT_EQ(decide(person, milliseconds(20)).approver, "nobody");
  ASSERT_TRUE(write_all(typed.write.get(), "y\n"));
  // The first prompt stands in the pipe as well; only the second is answered.
  Typist typist(shown_.read.get(), typed.write.get(), {"", "n late\n"});
  ToolDecision second = decide(person);
  EXPECT_EQ(second.action, Action::reject);
  EXPECT_EQ(second.reason, "late");
  shown_.write.reset();
  typist.seen();
}

TEST_F(TerminalPersonTest, AnswersInAPipeAreTakenInTheirOrder) {
  Pipe typed = std::move(*make_pipe());
  ASSERT_TRUE(write_all(typed.write.get(), "n a\ny\nan answer\n"));
  TerminalPerson person(typed.read.get(), shown_.write.get());
  EXPECT_EQ(decide(person).reason, "a");
  EXPECT_EQ(decide(person).action, Action::approve);
  auto said = person.ask({"What?", std::chrono::steady_clock::now() + std::chrono::seconds(60)});
  ASSERT_TRUE(said && *said);
  EXPECT_EQ(**said, "an answer");
}

TEST_F(TerminalPersonTest, ShowsAllOfALongCallOnRequest) {
  Pipe typed = std::move(*make_pipe());
  TerminalPerson person(typed.read.get(), shown_.write.get());
  Typist typist(shown_.read.get(), typed.write.get(), {"s\n", "n\n"});
  EXPECT_EQ(decide(person, std::chrono::seconds(60), std::string(1U << 20U, 'n')).action,
            Action::reject);
  shown_.write.reset();
  std::string seen = typist.seen();
  std::size_t more = seen.find("bytes more]");
  EXPECT_NE(more, std::string::npos);
  EXPECT_THAT(seen.substr(0, seen.find("[s]how all")), Not(HasSubstr("rm -r")));
  EXPECT_THAT(seen, HasSubstr("rm -r /"));
  EXPECT_LT(seen.size(), 20000U) << "a name of a mebibyte is cut";
}

}  // namespace
}  // namespace gyges::episode
