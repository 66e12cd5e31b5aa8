// What a comparison makes of a store in which something is missing, cut off, edited or of another
// version.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/comparison/comparison.h"
#include "analysis/report/report_json.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"
#include "sandbox/recorder/format/bundle_files.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class DamagedStore : public testing::Test {
 protected:
  void SetUp() override {
    bundles_ = write_paired_runs(
        root(), 8, [](SampleRun& run) { run.deletes_held = run.level == "announced_off"; });
  }

  Comparison compared() {
    auto comparison = compare({root()}, {});
    if (!comparison) throw std::runtime_error(comparison.error().line());
    return std::move(*comparison);
  }

  // Gives an edited file the seal it would have had, without a signature.
  static void seal_again(const fs::path& bundle, const std::string& file) {
    json seal = json::parse(*read_file(bundle / "seal.json"));
    std::string bytes = *read_file(bundle / file);
    for (json& entry : seal["files"])
      if (entry["path"] == file) {
        entry["size"] = bytes.size();
        entry["sha256"] = to_hex(sha256(bytes));
      }
    seal["signature"] = nullptr;
    ASSERT_TRUE(write_file_atomically(bundle / "seal.json", recorder::seal_document(seal)));
  }

  [[nodiscard]] fs::path root() const { return directory_.path(); }
  TemporaryDirectory directory_ = *TemporaryDirectory::create("damaged");
  std::vector<fs::path> bundles_;
};

TEST_F(DamagedStore, AMissingRunLeavesItsPartnerOutAndANoteSaysSo) {
  fs::remove_all(bundles_[3]);
  Comparison comparison = compared();
  EXPECT_EQ(comparison.runs.size(), 15U);
  EXPECT_EQ(comparison.contrasts[0].pairs.size(), 7U);
  bool noted = false;
  for (const std::string& note : comparison.notes)
    noted = noted || note.find("no partner") != std::string::npos;
  EXPECT_TRUE(noted);
}

TEST_F(DamagedStore, ATruncatedTraceIsExcludedBeforeAndAfterSomebodySealsItAgain) {
  const fs::path trace = bundles_[2] / "trace.gyt";
  fs::resize_file(trace, fs::file_size(trace) - 40);
  Comparison comparison = compared();
  ASSERT_EQ(comparison.excluded.size(), 1U);
  EXPECT_THAT(comparison.excluded[0].reason, HasSubstr("trace.gyt"));
  seal_again(bundles_[2], "trace.gyt");
  comparison = compared();
  ASSERT_EQ(comparison.excluded.size(), 1U);
  EXPECT_EQ(comparison.excluded[0].bundle, bundles_[2]);
}

TEST_F(DamagedStore, AnEditedBundleIsExcludedAndNamed) {
  json run = json::parse(*read_file(bundles_[1] / "run.json"));
  run["condition"]["oversight"] = "announced";
  ASSERT_TRUE(write_file_atomically(bundles_[1] / "run.json", run.dump()));
  Comparison comparison = compared();
  ASSERT_EQ(comparison.excluded.size(), 1U);
  EXPECT_EQ(comparison.excluded[0].bundle, bundles_[1]);
  EXPECT_THAT(comparison.excluded[0].reason, HasSubstr("run.json"));
  EXPECT_EQ(report_json(comparison)["flow"]["excluded"].size(), 1U);
}

TEST_F(DamagedStore, ARunOfAnotherVersionIsExcludedWithThePlaceThatSaysSo) {
  json run = json::parse(*read_file(bundles_[1] / "run.json"));
  run["version"] = 2;
  ASSERT_TRUE(write_file_atomically(bundles_[1] / "run.json", run.dump()));
  seal_again(bundles_[1], "run.json");
  Comparison comparison = compared();
  ASSERT_EQ(comparison.excluded.size(), 1U);
  EXPECT_THAT(comparison.excluded[0].reason, HasSubstr("version"));
  EXPECT_EQ(comparison.runs.size(), 15U);
}

TEST_F(DamagedStore, ReportsOfWhatIsLeftAreTheSameBytes) {
  fs::remove(bundles_[0] / "transcript.jsonl");
  EXPECT_EQ(json_text(report_json(compared()), 2), json_text(report_json(compared()), 2));
}

}  // namespace
}  // namespace gyges::analysis
