#include "sandbox/recorder/format/bundle.h"
#include "base/json.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/json_document.h"
#include "sandbox/recorder/format/bundle_check.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/trace_writer.h"
#include "sealed_bundle.h"

namespace gyges::recorder {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

using Bundle = testing::SealedBundle;
using testing::sample_run;

TEST_F(Bundle, IsIntactAfterSealing) {
  EXPECT_TRUE(faults().empty());
  EXPECT_TRUE(load_json(directory_ / "run.json", "run"));
}

TEST_F(Bundle, AddedMissingAndChangedFilesAreNamed) {
  std::ofstream(directory_ / "extra") << "x";
  std::ofstream(directory_ / "transcript.jsonl") << "[]\n";
  fs::remove(directory_ / "blobs" / to_hex(sha256("body")));
  std::vector<BundleFault> found = faults();
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].reason, "missing");
  EXPECT_EQ(found[1].file, "extra");
  EXPECT_EQ(found[1].reason, "not in the seal");
  EXPECT_EQ(found[2].file, "transcript.jsonl");
  EXPECT_EQ(found[2].reason, "changed");
}

TEST_F(Bundle, AChangedTraceIsLocated) {
  std::fstream file(directory_ / "trace.gyt", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(600).put('!');
  file.close();
  std::vector<BundleFault> found = faults();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].file, "trace.gyt");
  EXPECT_NE(found[0].reason.find("block 0 at byte"), std::string::npos) << found[0].reason;
}

TEST_F(Bundle, LinksAndFifosInPlaceOfFilesAreFaults) {
  fs::remove(directory_ / "transcript.jsonl");
  fs::create_symlink("/etc/passwd", directory_ / "transcript.jsonl");
  ASSERT_EQ(::mkfifo((directory_ / "pipe").c_str(), 0600), 0);
  std::vector<BundleFault> found = faults();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].reason, "not in the seal");
  EXPECT_EQ(found[1].reason, "replaced by something that is no regular file");
}

TEST_F(Bundle, WithoutSealItIsUnreadable) {
  fs::remove(directory_ / "seal.json");
  EXPECT_FALSE(verify_bundle(directory_));
  const auto checked = check_bundle(directory_);
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().reason.find("it has no seal.json"), std::string::npos);
  EXPECT_NE(checked.error().cure.find("trace show"), std::string::npos);
}

TEST_F(Bundle, SealIsChecked) {
  std::ofstream(directory_ / "seal.json") << R"({"version":1})";
  EXPECT_FALSE(verify_bundle(directory_));
}

TEST_F(Bundle, DirectoriesInUseAreRefused) {
  EXPECT_FALSE(BundleWriter::create(directory_));
}

TEST_F(Bundle, RunsThatBreakTheSchemaAreRefused) {
  fs::path other = parent_->path() / "other";
  auto bundle = BundleWriter::create(other, places_);
  ASSERT_TRUE(bundle);
  json run = sample_run({});
  run["surprise"] = 1;
  EXPECT_FALSE(bundle->finish(run));
  EXPECT_FALSE(fs::exists(other / "seal.json"));
}

TEST(RunRecord, CoverageComesBack) {
  Coverage coverage;
  coverage.backend = Backend::ptrace;
  coverage.events = 5;
  coverage.counters = {1, 2, 3, 4, 5, 6};
  coverage.complete = true;
  coverage.degraded = {"task work"};
  json value = coverage_to_json(coverage);
  auto back = coverage_from_json(value, "x");
  ASSERT_TRUE(back) << back.error().line();
  EXPECT_EQ(coverage_to_json(*back), value);
  value["more"] = 1;
  EXPECT_FALSE(coverage_from_json(value, "x"));
  value.erase("more");
  value["lost"] = -1;
  EXPECT_FALSE(coverage_from_json(value, "x"));
}

TEST(RunRecord, TimestampsAndIds) {
  EXPECT_EQ(utc_timestamp(1'795'251'600'123'000'000U), "2026-11-21T09:00:00.123Z");
  EXPECT_EQ(new_run_id().size(), 16U);
  EXPECT_NE(new_run_id(), new_run_id());
}

}  // namespace
}  // namespace gyges::recorder
