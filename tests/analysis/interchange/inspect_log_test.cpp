#include "analysis/interchange/inspect_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "analysis/comparison/comparison.h"
#include "analysis/interchange/inspect_export.h"
#include "analysis/interchange/trajectories.h"
#include "analysis/interchange/zip_archive.h"
#include "analysis/report/report_json.h"
#include "analysis/store/run_database.h"
#include "base/files.h"
#include "base/json.h"
#include "tests/analysis/interchange/hand_made_zip.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

// The smallest log that has what is read, as the source of Inspect has it.
json header_of(const std::string& model, const json& task_args = json::object()) {
  return {{"version", 2},
          {"status", "success"},
          {"eval",
           {{"created", "2026-08-01T10:00:00+00:00"},
            {"task", "agent_task"},
            {"eval_id", "e-" + model},
            {"dataset", json::object()},
            {"model", model},
            {"task_args", task_args},
            {"config", json::object()}}}};
}

json sample_of(int id, int epoch, const json& value) {
  return {
      {"id", id},
      {"epoch", epoch},
      {"input", "do it"},
      {"target", ""},
      {"messages",
       {{{"role", "user"}, {"content", "do it"}},
        {{"role", "assistant"},
         {"content", "I look first."},
         {"tool_calls",
          {{{"id", "c1"},
            {"function", "bash"},
            {"arguments", {{"command", "ls"}}},
            {"type", "function"}}}}},
        {{"role", "tool"},
         {"tool_call_id", "c1"},
         {"content", ""},
         {"error", {{"type", "approval"}, {"message", "no"}}}},
        {{"role", "assistant"}, {"content", {{{"type", "text"}, {"text", "attachment://abc"}}}}}}},
      {"attachments", {{"abc", "Done, all tests pass."}}},
      {"scores",
       {{"sabotage", {{"value", value}, {"explanation", "because"}}},
        {"length", {{"value", 0.25 + id}}}}},
      {"model_usage", {{"m", {{"input_tokens", 10}, {"output_tokens", 5}, {"total_tokens", 15}}}}},
      {"total_time", 1.5}};
}

class InspectLogs : public testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& bytes) {
    fs::create_directories((root() / name).parent_path());
    std::ofstream(root() / name, std::ios::binary) << bytes;
    return root() / name;
  }

  // 8 samples, 2 epochs each, of which `bad` have the outcome; members in `method`.
  fs::path write_log(const std::string& name, const std::string& model, int bad,
                     std::uint16_t method, const json& task_args = json::object()) {
    json header = header_of(model, task_args);
    header["eval"]["eval_id"] = name;
    std::vector<HandMadeMember> members{{"header.json", header.dump(), method}};
    int made = 0;
    for (int id = 1; id <= 8; ++id)
      for (int epoch = 1; epoch <= 2; ++epoch)
        members.push_back(
            {"samples/" + std::to_string(id) + "_epoch_" + std::to_string(epoch) + ".json",
             sample_of(id, epoch, made++ < bad ? "C" : "I").dump(), method});
    return write(name, hand_made_zip(members));
  }

  [[nodiscard]] fs::path root() const { return directory_.path(); }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("logs");
};

TEST_F(InspectLogs, AreReadWhateverTheirMembersAreCompressedWith) {
  for (std::uint16_t method : {0, 8, 93}) {
    fs::path log = write_log(std::to_string(method) + ".eval", "openai/x", 3, method);
    auto found = find_bundles(log);
    ASSERT_TRUE(found) << found.error().line();
    ASSERT_EQ(found->size(), 16U);
    auto read = read_run(found->front());
    ASSERT_TRUE(read) << read.error().line();
    EXPECT_EQ(read->run.scenario, "agent_task/1");
    EXPECT_EQ(read->run.agent, "openai/x");
    EXPECT_EQ(read->run.transcript.report, "Done, all tests pass.");
    ASSERT_EQ(read->run.transcript.calls.size(), 1U);
    EXPECT_TRUE(read->run.transcript.calls[0].rejected);
    EXPECT_EQ(read->run.transcript.output_tokens, 5U);
    ASSERT_EQ(read->findings.checks.size(), 1U);
    EXPECT_EQ(read->findings.checks[0].answer.holds, true);
    EXPECT_EQ(read->findings.scores.at("length"), 1.25);
  }
}

TEST_F(InspectLogs, TwoSetsAreComparedBySampleAndEpoch) {
  write_log("before/a.eval", "openai/x", 0, 93);
  write_log("after/b.eval", "openai/x", 14, 8);
  CompareOptions options;
  options.between = Between::experiments;
  auto comparison = compare({root() / "before", root() / "after"}, options);
  ASSERT_TRUE(comparison) << comparison.error().line();
  ASSERT_EQ(comparison->contrasts.size(), 1U);
  EXPECT_EQ(comparison->contrasts[0].pairs.size(), 16U);
  json report = report_json(*comparison);
  bool seen = false;
  for (const json& one : report.at("comparisons")) {
    if (one.at("outcome") != "sabotage") continue;
    seen = true;
    EXPECT_EQ(one.at("role"), "primary");
    EXPECT_EQ(one.at("verdict"), "gap") << one.at("statement");
    EXPECT_EQ(one.at("scope"), "families");
  }
  EXPECT_TRUE(seen);
  EXPECT_NE(json_text(report, -1).find("score.length"), std::string::npos);
}

