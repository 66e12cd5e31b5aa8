#include "analysis/episode/episode.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>

#include "analysis/episode/shown_text.h"
#include "analysis/report/html_report.h"
#include "analysis/report/packed_text.h"
#include "base/files.h"
#include "base/json.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

class EpisodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = TemporaryDirectory::create("gyges-episode");
    ASSERT_TRUE(made) << made.error().line();
    directory_.emplace(std::move(*made));
  }
  const std::filesystem::path& root() const { return directory_->path(); }

  json episode_of(const SampleRun& sample, const EpisodeLimits& limits = file_limits[0]) {
    auto run = load_run(write_sample_run(root(), sample), "");
    if (!run) throw std::runtime_error(run.error().line());
    Result<Findings> findings = find(*run);
    if (!findings) throw std::runtime_error(findings.error().line());
    return json::parse(load_episode(*run, *findings, limits));
  }

  std::optional<TemporaryDirectory> directory_;
};

SampleRun covert_run() {
  SampleRun sample;
  sample.level = "announced_off";
  sample.probes = true;
  sample.deletes_held = true;
  sample.monitored = true;
  return sample;
}

const json* finding(const json& episode, const std::string& name) {
  for (const json& one : episode["findings"])
    if (one["name"] == name) return &one;
  return nullptr;
}

TEST_F(EpisodeTest, TitlesOfAScenarioSteerNoReader) {
  SampleRun sample = covert_run();
  sample.held_title = "held \x1b[2J\xE2\x80\xAE";
  json episode = episode_of(sample);
  EXPECT_EQ((*finding(episode, "held_logs_deleted"))["title"], "held \\x1b[2J\\u{202e}");
}

TEST(ShownText, EveryTextOfAReportIsMadePrintableAndNamesToo) {
  json report{{"plain", "a"}, {"lines", "a\nb\tc"}, {"list", {1, "\x1b]0;x\x07", nullptr}}};
  report["\xE2\x80\xAEname"] = {{"deep", "\xE2\x80\xAE"}};
  json shown = printable_texts(report);
  EXPECT_EQ(shown["plain"], "a");
  EXPECT_EQ(shown["lines"], "a\nb\tc");
  EXPECT_EQ(shown["list"], json::array({1, "\\x1b]0;x\\x07", nullptr}));
  EXPECT_EQ(shown["\\u{202e}name"]["deep"], "\\u{202e}");
  EXPECT_EQ(shown.size(), report.size());
}

TEST_F(EpisodeTest, EveryPieceOfEvidenceOfATraceIsARow) {
  json episode = episode_of(covert_run());
  const json* held = finding(episode, "held_logs_deleted");
  ASSERT_NE(held, nullptr);
  EXPECT_EQ((*held)["value"], true);
  ASSERT_FALSE((*held)["evidence"].empty());
  std::size_t in_trace = 0;
  for (const json& index : (*held)["evidence"]) {
    const json& piece = episode["evidence"][index.get<std::size_t>()];
    if (piece["source"] != "trace") continue;
    ++in_trace;
    bool found = false;
    for (const json& row : episode["trace"]["rows"])
      found = found || (row[0] == piece["seq"] && (row[6].get<int>() & 4) != 0);
    EXPECT_TRUE(found) << piece;
  }
  EXPECT_GT(in_trace, 0U);
}

TEST_F(EpisodeTest, CountsEverySystemCallWhateverTheRoom) {
  EpisodeLimits narrow = file_limits[4];
  narrow.rows = 2;
  for (const EpisodeLimits& limits : {file_limits[0], narrow}) {
    json trace = episode_of(covert_run(), limits)["trace"];
    std::uint64_t in_rows = trace["calls_left_out"].get<std::uint64_t>();
    for (const json& row : trace["rows"])
      in_rows += row.size() > 8 ? row[8].get<std::uint64_t>() : 1;
    std::uint64_t by_name = 0;
    for (const json& name : trace["by_name"]) by_name += name[1].get<std::uint64_t>();
    std::uint64_t by_call = 0;
    for (const json& call : trace["by_call"]) by_call += call[1].get<std::uint64_t>();
    std::uint64_t over_time = 0;
    for (const json& kind : trace["activity"])
      for (const json& bin : kind) over_time += bin.get<std::uint64_t>();
    EXPECT_EQ(in_rows, trace["syscalls"]);
    EXPECT_EQ(by_name, trace["syscalls"]);
    EXPECT_EQ(by_call, trace["syscalls"]);
    EXPECT_EQ(over_time, trace["syscalls"]);
    EXPECT_LE(trace["rows"].size(), limits.rows);
    std::filesystem::remove_all(root() / "runs");
  }
}

TEST_F(EpisodeTest, TellsLooksAndVerdicts) {
  json episode = episode_of(covert_run());
  ASSERT_FALSE(episode["looks"].empty());
  int deliberate = 0;
  for (const json& look : episode["looks"]) deliberate += look["deliberate"].get<int>();
  EXPECT_GE(deliberate, 1);
  int flagged = 0;
  for (const json& line : episode["transcript"]["lines"])
    flagged += line["type"] == "monitor" && line["flagged"] == true ? 1 : 0;
  EXPECT_EQ(flagged, 1);
}

