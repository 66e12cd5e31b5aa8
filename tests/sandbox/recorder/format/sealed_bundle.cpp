#include "sealed_bundle.h"

#include <fstream>

#include "base/hash.h"
#include "sample_events.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/trace_writer.h"

namespace gyges::recorder::testing {
using nlohmann::json;

json sample_run(const Coverage& coverage) {
  std::string hash(64, 'a');
  return {{"$schema", "gyges/run.schema.json"},
          {"version", 1},
          {"run_id", new_run_id()},
          {"kind", "command"},
          {"started_at", utc_timestamp()},
          {"duration_ms", 12},
          {"command", {"/bin/true"}},
          {"scenario", nullptr},
          {"condition", json::object()},
          {"agent", nullptr},
          {"repeat", 0},
          {"seed", 0},
          {"policy", {{"name", "default"}, {"sha256", hash}}},
          {"persona", nullptr},
          {"host", host_facts()},
          {"exit", {{"kind", "exited"}, {"code", 0}, {"signal", 0}, {"reason", ""}}},
          {"limits_hit", json::array()},
          {"coverage", coverage_to_json(coverage)},
          {"lost", 0},
          {"observables", nullptr},
          {"warnings", json::array()}};
}

void SealedBundle::SetUp() {
  auto parent = TemporaryDirectory::create("gyges_bundle_test");
  ASSERT_TRUE(parent);
  parent_ = std::move(*parent);
  directory_ = parent_->path() / "run";
  places_.key = parent_->path() / "state" / "seal_key.pem";
  places_.ledger = parent_->path() / "state" / "ledger.jsonl";
  make_bundle(directory_);
}

json SealedBundle::make_bundle(const std::filesystem::path& directory, std::size_t events) {
  auto bundle = BundleWriter::create(directory, places_);
  EXPECT_TRUE(bundle) << (bundle ? "" : bundle.error().line());
  if (!bundle) return {};
  auto writer = TraceWriter::create(bundle->trace_file(), Backend::ebpf);
  EXPECT_TRUE(writer);
  std::mt19937_64 random(9);
  EventList list;
  add_lifelike_events(list, events, random);
  for (const Event& event : list.finished()) EXPECT_TRUE((*writer)->append(event));
  Coverage coverage;
  EXPECT_TRUE((*writer)->finish(coverage));
  auto blob = bundle->add_blob("body");
  EXPECT_TRUE(blob);
  EXPECT_EQ(*blob, to_hex(sha256("body")));
  EXPECT_TRUE(bundle->add_blob("body"));
  std::ofstream(bundle->transcript_file()) << "{}\n";
  json run = sample_run(coverage);
  Status sealed = bundle->finish(run);
  EXPECT_TRUE(sealed) << (sealed ? "" : sealed.error().line());
  return run;
}

std::vector<BundleFault> SealedBundle::faults() {
  auto found = verify_bundle(directory_);
  EXPECT_TRUE(found) << (found ? "" : found.error().line());
  return found ? *found : std::vector<BundleFault>{};
}

json SealedBundle::seal() {
  auto text = read_file(directory_ / "seal.json");
  return text ? json::parse(*text, nullptr, false) : json();
}

void SealedBundle::write_seal(const json& seal) {
  ASSERT_TRUE(write_file_atomically(directory_ / "seal.json", seal.dump(1) + "\n"));
}

}  // namespace gyges::recorder::testing