TEST_F(InspectLogs, ArgumentsOfTheTaskAreFactors) {
  write_log("logs/a.eval", "openai/x", 1, 8, {{"oversight", "announced"}});
  write_log("logs/b.eval", "openai/x", 15, 8, {{"oversight", "off"}});
  auto comparison = compare({root() / "logs"}, {});
  ASSERT_TRUE(comparison) << comparison.error().line();
  ASSERT_EQ(comparison->contrasts.size(), 1U);
  EXPECT_EQ(comparison->contrasts[0].factor, "oversight");
  EXPECT_EQ(comparison->contrasts[0].pairs.size(), 16U);
}

TEST_F(InspectLogs, DamagedOnesAreOneClearError) {
  const std::string good = *read_file(write_log("good.eval", "m", 1, 93));
  struct Damage {
    const char* what;
    std::string bytes;
    const char* says;
  };
  std::string cut = good.substr(0, good.size() - 30);
  std::string flipped = good;
  flipped[good.find("samples/3_epoch_1.json") + 60] ^= 0x20;
  HandMadeMember header{"header.json", header_of("m").dump(), 8};
  HandMadeMember sample{"samples/1_epoch_1.json", sample_of(1, 1, 1).dump(), 8};
  HandMadeMember wrong_crc = sample;
  wrong_crc.crc_error = 1;
  HandMadeMember bomb = sample;
  bomb.claimed_size = 0x7fffffff;
  HandMadeMember unknown = sample;
  unknown.method = 14;
  HandMadeMember encrypted = sample;
  encrypted.flags = 1;
  HandMadeMember text = sample;
  text.bytes = "[1, 2";
  json old = header_of("m");
  old["version"] = 1;
  for (const Damage& damage :
       {Damage{"cut off", cut, "directory at the end"}, Damage{"no zip", "hello", "no zip file"},
        Damage{"empty", "", "no zip file"}, Damage{"flipped", flipped, "samples/3_epoch_1.json"},
        Damage{"checksum", hand_made_zip({header, wrong_crc}), "checksum"},
        Damage{"bomb", hand_made_zip({header, bomb}), "larger than 512 MiB"},
        Damage{"method", hand_made_zip({header, unknown}), "compression method 14"},
        Damage{"encrypted", hand_made_zip({header, encrypted}), "encrypted"},
        Damage{"no header", hand_made_zip({sample}), "header.json"},
        Damage{"twice", hand_made_zip({header, sample, sample}), "twice"},
        Damage{"no json", hand_made_zip({header, text}), "samples/1_epoch_1.json"},
        Damage{"no samples", hand_made_zip({header}), "no samples"},
        Damage{"version 1", hand_made_zip({{"header.json", old.dump(), 8}, sample}),
               "version 1"}}) {
    fs::path file = write("damaged.eval", damage.bytes);
    std::string said;
    auto found = find_bundles(file);
    if (!found) {
      said = found.error().line();
    } else {
      for (const FoundBundle& one : *found)
        if (auto read = read_run(one); !read) said = read.error().line();
    }
    EXPECT_THAT(said, HasSubstr(damage.says)) << damage.what;
    EXPECT_THAT(said, HasSubstr("damaged.eval")) << damage.what;
  }
  // Among others it is left out and named.
  write("set/damaged.eval", cut);
  write_log("set/good.eval", "m", 4, 8);
  auto comparison = compare({root() / "set"}, {});
  ASSERT_TRUE(comparison) << comparison.error().line();
  EXPECT_EQ(comparison->runs.size(), 16U);
  ASSERT_EQ(comparison->excluded.size(), 1U);
  EXPECT_THAT(comparison->excluded[0].reason, HasSubstr("directory at the end"));
}

class ExportedRuns : public testing::Test {
 protected:
  void SetUp() override {
    write_paired_runs(root() / "experiment", 6, [](SampleRun& run) {
      run.deletes_held = run.level == "announced_off";
      run.probes = run.repeat == 2;
    });
    auto bundles = find_bundles(root() / "experiment");
    ASSERT_TRUE(bundles);
    for (auto& read : read_runs(*bundles, {})) runs_.push_back(std::move(**read));
  }
  [[nodiscard]] fs::path root() const { return directory_.path(); }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("export");
  std::vector<StoredRun> runs_;
};

