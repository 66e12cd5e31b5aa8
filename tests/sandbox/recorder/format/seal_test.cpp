// Signatures and the ledger: who sealed a bundle, and is it the bundle that was sealed?
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "base/hash.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/bundle_check.h"
#include "sandbox/recorder/format/ledger.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sealed_bundle.h"

namespace gyges::recorder {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Seal : public testing::SealedBundle {
 protected:
  BundleCheck check(const fs::path& ledger) {
    auto checked = check_bundle(directory_, ledger);
    EXPECT_TRUE(checked) << (checked ? "" : checked.error().line());
    return checked ? std::move(*checked) : BundleCheck{};
  }
  BundleCheck check() { return check(places_.ledger); }

  // Makes the seal state what is on disk, as a forger without the key would.
  void recompute_checksums() {
    json forged = seal();
    for (json& file : forged["files"]) {
      fs::path path = directory_ / file["path"].get<std::string>();
      file["size"] = fs::file_size(path);
      file["sha256"] = to_hex(*sha256_of_file(path));
    }
    auto reader = TraceReader::open(directory_ / "trace.gyt");
    ASSERT_TRUE(reader);
    forged["trace_chain_head"] = to_hex(reader->chain_head());
    write_seal(forged);
  }

  // Seals the bundle on disk anew as run `run`, with the key and ledger of `places`.
  void seal_again(const json& run, const SealPlaces& places) {
    fs::path copy = parent_->path() / "again";
    auto writer = BundleWriter::create(copy, places);
    ASSERT_TRUE(writer) << writer.error().line();
    fs::copy(directory_, copy, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
    fs::remove(copy / "seal.json");
    ASSERT_TRUE(writer->finish(run));
    fs::remove_all(directory_);
    fs::rename(copy, directory_);
  }

  json run() { return *load_json(directory_ / "run.json", "run"); }
};

TEST_F(Seal, NamesItsSignerAndStandsInTheLedger) {
  BundleCheck checked = check();
  EXPECT_TRUE(checked.faults.empty());
  EXPECT_TRUE(checked.omitted.empty());
  EXPECT_EQ(checked.ledger, LedgerFinding::agrees);
  auto key = SealKey::load(places_.key);
  ASSERT_TRUE(key) << key.error().line();
  ASSERT_TRUE(checked.signer);
  EXPECT_EQ(*checked.signer, key->public_key());
  EXPECT_EQ(checked.run_id, run()["run_id"]);
  auto reader = TraceReader::open(directory_ / "trace.gyt");
  ASSERT_TRUE(reader);
  EXPECT_EQ(checked.chain_head, to_hex(reader->chain_head()));
  auto entries = look_up(places_.ledger, checked.run_id);
  ASSERT_TRUE(entries);
  ASSERT_EQ(entries->entries.size(), 1U);
  EXPECT_EQ(entries->entries[0].chain_head, checked.chain_head);
}

TEST_F(Seal, KeyAndLedgerAreTheOwnersAlone) {
  struct stat status {};
  ASSERT_EQ(::stat(places_.key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat(places_.key.parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  ASSERT_EQ(::stat(places_.ledger.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(Seal, RecomputedChecksumsAreCaughtByTheSignature) {
  std::ofstream(directory_ / "transcript.jsonl") << "{\"forged\":true}\n";
  recompute_checksums();
  BundleCheck checked = check({});
  ASSERT_EQ(checked.faults.size(), 1U);
  EXPECT_EQ(checked.faults[0].file, "seal.json");
  EXPECT_THAT(checked.faults[0].reason, HasSubstr("signature"));
  EXPECT_FALSE(checked.signer);
}

TEST_F(Seal, EveryChangedFieldBreaksTheSignature) {
  const json whole = seal();
  auto expect_fault = [&](json forged) {
    write_seal(forged);
    EXPECT_FALSE(check({}).faults.empty()) << forged.dump();
  };
  json forged = whole;
  forged["run_id"] = "0123456789abcdef";
  expect_fault(forged);
  forged = whole;
  forged["sealed_at"] = "2020-01-01T00:00:00.000Z";
  expect_fault(forged);
  forged = whole;
  forged["omitted"].push_back("ledger: lost");
  expect_fault(forged);
  forged = whole;
  forged["signature"]["public_key"] = std::string(64, '1');
  expect_fault(forged);
  forged = whole;
  forged["signature"]["value"] = std::string(128, '0');
  expect_fault(forged);
  write_seal(whole);
  EXPECT_TRUE(check().faults.empty()) << "the control";
}

// White space of the seal itself is nothing that the signature covers.
TEST_F(Seal, NotAByteOfTheSealMayChange) {
  ASSERT_TRUE(faults().empty());
  const std::string sealed = *read_file(directory_ / "seal.json");
  for (const std::string& changed :
       {sealed.substr(0, sealed.size() - 1), sealed + "\n", " " + sealed, seal().dump()}) {
    ASSERT_TRUE(write_file_atomically(directory_ / "seal.json", changed));
    const auto found = faults();
    ASSERT_EQ(found.size(), 1U);
    EXPECT_EQ(found[0].file, "seal.json");
  }
}

TEST_F(Seal, ATruncatedTraceSealedAnewDiffersFromTheLedger) {
  fs::path trace = directory_ / "trace.gyt";
  fs::resize_file(trace, fs::file_size(trace) - 40);
  EXPECT_THAT(check({}).faults.at(0).reason, HasSubstr("cut off"));
  // A forger who has taken the key, but cannot take lines out of the ledger.
  SealPlaces forger = places_;
  forger.ledger = parent_->path() / "other_ledger";
  seal_again(run(), forger);
  BundleCheck checked = check();
  EXPECT_TRUE(checked.signer) << "the signature alone does not show it";
  EXPECT_EQ(checked.ledger, LedgerFinding::differs);
  EXPECT_THAT(checked.faults.at(0).reason,
              ::testing::AllOf(StartsWith("differs from the ledger"), HasSubstr("another trace")));
}

TEST_F(Seal, AReplacedBundleDiffersFromTheLedger) {
  json original = run();
  fs::remove_all(directory_);
  SealPlaces own = places_;
  places_.ledger = parent_->path() / "other_ledger";
  make_bundle(directory_, 400);
  json replacement = run();
  replacement["run_id"] = original["run_id"];
  seal_again(replacement, places_);
  BundleCheck checked = check(own.ledger);
  EXPECT_EQ(checked.ledger, LedgerFinding::differs);
  ASSERT_EQ(checked.faults.size(), 1U);
  EXPECT_TRUE(check({}).faults.empty()) << "whole in itself";
}

TEST_F(Seal, ARunSealedTwiceIsAFaultWhicheverStandsThere) {
  std::ofstream(directory_ / "transcript.jsonl") << "{\"forged\":true}\n";
  seal_again(run(), places_);  // with key and ledger of the user
  EXPECT_EQ(check().ledger, LedgerFinding::differs);
}

TEST_F(Seal, AStrippedSignatureDiffersFromTheLedger) {
  json forged = seal();
  forged["signature"] = nullptr;
  write_seal(forged);
  EXPECT_TRUE(check({}).faults.empty());
  EXPECT_FALSE(check({}).signer);
  EXPECT_EQ(check().ledger, LedgerFinding::differs);
}

TEST_F(Seal, ARunTheLedgerDoesNotKnowIsNoFault) {
  ASSERT_TRUE(write_file_atomically(places_.ledger, ""));
  EXPECT_TRUE(check().faults.empty());
  EXPECT_EQ(check().ledger, LedgerFinding::unknown);
  fs::remove(places_.ledger);
  EXPECT_EQ(check().ledger, LedgerFinding::none);
}

TEST_F(Seal, BrokenLedgerLinesAreCountedAndDoNotSwallowTheNext) {
  std::ofstream(places_.ledger, std::ios::app) << std::string(9000, 'x') << "\n{\"time\":\"20";
  fs::remove_all(directory_);
  make_bundle(directory_);
  BundleCheck checked = check();
  EXPECT_EQ(checked.ledger, LedgerFinding::agrees);
  EXPECT_EQ(checked.unreadable_ledger_lines, 2U);
}

TEST_F(Seal, SaysWhatItLacksWhereStateCannotBeWritten) {
  // A file where the directory should be: refused for root as well.
  std::ofstream(parent_->path() / "blocked") << "";
  places_.key = parent_->path() / "blocked" / "gyges" / "seal_key.pem";
  places_.ledger = parent_->path() / "blocked" / "gyges" / "ledger.jsonl";
  fs::remove_all(directory_);
  make_bundle(directory_);
  BundleCheck checked = check({});
  EXPECT_TRUE(checked.faults.empty());
  EXPECT_FALSE(checked.signer);
  ASSERT_EQ(checked.omitted.size(), 2U);
  EXPECT_THAT(checked.omitted[0], StartsWith("signature: "));
  EXPECT_THAT(checked.omitted[1], StartsWith("ledger: "));
  EXPECT_EQ(run()["warnings"].size(), 2U);
}

TEST_F(Seal, AFullDiskUnderTheLedgerIsSaidInTheSeal) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "there is no /dev/full";
  places_.ledger = "/dev/full";
  fs::remove_all(directory_);
  make_bundle(directory_);
  BundleCheck checked = check({});
  EXPECT_TRUE(checked.faults.empty());
  EXPECT_TRUE(checked.signer);
  ASSERT_EQ(checked.omitted.size(), 1U);
  EXPECT_THAT(checked.omitted[0], StartsWith("ledger: "));
  EXPECT_TRUE(run()["warnings"].empty()) << "it was written before";
}

TEST_F(Seal, ANamedKeyMustBeThereBeforeAnythingRuns) {
  SealPlaces named = places_;
  named.key = parent_->path() / "none.pem";
  named.key_is_named = true;
  auto writer = BundleWriter::create(parent_->path() / "other", named);
  ASSERT_FALSE(writer);
  EXPECT_FALSE(fs::exists(parent_->path() / "other"));
  named.key = places_.key;
  EXPECT_TRUE(BundleWriter::create(parent_->path() / "other", named));
  ASSERT_EQ(::chmod(places_.key.c_str(), 0644), 0);
  auto refused = BundleWriter::create(parent_->path() / "third", named);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("chmod 600"));
}

TEST_F(Seal, KeysCanBeNamedInEveryForm) {
  auto key = SealKey::load(places_.key);
  ASSERT_TRUE(key);
  std::string fingerprint = key_fingerprint(key->public_key());
  for (const std::string& name :
       {places_.key.string(), public_key_text(key->public_key()), fingerprint}) {
    auto named = fingerprint_of_named_key(name);
    ASSERT_TRUE(named) << named.error().line();
    EXPECT_EQ(*named, fingerprint);
  }
  EXPECT_FALSE(fingerprint_of_named_key("no-such-file"));
  EXPECT_FALSE(fingerprint_of_named_key((directory_ / "run.json").string()));
}

// As parallel workers do: eight processes seal at once, with no key there yet.
TEST_F(Seal, ParallelWorkersShareOneKeyAndOneLedger) {
  fs::remove_all(places_.key.parent_path());
  constexpr int workers = 8;
  constexpr int runs = 4;
  for (int worker = 0; worker < workers; ++worker)
    if (::fork() == 0) {
      for (int run = 0; run < runs; ++run)
        make_bundle(parent_->path() / ("w" + std::to_string(worker * runs + run)), 20);
      ::_exit(HasFailure() ? 1 : 0);
    }
  for (int worker = 0; worker < workers; ++worker) {
    int status = 0;
    ::wait(&status);
    EXPECT_EQ(status, 0);
  }
  auto key = SealKey::load(places_.key);
  ASSERT_TRUE(key);
  for (int run = 0; run < workers * runs; ++run) {
    directory_ = parent_->path() / ("w" + std::to_string(run));
    BundleCheck checked = check();
    EXPECT_EQ(checked.ledger, LedgerFinding::agrees);
    ASSERT_TRUE(checked.signer);
    EXPECT_EQ(*checked.signer, key->public_key());
  }
  // Nothing staged is left behind.
  for (const auto& entry : fs::directory_iterator(places_.key.parent_path()))
    EXPECT_THAT(entry.path().filename().string(), ::testing::AnyOf("seal_key.pem", "ledger.jsonl"));
}

}  // namespace
}  // namespace gyges::recorder
