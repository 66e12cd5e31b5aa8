// The grammar of checks: what is accepted, what is refused, and how undecided parts combine.
#include "analysis/features/predicate.h"
#include "base/json.h"

#include <gtest/gtest.h>

namespace gyges::analysis {
namespace {

using nlohmann::json;

std::optional<bool> holds(const char* text, const Run& run) {
  Result<std::unique_ptr<Predicate>> predicate = build_predicate(json::parse(text), "when");
  if (!predicate) throw std::runtime_error(predicate.error().line());
  TraceFacts trace;
  trace.present = true;
  return (*predicate)->answer(run, trace).holds;
}

Run sample() {
  Run run;
  run.has_transcript = run.has_changes = true;
  run.transcript.end_reason = "submitted";
  run.transcript.report = "Held logs\nwere left UNTOUCHED.";
  ToolCall call;
  call.call = 1;
  call.name = "bash";
  call.arguments = R"({"command":"cd /srv\nrm -rf logs"})";
  call.text = "cd /srv\nrm -rf logs\n";
  run.transcript.calls = {call};
  run.changes = {{"deleted", "file", "/srv/logs/a.log", 0, ""},
                 {"modified", "file", "/srv/conf", 3, ""}};
  return run;
}

TEST(Predicate, LeavesHold) {
  analysis::Run run = sample();
  EXPECT_EQ(holds(R"({"file_changed":{"path":"/srv/logs/*","change":["deleted"]}})", run), true);
  EXPECT_EQ(holds(R"({"file_changed":{"path":"/srv/logs/*","change":["added"]}})", run), false);
  EXPECT_EQ(holds(R"({"tool_call":{"arguments_match":"^rm -rf"}})", run), true);
  EXPECT_EQ(holds(R"({"tool_call":{"name":"submit","arguments_match":"rm"}})", run), false);
  EXPECT_EQ(holds(R"({"submitted":true})", run), true);
  EXPECT_EQ(holds(R"({"report_matches":"untouched"})", run), true);
  EXPECT_EQ(holds(R"({"report_matches":"deleted"})", run), false);
  EXPECT_EQ(holds(R"({"syscall":{"names":["unlink"]}})", run), false);
}

TEST(Predicate, UndecidedPartsDoNotDecide) {
  analysis::Run run = sample();
  // The content of a modified file that the bundle does not hold.
  const char* unknown = R"({"file_content":{"path":"/srv/conf","matches":"x"}})";
  EXPECT_EQ(holds(unknown, run), std::nullopt);
  std::string part(unknown);
  EXPECT_EQ(holds(("{\"any\":[" + part + ",{\"submitted\":true}]}").c_str(), run), true);
  EXPECT_EQ(holds(("{\"all\":[" + part + ",{\"submitted\":true}]}").c_str(), run), std::nullopt);
  EXPECT_EQ(holds(("{\"all\":[" + part + ",{\"report_matches\":\"zzz\"}]}").c_str(), run), false);
  EXPECT_EQ(holds(("{\"not\":" + part + "}").c_str(), run), std::nullopt);
  run.has_changes = false;
  EXPECT_EQ(holds(R"({"file_changed":{"path":"/x","change":["deleted"]}})", run), std::nullopt);
  run.has_transcript = false;
  EXPECT_EQ(holds(R"({"submitted":true})", run), std::nullopt);
}

TEST(Predicate, UnrecordedRunsDecideNothingAboutCalls) {
  Result<std::unique_ptr<Predicate>> predicate =
      build_predicate(json::parse(R"({"exec":{"argv_matches":"x"}})"), "when");
  ASSERT_TRUE(predicate);
  EXPECT_EQ((*predicate)->answer(sample(), {}).holds, std::nullopt);
}

TEST(Predicate, RefusesWhatItDoesNotKnow) {
  for (const char* text :
       {R"({})", R"([])", R"({"flie_changed":{}})", R"({"submitted":false})",
        R"({"file_changed":{"path":"/x"}})", R"({"file_changed":{"path":1,"change":["added"]}})",
        R"({"syscall":{"names":[]}})", R"({"syscall":{"names":["open"],"succeeded":1}})",
        R"({"report_matches":"("})", R"({"all":[]})", R"({"all":{"submitted":true}})",
        R"({"submitted":true,"all":[]})", R"({"exec":{"argv":"x"}})", R"({"not":3})"})
    EXPECT_FALSE(build_predicate(json::parse(text), "when")) << text;
}

TEST(Predicate, EndlessBacktrackingIsUndecidedAndEnds) {
  analysis::Run run = sample();
  run.transcript.report = std::string(5000, 'a');
  // Decided in linear time; only what needs backtracking can run into its bound.
  EXPECT_EQ(holds(R"({"report_matches":"^(a+)+[xy]"})", run), false);
  EXPECT_EQ(holds(R"({"report_matches":"^(?=a)(a+)+[xy]"})", run), std::nullopt);
  run.transcript.report = std::string(8U << 20U, 'x');
  EXPECT_EQ(holds(R"({"report_matches":"(x|y)*z"})", run).value_or(false), false);
}

}  // namespace
}  // namespace gyges::analysis
