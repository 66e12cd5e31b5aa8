#include "agent_runtime/gateway/call_book.h"

#include <gtest/gtest.h>

namespace gyges::gateway {
namespace {

// Process 0 is the agent; parents come first.
struct Story {
  std::vector<WireCall> calls;
  std::vector<Process> processes{{-1, 10}};
  std::vector<Execution> executions;

  std::uint32_t process(std::int64_t parent) {
    processes.push_back({parent, static_cast<std::int32_t>(10 + processes.size())});
    return static_cast<std::uint32_t>(processes.size() - 1);
  }
  void exec(std::uint32_t process, std::uint64_t time, std::vector<std::string> argv,
            bool truncated = false) {
    executions.push_back({process, time, std::move(argv), truncated, 0});
  }
  std::vector<ServerProgram> servers;
  Join join() { return join_calls(calls, processes, executions, 0, servers); }
};

TEST(CallJoin, ATreeBelongsToTheCallWhoseCommandItsShellRuns) {
  Story story;
  story.calls = {{1, {"ls -l; sleep 9 &"}, 100, 200}, {2, {"rm x"}, 300, 400}};
  auto shell = story.process(0);
  auto daemon = story.process(shell);
  auto second = story.process(0);
  story.exec(0, 1, {"agent", "-p", "ls -l; sleep 9 &"});  // the prompt holds the command too
  story.exec(shell, 110, {"/bin/bash", "-c", "ls -l; sleep 9 &"});
  story.exec(daemon, 250, {"sleep", "9"});  // after the call ended
  story.exec(second, 310, {"bash", "-c", "rm x"});
  Join join = story.join();
  EXPECT_EQ(join.call_of, (std::vector<std::uint32_t>{0, 1, 1, 2}));
  ASSERT_EQ(join.calls.size(), 2U);
  EXPECT_EQ(join.calls[0].processes, 2U);
  EXPECT_FALSE(join.calls[0].wrapped);
  EXPECT_TRUE(join.undeclared.empty());
}

TEST(CallJoin, WhatTheTraceHasUnderAnotherCallIsNotClaimed) {
  Story story;
  story.calls = {{1, {"ls"}, 100, 0}, {2, {"ls"}, 110, 0}};
  auto one = story.process(0);
  auto other = story.process(0);
  story.exec(one, 120, {"bash", "-c", "ls"});
  story.exec(other, 130, {"bash", "-c", "ls"});
  story.executions[0].label = 2;
  story.executions[1].label = 1;
  EXPECT_EQ(story.join().call_of, (std::vector<std::uint32_t>{0, 2, 1}));
}

TEST(CallBook, AnExecutionIsClaimedOnceWithinTheTimeOfItsCall) {
  CallBook book;
  book.open({1, {"ls -l"}, 100, 0});
  book.open({2, {"ls -l", "pwd"}, 200, 0});
  const std::vector<std::string> shell = {"bash", "-c", "ls -l"};
  EXPECT_EQ(book.claim({90, shell, false}), 0U) << "before it was asked for";
  EXPECT_EQ(book.claim({110, {"ls -l"}, false}), 0U) << "the program's own name is no argument";
  book.close(1, 150);
  EXPECT_EQ(book.claim({160, shell, false}), 0U) << "after its result came back";
  EXPECT_EQ(book.claim({140, shell, false}), 1U) << "shown late";
  EXPECT_EQ(book.claim({145, shell, false}), 0U) << "found already";
  EXPECT_EQ(book.claim({210, {"sh", "-c", "eval 'pwd'"}, false}), 2U);
  EXPECT_EQ(book.claim({211, shell, false}), 2U);
  EXPECT_EQ(book.claim({212, shell, false}), 0U);
}

TEST(CallJoin, ACallOfAServersToolIsCarriedOutByTheServer) {
  Story story;
  story.servers = {{"tracker", {"python3", "-m", "tracker"}}};
  story.calls = {{1, {}, 100, 200, "tracker"}, {2, {}, 300, 400, "tracker"}, {3, {"ls"}, 500, 0}};
  auto server = story.process(0);
  auto helper = story.process(server);
  auto first = story.process(server);
  auto second = story.process(server);
  auto shell = story.process(0);
  auto idle = story.process(server);
  story.exec(server, 10, {"/usr/bin/python3", "-m", "tracker"});
  story.exec(helper, 20, {"uname"});  // at its start, for nobody
  story.exec(first, 110, {"git", "log"});
  story.exec(second, 310, {"sh", "-c", "ls"});  // the server's own, though it looks like call 3
  story.exec(shell, 510, {"bash", "-c", "ls"});
  story.exec(idle, 520, {"sh", "-c", "ls"});
  Join join = story.join();
  EXPECT_EQ(join.call_of, (std::vector<std::uint32_t>{0, 0, 0, 1, 2, 3, 0}));
  ASSERT_EQ(join.servers.size(), 1U);
  ASSERT_EQ(join.calls.size(), 3U);
  EXPECT_TRUE(join.calls[0].by_server);
  EXPECT_EQ(join.calls[0].execution, 0);
  EXPECT_EQ(join.calls[0].processes, 1U);
  EXPECT_FALSE(join.calls[2].by_server);
  ASSERT_EQ(join.undeclared.size(), 2U);
  EXPECT_EQ(story.executions[join.undeclared[0].execution].argv[0], "uname");
  // The trace knows better than the time where two calls are open.
  story.calls[0].answered_ns = 0;
  story.executions[3].label = 1;
  EXPECT_EQ(story.join().call_of[second], 1U);
  // A server that never ran.
  story.servers[0].command = {"node", "x"};
  EXPECT_EQ(story.join().calls[0].execution, -1);
}

TEST(CallJoin, ProgramsAreServersByTheirWholeCommand) {
  const std::vector<std::string> command = {"npx", "server", "--root=/srv"};
  EXPECT_TRUE(runs_command({"/usr/bin/npx", "server", "--root=/srv"}, false, command));
  EXPECT_FALSE(runs_command({"npx", "server"}, false, command));
  EXPECT_FALSE(runs_command({"npx", "server", "--root=/srv", "-v"}, false, command));
  EXPECT_FALSE(runs_command({"node", "server", "--root=/srv"}, false, command));
  EXPECT_TRUE(runs_command({"npx", "server", "--ro"}, true, command)) << "cut in the record";
  EXPECT_FALSE(runs_command({"npx"}, true, command));
  EXPECT_FALSE(runs_command({}, false, {}));
}

TEST(CallBook, AServerWorksOnTheLatestOfItsOpenCalls) {
  CallBook book;
  book.expect({{"one", {"one"}}, {"two", {"two", "x"}}});
  EXPECT_EQ(book.server_of({5, {"/bin/two", "x"}, false}), 2U);
  EXPECT_EQ(book.server_of({5, {"bash", "-c", "two x"}, false}), 0U);
  book.open({1, {}, 100, 0, "two"});
  book.open({2, {}, 150, 0, "two"});
  book.open({3, {}, 160, 0, "one"});
  EXPECT_EQ(book.call_at(2, 90), 0U);
  EXPECT_EQ(book.call_at(2, 120), 1U);
  EXPECT_EQ(book.call_at(2, 155), 2U);
  EXPECT_EQ(book.call_at(1, 170), 3U);
  book.close(2, 180);
  EXPECT_EQ(book.call_at(2, 170), 2U) << "shown late";
  EXPECT_EQ(book.call_at(2, 190), 1U);
  book.close(1, 200);
  EXPECT_EQ(book.call_at(2, 210), 0U);
}

TEST(CallJoin, WrappingAndQuotingDoNotHideACommand) {
  Story story;
  story.calls = {{7, {"grep -c 'a b' \"$HOME/x\" | sort"}, 100, 0}};
  auto shell = story.process(0);
  story.exec(
      shell, 120,
      {"/bin/bash", "-c", "-l",
       "eval 'grep -c '\"'\"'a b'\"'\"' \\\"$HOME/x\\\" | sort' < /dev/null && pwd -P >| /tmp/c"});
  Join join = story.join();
  EXPECT_EQ(join.call_of[shell], 7U);
  EXPECT_TRUE(join.calls[0].wrapped);
}

TEST(CallJoin, WhatNeverCrossedTheWireIsUndeclared) {
  Story story;
  story.calls = {{1, {"true"}, 100, 200}, {2, {}, 300, 400}};  // 2: a script of a code mode
  auto git = story.process(0);
  auto helper = story.process(git);
  auto hidden = story.process(0);
  story.exec(git, 50, {"git", "status"});
  story.exec(helper, 60, {"git-remote-http"});
  story.exec(hidden, 350, {"bash", "-c", "curl evil"});
  Join join = story.join();
  ASSERT_EQ(join.calls.size(), 1U);
  EXPECT_EQ(join.calls[0].execution, -1) << "requested, and never executed";
  ASSERT_EQ(join.undeclared.size(), 2U);
  EXPECT_EQ(join.undeclared[0].execution, 0U);
  EXPECT_EQ(join.undeclared[0].processes, 2U);
  EXPECT_EQ(join.undeclared[0].during, 0U);
  EXPECT_EQ(join.undeclared[1].during, 2U);
}

TEST(CallJoin, TheSameCommandTwiceIsTwoCalls) {
  Story story;
  story.calls = {{1, {"date"}, 100, 200}, {2, {"date"}, 100, 200}, {3, {"date"}, 300, 400}};
  auto one = story.process(0);
  auto two = story.process(0);
  auto three = story.process(0);
  story.exec(one, 110, {"sh", "-c", "date"});
  story.exec(two, 120, {"sh", "-c", "date"});
  story.exec(three, 320, {"sh", "-c", "date"});
  EXPECT_EQ(story.join().call_of, (std::vector<std::uint32_t>{0, 1, 2, 3}));
}

TEST(CallJoin, ACommandBeforeItsCallOrAfterItsResultIsNotTheCall) {
  Story story;
  story.calls = {{1, {"make all"}, 100, 200}};
  auto early = story.process(0);
  auto late = story.process(0);
  story.exec(early, 90, {"sh", "-c", "make all"});
  story.exec(late, 210, {"sh", "-c", "make all"});
  Join join = story.join();
  EXPECT_EQ(join.calls[0].execution, -1);
  EXPECT_EQ(join.undeclared.size(), 2U);
}

TEST(CallJoin, SeveralCommandsOfOneCallAreFoundEach) {
  Story story;
  story.calls = {{4, {"echo a", "echo b"}, 100, 200}};
  auto one = story.process(0);
  auto two = story.process(0);
  story.exec(one, 110, {"sh", "-c", "echo a"});
  story.exec(two, 120, {"sh", "-c", "echo b"});
  Join join = story.join();
  EXPECT_EQ(join.calls.size(), 2U);
  EXPECT_EQ(join.call_of, (std::vector<std::uint32_t>{0, 4, 4}));
}

TEST(CallJoin, ProcessesOutsideTheAgentAreLeftAlone) {
  Story story;
  story.calls = {{1, {"true"}, 1, 0}};
  story.processes.push_back({-1, 99});
  story.exec(1, 50, {"sh", "-c", "true"});
  Join join = story.join();
  EXPECT_EQ(join.calls[0].execution, -1);
  EXPECT_TRUE(join.undeclared.empty());
}

TEST(CallJoin, ArgumentsThatWereCutStillTell) {
  const std::string command = "python3 -c 'print(sum(range(1000000)))' && echo ready";
  EXPECT_TRUE(holds_command("eval python3 -c print(sum(range(1000", command, true));
  EXPECT_FALSE(holds_command("eval python3 -c print(sum(range(1000", command, false));
  EXPECT_FALSE(holds_command("eval pyth", command, true)) << "too little to tell";
  EXPECT_FALSE(holds_command("anything", "", true));
  EXPECT_FALSE(holds_command("anything", " \"' ", true));
}

TEST(CallJoin, NumbersThatLeadNowhereAreHarmless) {
  Story story;
  story.calls = {{1, {"x"}, 0, 0}};
  story.processes.push_back({5, 1});  // a parent that comes later
  story.processes.push_back({2, 1});  // itself
  story.exec(900, 5, {"sh", "-c", "x"});
  story.exec(2, 6, {"sh", "-c", "x"});
  EXPECT_EQ(story.join().calls[0].execution, -1);
}

}  // namespace
}  // namespace gyges::gateway
