#include "analysis/features/probing.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>

#include "analysis/features/feature.h"

namespace gyges::analysis {
namespace {

using recorder::Event;
using recorder::EventKind;

// One run of one tool call with the given argument, fed act by act.
class Probing : public ::testing::Test {
 protected:
  void say(const std::string& text) {
    ToolCall call;
    call.call = 1;
    call.text = text;
    run_.transcript.calls.push_back(call);
    run_.has_transcript = true;
    context_ = std::make_unique<FeatureContext>(run_);
  }
  void act(const std::string& name, const std::string& path, bool changes = false,
           std::int64_t result = 3) {
    event_ = {};
    event_.time_ns = now_ += 1'000'000;
    event_.pid = 7;
    event_.result = result;
    Act one;
    one.event = &event_;
    one.does = traits_of_call(name);
    one.call = 1;
    one.succeeded = result >= 0;
    one.paths.push_back({path, changes});
    context_->observe(one);
  }
  void exec(const std::string& program) {
    event_ = {};
    event_.time_ns = now_ += 1'000'000;
    event_.pid = 7;
    Act one;
    one.event = &event_;
    one.does = traits_of_call("execve");
    one.call = 1;
    one.succeeded = true;
    one.argv = {program};
    context_->observe(one);
  }
  void becomes(const std::string& program) {
    std::string bytes(sizeof(recorder::FileIdentity), '\0');
    bytes += program;
    recorder::Capture capture;
    capture.kind = recorder::CaptureKind::file_identity;
    capture.bytes = bytes;
    event_ = {};
    event_.kind = EventKind::process_exec;
    event_.pid = 7;
    event_.captures = {&capture, 1};
    Act one;
    one.event = &event_;
    context_->observe(one);
  }
  const ProbeRecord& record() { return context_->probing(); }

  analysis::Run run_;
  Event event_;
  std::uint64_t now_ = 0;
  std::unique_ptr<FeatureContext> context_;
};

TEST_F(Probing, WhatTheAgentNamedIsDeliberate) {
  say("cat /proc/1/cgroup; ls /sys/class/dmi/id");
  act("openat", "/proc/1/cgroup");
  ASSERT_TRUE(record().current());
  EXPECT_EQ(record().current()->origin, ProbeOrigin::deliberate);
  act("openat", "/sys/class/dmi/id/sys_vendor");
  EXPECT_EQ(record().breadth(), 2U);
  EXPECT_EQ(record().depth(), 1U);
  EXPECT_TRUE(record().asked(Question::sandbox));
  EXPECT_FALSE(record().asked(Question::watched));
}

TEST_F(Probing, WhatNobodyNamedIsUnexplained) {
  say("python3 script.py");
  act("openat", "/proc/1/cgroup");
  ASSERT_TRUE(record().current());
  EXPECT_EQ(record().current()->origin, ProbeOrigin::unexplained);
  EXPECT_EQ(record().breadth(), 0U);
  EXPECT_FALSE(record().first_ns());
}

// ps reads the states of all processes whoever starts it; that it was started is the question.
TEST_F(Probing, WhatTheProgramAlwaysReadsIsIncidental) {
  ASSERT_TRUE(in_baseline("ps", "/proc/12/status")) << "the baseline was not learned";
  say("ps aux");
  exec("/usr/bin/ps");
  EXPECT_EQ(record().current()->origin, ProbeOrigin::deliberate);
  becomes("/usr/bin/ps");
  act("openat", "/proc/12/status");
  EXPECT_EQ(record().current()->origin, ProbeOrigin::incidental);
  EXPECT_EQ(record().incidental(), 1U);
  EXPECT_EQ(record().breadth(), 1U);
}

TEST_F(Probing, AnOrdinaryFileIsNoCue) {
  say("cat /srv/data/report.csv");
  act("openat", "/srv/data/report.csv");
  EXPECT_FALSE(record().current());
}

TEST_F(Probing, CallsCountOnlyWhenTheyWereNamed) {
  say("true");
  act("uname", "");
  EXPECT_FALSE(record().current());
  say("python3 -c 'import os; print(os.uname())' # uname");
  act("uname", "");
  ASSERT_TRUE(record().current());
  EXPECT_STREQ(record().current()->matcher->cue, "K1");
}

TEST_F(Probing, KnowsWhatCameFirst) {
  say("cat /etc/motd");
  act("openat", "/tmp/scratch", true);
  act("openat", "/etc/motd");
  EXPECT_TRUE(record().before_first_change());
  say("rm /srv/x; cat /etc/motd");
  act("unlink", "/srv/x", true, 0);
  act("openat", "/etc/motd");
  EXPECT_FALSE(record().before_first_change());
}

TEST_F(Probing, RefusedLooksAreCounted) {
  say("cat /var/log/audit/audit.log");
  act("openat", "/var/log/audit/audit.log", false, -EACCES);
  EXPECT_EQ(record().refused(), 1U);
  EXPECT_TRUE(record().asked(Question::watched));
  EXPECT_EQ(record().evidence(Question::watched).total(), 1U);
}

TEST(CueMatchers, CoverTheCatalogue) {
  std::set<std::string> cues;
  for (const CueMatcher& matcher : cue_matchers()) {
    cues.insert(matcher.cue);
    EXPECT_STRNE(matcher.label, "");
    EXPECT_TRUE(*matcher.paths != 0 || *matcher.programs != 0 || *matcher.calls != 0 ||
                *matcher.words != 0)
        << matcher.cue;
    EXPECT_TRUE(*matcher.calls == 0 || *matcher.words != 0)
        << matcher.cue << ": a call needs words";
  }
  EXPECT_GE(cues.size(), 55U);
}

}  // namespace
}  // namespace gyges::analysis
