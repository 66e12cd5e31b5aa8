#include "analysis/store/findings_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "analysis/comparison/comparison.h"
#include "analysis/report/report_json.h"
#include "base/files.h"
#include "base/json.h"
#include "base/sqlite.h"
#include "tests/analysis/sample_runs.h"

namespace gyges::analysis {
namespace {

namespace fs = std::filesystem;

class StoreOfFindings : public testing::Test {
 protected:
  void SetUp() override {
    bundles_ = write_paired_runs(root(), 6, [](SampleRun& run) {
      run.deletes_held = run.level == "announced_off" && run.repeat % 2 == 0;
      run.probes = run.repeat == 3;
      run.misbehaves_further = run.repeat == 4;
    });
  }

  [[nodiscard]] fs::path root() const { return directory_.path() / "experiment"; }
  [[nodiscard]] fs::path file() const { return directory_.path() / "kept" / "findings.sqlite"; }

  // Stamps are trusted at once: nothing but these tests changes the bundles.
  std::unique_ptr<FindingsStore> open(const std::string& definition = "d1") {
    auto store = FindingsStore::open(file(), {definition, std::chrono::nanoseconds(0)});
    EXPECT_TRUE(store) << store.error().line();
    return std::move(*store);
  }

  std::string report(FindingsStore* store) {
    CompareOptions options;
    options.store = store;
    options.threads = 2;
    auto comparison = compare({root()}, options);
    EXPECT_TRUE(comparison) << comparison.error().line();
    return json_text(report_json(*comparison), 2);
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("findings");
  std::vector<fs::path> bundles_;
};

TEST_F(StoreOfFindings, ReportsAreByteIdenticalWithAndWithoutIt) {
  const std::string without = report(nullptr);
  auto store = open();
  EXPECT_EQ(report(store.get()), without);
  EXPECT_EQ(store->counts().found, 12U);
  store = open();
  EXPECT_EQ(report(store.get()), without);
  EXPECT_EQ(store->counts().found, 0U);
  EXPECT_EQ(store->counts().kept, 12U);
  EXPECT_EQ(store->counts().verified, 0U);
  EXPECT_EQ(store->problem(), "");
}

TEST_F(StoreOfFindings, AnotherDefinitionFindsAnew) {
  report(open("d1").get());
  auto store = open("d2");
  report(store.get());
  EXPECT_EQ(store->counts().kept, 0U);
  EXPECT_EQ(store->counts().found, 12U);
}

TEST_F(StoreOfFindings, AnEditedBundleIsExcludedThoughSizeAndTimeAreAsBefore) {
  report(open().get());
  const fs::path edited = bundles_[0] / "transcript.jsonl";
  struct stat before {};
  ASSERT_EQ(stat(edited.c_str(), &before), 0);
  {
    std::fstream stream(edited, std::ios::in | std::ios::out);
    stream.seekp(2);
    stream.put('T');
  }
  const timespec times[2] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, edited.c_str(), times, 0), 0);
  auto store = open();
  CompareOptions options;
  options.store = store.get();
  auto comparison = compare({root()}, options);
  ASSERT_TRUE(comparison) << comparison.error().line();
  ASSERT_EQ(comparison->excluded.size(), 1U);
  EXPECT_NE(comparison->excluded[0].reason.find("transcript.jsonl"), std::string::npos)
      << comparison->excluded[0].reason;
  EXPECT_EQ(store->counts().kept, 11U);
}

TEST_F(StoreOfFindings, ACopyIsHashedAndItsFindingsAreUsed) {
  report(open().get());
  const fs::path copy = directory_.path() / "copy" / "runs" / bundles_[0].filename();
  fs::create_directories(copy.parent_path());
  fs::copy(bundles_[0], copy, fs::copy_options::recursive);
  auto store = open();
  auto read = store->read({copy, "copy"});
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(read->run.bundle, copy);
  EXPECT_EQ(read->run.experiment, "copy");
  EXPECT_EQ(store->counts().kept, 1U);
  EXPECT_EQ(store->counts().verified, 1U);
  std::ofstream(copy / "files" / "changes.jsonl", std::ios::app) << "{}\n";
  EXPECT_FALSE(store->read({copy, "copy"}));
}

TEST_F(StoreOfFindings, AYoungStampIsNotTrusted) {
  {
    auto store = FindingsStore::open(file(), {"d1", std::chrono::hours(1)});
    ASSERT_TRUE(store) << store.error().line();
    report(store->get());
  }
  auto store = open();
  report(store.get());
  EXPECT_EQ(store->counts().kept, 12U);
  EXPECT_EQ(store->counts().verified, 12U);
}

TEST_F(StoreOfFindings, ADamagedFileIsMadeAnewAndDamagedFindingsAreFoundAgain) {
  const std::string without = report(nullptr);
  fs::create_directories(file().parent_path());
  std::ofstream(file()) << "this is no database, and long enough to be looked at as one";
  auto store = open();
  EXPECT_EQ(report(store.get()), without);
  store.reset();
  // One byte of the findings of each run: SQLite has no checksum of its own.
  std::string bytes = *read_file(file());
  std::size_t frames = 0;
  for (std::size_t at = 0; (at = bytes.find("\x28\xb5\x2f\xfd", at)) != std::string::npos;
       at += 4) {
    bytes[at + 60] = static_cast<char>(bytes[at + 60] ^ 0x40);
    ++frames;
  }
  ASSERT_GE(frames, 12U);
  std::ofstream(file(), std::ios::binary) << bytes;
  store = open();
  EXPECT_EQ(report(store.get()), without);
  EXPECT_EQ(store->counts().kept + store->counts().found, 12U);
  EXPECT_GE(store->counts().found, 1U);
}

TEST_F(StoreOfFindings, AFileOfAnotherVersionOrMalformedIsMadeAnewNothingElseIsRemoved) {
  fs::create_directories(file().parent_path());
  {
    auto other = Database::open(file());
    ASSERT_TRUE(other && other->execute("CREATE TABLE findings (x); PRAGMA user_version = 2"));
  }
  open().reset();
  // The second page is the first table: SQLite finds it malformed, not the file.
  std::string bytes = *read_file(file());
  ASSERT_GT(bytes.size(), 8192U);
  bytes.replace(100, 3996, 3996, '\xff');
  std::ofstream(file(), std::ios::binary) << bytes;
  auto store = open();
  report(store.get());
  EXPECT_EQ(store->counts().found, 12U);
  EXPECT_EQ(store->problem(), "");
  EXPECT_FALSE(FindingsStore::open(root(), {"d1", std::chrono::nanoseconds(0)}));
  EXPECT_TRUE(fs::is_directory(root() / "runs"));
}

TEST_F(StoreOfFindings, ErrorsOfUnreadableBundlesNameACure) {
  FoundBundle log{root() / "a.eval", "logs", {}, {}, "read a.eval: it is no zip file"};
  EXPECT_NE(read_run(log).error().line().find("Cure: "), std::string::npos);
  log.problem += ". Cure: export it again";
  const std::string line = read_run(log).error().line();
  EXPECT_EQ(line.find("Cure: "), line.rfind("Cure: ")) << line;
}

TEST(ArchiveOfFindings, RefusesWhatIsCutOffOrTooLong) {
  auto directory = TemporaryDirectory::create("archive");
  ASSERT_TRUE(directory);
  SampleRun sample;
  sample.deletes_held = true;
  auto read = read_run({write_sample_run(directory->path(), sample), "x"});
  ASSERT_TRUE(read) << read.error().line();
  const std::string bytes = to_bytes(read->run, read->findings);
  ASSERT_TRUE(stored_run(bytes));
  EXPECT_EQ(to_bytes(stored_run(bytes)->run, stored_run(bytes)->findings), bytes);
  for (std::size_t size = 0; size < bytes.size(); size += 7)
    EXPECT_FALSE(stored_run(std::string_view(bytes).substr(0, size))) << size;
  EXPECT_FALSE(stored_run(bytes + "x"));
}

TEST(IdentityOfTheProgram, IsTheSameTwice) {
  auto first = program_identity();
  ASSERT_TRUE(first) << first.error().line();
  EXPECT_EQ(first->size(), 64U);
  EXPECT_EQ(*first, *program_identity());
}

}  // namespace
}  // namespace gyges::analysis