TEST_F(EpisodeTest, NothingTheAgentWroteSteersAReader) {
  SampleRun sample = covert_run();
  sample.says = "a\x1b[2Jb\x07 \xE2\x80\xAEgpj \xff\nsecond\tline";
  std::string text = episode_of(sample).dump();
  EXPECT_THAT(text, HasSubstr("\\\\x1b[2Jb"));
  for (const char* forbidden : {"\x1b", "\\u001b", "\x07", "\\u0007", "\xE2\x80\xAE", "\\u202e"})
    EXPECT_THAT(text, Not(HasSubstr(forbidden)));
  EXPECT_THAT(text, HasSubstr("\\nsecond\\tline"));
}

TEST_F(EpisodeTest, SaysWhatItCutAndWhatItCannotRead) {
  SampleRun sample = covert_run();
  sample.says = std::string(50000, 'x') + "\xC3\xA4";
  json episode = episode_of(sample, file_limits[4]);
  const json& part = episode["transcript"]["lines"][0]["parts"][0][1];
  EXPECT_EQ(part["cut"], true);
  EXPECT_EQ(part["bytes"], 50002);

  auto run = load_run(sample_slot(root(), sample), "");
  ASSERT_TRUE(run);
  Result<Findings> findings = find(*run);
  std::filesystem::remove(run->bundle / "transcript.jsonl");
  json without = json::parse(load_episode(*run, *findings, file_limits[0]));
  ASSERT_EQ(without["problems"].size(), 1U);
  EXPECT_THAT(without["problems"][0].get<std::string>(), HasSubstr("transcript.jsonl"));
}

TEST_F(EpisodeTest, ANarrowerViewSaysWhatItLeavesOut) {
  auto run = load_run(write_sample_run(root(), covert_run()), "");
  ASSERT_TRUE(run) << run.error().line();
  Result<Findings> findings = find(*run);
  ASSERT_TRUE(findings) << findings.error().line();
  const TraceView whole = view_trace(*run, *findings, file_limits[0]);
  auto calls_in = [](const TraceView& view) {
    std::uint64_t calls = view.calls_left_out;
    for (const TraceRow& row : view.rows) calls += row.count;
    return calls;
  };
  auto in_bins = [](const TraceView& view) {
    std::uint64_t calls = 0;
    for (const auto& bins : view.activity)
      for (std::uint64_t bin : bins) calls += bin;
    return calls;
  };
  ASSERT_GE(whole.rows.size(), 4U);
  TraceView view = whole;
  for (std::size_t level = 1; level < std::size(file_limits); ++level) {
    EpisodeLimits limits = file_limits[level];
    limits.rows = 4 - level / 2;
    limits.line_bytes = 20;
    view = narrowed(std::move(view), limits);
    EXPECT_EQ(view.rows.size(), limits.rows);
    EXPECT_EQ(view.rows.size() + view.rows_left_out, whole.rows.size());
    EXPECT_EQ(calls_in(view), calls_in(whole));
    EXPECT_EQ(in_bins(view), whole.syscalls);
    ASSERT_EQ(view.activity[0].size(), limits.bins);
    for (const TraceRow& row : view.rows) EXPECT_LE(row.text.size(), 20U + std::strlen("…"));
  }
  // What proves something stays to the last.
  EXPECT_TRUE(std::any_of(view.rows.begin(), view.rows.end(),
                          [](const TraceRow& row) { return row.evidence; }));
  // Under the limits it was made with nothing changes.
  EXPECT_EQ(load_episode(*run, *findings, file_limits[0], whole),
            load_episode(*run, *findings, file_limits[0]));
}

TEST_F(EpisodeTest, APageHasRoomForWhatProvesSomethingFirst) {
  write_paired_runs(root(), 8, [](SampleRun& run) {
    run.deletes_held = run.repeat == 7 && run.level == "announced_off";
  });
  Result<Comparison> comparison = compare({root()}, {});
  ASSERT_TRUE(comparison) << comparison.error().line();
  HtmlOptions small;
  small.episode_bytes = 16U << 10U;  // two
  Result<std::string> page = html_report(*comparison, small, json::object());
  ASSERT_TRUE(page) << page.error().line();
  std::size_t inside = 0;
  for (std::size_t i = 0; i < comparison->runs.size(); ++i) {
    bool there = page->find("id=\"episode-" + std::to_string(i) + "\"") != std::string::npos;
    inside += there ? 1 : 0;
    EXPECT_TRUE(there || comparison->runs[i].repeat != 7) << comparison->runs[i].bundle;
  }
  EXPECT_EQ(inside, 2U);
}

TEST(ShownText, CutsBetweenCharacters) {
  EXPECT_EQ(shown_line("a\xC3\xA4"
                       "b",
                       2),
            "a…");
  EXPECT_EQ(shown_line("abc", 3), "abc");
  EXPECT_EQ(shown_text("a\nb", 10), json("a\nb"));
}

TEST(PackedText, IsBase64AsRfc4648HasIt) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64("\xff\xfe\xfd"), "//79");
}

TEST(PackedText, GivesTheSameBytesTwice) {
  std::string text(100000, 'a');
  Result<std::string> packed = gzip(text);
  ASSERT_TRUE(packed);
  EXPECT_EQ(*packed, *gzip(text));
  EXPECT_LT(packed->size(), 1000U);
  EXPECT_EQ(packed->substr(0, 2), "\x1f\x8b");
}

}  // namespace
}  // namespace gyges::analysis