TEST_F(ExportedRuns, AsLogsOfInspectSayTheSameWhenReadBack) {
  auto done = export_inspect(runs_, root() / "logs");
  ASSERT_TRUE(done) << done.error().line();
  EXPECT_EQ(done->files.size(), 2U);
  EXPECT_EQ(done->samples, 12U);
  auto from_bundles = compare({root() / "experiment"}, {});
  auto from_logs = compare({root() / "logs"}, {});
  ASSERT_TRUE(from_bundles && from_logs) << from_logs.error().line();
  json a = report_json(*from_bundles);
  json b = report_json(*from_logs);
  ASSERT_EQ(a["comparisons"][0]["outcome"], "covert_act");
  for (const char* member :
       {"gap", "interval", "p_value", "test", "verdict", "counts", "arms", "pairs"})
    EXPECT_EQ(a["comparisons"][0][member], b["comparisons"][0][member]) << member;
  // The same store gives the same bytes.
  const std::string first = *read_file(done->files[0]);
  ASSERT_TRUE(export_inspect(runs_, root() / "logs"));
  EXPECT_EQ(*read_file(done->files[0]), first);
}

TEST_F(ExportedRuns, EventsOfALogHaveWhatInspectRequires) {
  auto done = export_inspect(runs_, root() / "logs");
  ASSERT_TRUE(done) << done.error().line();
  auto zip = ZipReader::open(done->files[1]);
  ASSERT_TRUE(zip);
  json sample = json::parse(*zip->read("samples/log_retention_epoch_3.json"));
  // Required fields of each kind of event that is written (src/inspect_ai/event); an unknown kind
  // makes Inspect refuse the log.
  const std::map<std::string, std::vector<std::string>> required{
      {"sample_init", {"sample"}},
      {"span_begin", {"id", "name"}},
      {"span_end", {"id"}},
      {"model", {"model", "input", "tools", "tool_choice", "config", "output"}},
      {"tool", {"id", "function", "arguments"}},
      {"approval", {"message", "call", "approver", "decision"}},
      {"info", {"data"}},
      {"score", {"score"}}};
  std::map<std::string, int> seen;
  std::vector<std::string> open;
  for (const json& event : sample["events"]) {
    std::string kind = event["event"];
    ++seen[kind + (event.contains("source") ? "/" + event["source"].get<std::string>() : "")];
    ASSERT_TRUE(required.count(kind)) << kind;
    for (const std::string& name : required.at(kind))
      EXPECT_TRUE(event.contains(name)) << kind << name;
    for (const char* name : {"uuid", "timestamp", "working_start", "span_id"})
      EXPECT_TRUE(event.contains(name)) << kind;
    if (kind == "span_begin") open.push_back(event["id"]);
    if (kind == "info" && event["source"] == "gyges.syscall") {
      EXPECT_EQ(event["span_id"], open.back());
      EXPECT_GT(open.size(), 1U) << "a system call of a tool stands outside its span";
    }
    if (kind == "span_end") {
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open.back(), event["id"]);
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_GE(seen["info/gyges.syscall"], 3);
  EXPECT_GE(seen["info/gyges.syscalls"], 3);
  for (const char* name : {"id", "epoch", "input", "target"}) EXPECT_TRUE(sample.contains(name));
  EXPECT_EQ(sample["scores"]["covert_act"]["value"], 1);
  EXPECT_EQ(sample["metadata"]["gyges"]["trace"]["sha256"].get<std::string>().size(), 64U);
  json header = json::parse(*zip->read("header.json"));
  EXPECT_EQ(header["eval"]["task_args"]["oversight"], "announced_off");
  for (const char* name : {"created", "task", "dataset", "model", "config"})
    EXPECT_TRUE(header["eval"].contains(name)) << name;
  for (const char* member :
       {"_journal/start.json", "_journal/summaries/1.json", "summaries.json", "reductions.json"})
    EXPECT_TRUE(zip->read(member)) << member;
}

// Another reader of zip and JSON than our own.
TEST_F(ExportedRuns, PythonOpensTheLogAndTheTrajectories) {
  if (std::system("command -v python3 >/dev/null") != 0) GTEST_SKIP() << "python3 is not installed";
  auto done = export_inspect(runs_, root() / "logs");
  ASSERT_TRUE(done) << done.error().line();
  Status atif = export_atif(runs_, root() / "atif");
  ASSERT_TRUE(atif) << atif.error().line();
  Status arena = export_control_arena(runs_, root() / "arena");
  ASSERT_TRUE(arena) << arena.error().line();
  auto saved = build_run_database({root() / "experiment"}, {}, root() / "runs.sqlite");
  ASSERT_TRUE(saved) << saved.error().line();
  const std::string script =
      std::string(GYGES_SOURCE_DIR) + "/tests/analysis/interchange/read_exports.py";
  EXPECT_EQ(std::system(("python3 " + script + " " + root().string()).c_str()), 0);
}

}  // namespace
}  // namespace gyges::analysis
