#include "agent_runtime/experiment/worker_protocol.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "agent_runtime/experiment/line_stream.h"
#include "base/fd.h"

namespace gyges::experiment {
namespace {

TEST(WorkerProtocol, AssignmentSurvives) {
  Assignment sent;
  sent.slot = "s.a.c.r0";
  sent.request.scenario = "/scenarios/with space";
  sent.request.agent = "/agents/\"quoted\"";
  sent.request.condition = {{"oversight", "off"}};
  sent.request.repeat = 7;
  sent.request.seed = (1ULL << 53U) - 1;
  sent.request.out = "/out";
  sent.request.day = "2026-11-21T14:03:00Z";
  std::string line = encode(sent);
  ASSERT_EQ(line.find('\n'), line.size() - 1);
  auto got = decode_assignment(line.substr(0, line.size() - 1));
  ASSERT_TRUE(got) << got.error().line();
  EXPECT_EQ(got->slot, sent.slot);
  EXPECT_EQ(got->request.scenario, sent.request.scenario);
  EXPECT_EQ(got->request.agent, sent.request.agent);
  EXPECT_EQ(got->request.condition, sent.request.condition);
  EXPECT_EQ(got->request.seed, sent.request.seed);
  EXPECT_EQ(got->request.day, sent.request.day);
  EXPECT_FALSE(got->request.policy);
}

TEST(WorkerProtocol, OutcomeAndErrorSurvive) {
  episode::EpisodeOutcome outcome{"id", "submitted", "words\nand \xff bytes", {"turns"}, 3};
  auto done = decode_worker_message(encode(WorkerMessage(RunDone{"s", outcome})));
  ASSERT_TRUE(done) << done.error().line();
  EXPECT_EQ(std::get<RunDone>(*done).outcome.lost, 3U);
  EXPECT_EQ(std::get<RunDone>(*done).outcome.limits_hit, std::vector<std::string>{"turns"});

  Error error{"mount", "/proc", "no", "yes", 1, {"start"}};
  auto failed = decode_worker_message(encode(WorkerMessage(RunFailed{"s", error})));
  ASSERT_TRUE(failed) << failed.error().line();
  EXPECT_EQ(std::get<RunFailed>(*failed).error.line(), error.line());
}

TEST(WorkerProtocol, HugeTextsAreCut) {
  Error error{"step", "object", std::string(10U << 20U, 'x'), "", 0, {}};
  EXPECT_LT(encode(WorkerMessage(RunFailed{"s", error})).size(), 20000U);
}

TEST(WorkerProtocol, AnythingElseIsAnError) {
  for (const char* line :
       {"", "{}", "[]", "{\"type\":1}", "{\"type\":\"done\"}", "{\"type\":\"done\",\"slot\":3}",
        "{\"type\":\"ready\",\"protocol\":99,\"backend\":\"x\"}", "{\"type\":\"unheard\"}",
        "{\"type\":\"done\",\"slot\":\"s\",\"outcome\":{\"run_id\":1}}", "\xff", "null"}) {
    EXPECT_FALSE(decode_worker_message(line)) << line;
    EXPECT_FALSE(decode_assignment(line)) << line;
  }
  EXPECT_FALSE(decode_worker_message(std::string(2U << 20U, ' ')));
}

TEST(LineStream, DeliversLinesAcrossReads) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  LineStream lines(64);
  ASSERT_TRUE(write_all(pipe->write.get(), "one\ntw"));
  ASSERT_TRUE(*lines.fill(pipe->read.get()));
  EXPECT_EQ(lines.next(), "one");
  EXPECT_EQ(lines.next(), std::nullopt);
  ASSERT_TRUE(write_all(pipe->write.get(), "o\n"));
  ASSERT_TRUE(*lines.fill(pipe->read.get()));
  EXPECT_EQ(lines.next(), "two");
  pipe->write.reset();
  EXPECT_FALSE(*lines.fill(pipe->read.get()));
  EXPECT_TRUE(lines.end());
}

TEST(LineStream, RefusesEndlessLines) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  ASSERT_TRUE(write_all(pipe->write.get(), std::string(1000, 'x')));
  LineStream lines(64);
  EXPECT_FALSE(lines.fill(pipe->read.get()));
}

}  // namespace
}  // namespace gyges::experiment
