#include "sandbox/recorder/format/bundle.h"

#include <fmt/format.h>

#include <cstdlib>
#include <optional>

#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/state_directory.h"
#include "base/text.h"
#include "sandbox/recorder/format/bundle_files.h"
#include "sandbox/recorder/format/ledger.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/seal_key.h"
#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::recorder {
namespace fs = std::filesystem;
namespace {

Result<nlohmann::json> chain_head_of(const fs::path& directory, const FileList& files) {
  if (files.find(std::string(trace_name)) == files.end()) return nlohmann::json(nullptr);
  GYGES_TRY(TraceReader reader, TraceReader::open(directory / trace_name));
  return nlohmann::json(to_hex(reader.chain_head()));
}

// What the host allows for sealing, found out before run.json is written, which has to say what is
// wanting.
struct SealMeans {
  std::optional<SealKey> key;
  std::optional<LedgerWriter> ledger;
  std::vector<std::string> omitted;
};

Result<SealMeans> seal_means(const SealPlaces& places) {
  SealMeans means;
  const std::string no_place = "neither XDG_STATE_HOME nor HOME is set";
  if (places.key.empty()) {
    means.omitted.push_back("signature: " + no_place);
  } else if (auto key = places.key_is_named ? SealKey::load(places.key)
                                            : SealKey::load_or_create(places.key)) {
    means.key = std::move(*key);
  } else if (places.key_is_named) {
    return tl::unexpected<Error>(std::move(key.error()));
  } else {
    means.omitted.push_back("signature: " + valid_utf8(key.error().line()));
  }
  if (places.ledger.empty()) {
    means.omitted.push_back("ledger: " + no_place);
    return means;
  }
  // The key's making has made the directory, unless another key is used.
  std::error_code error;
  if (!fs::exists(places.ledger.parent_path(), error)) {
    fs::create_directories(places.ledger.parent_path(), error);
    fs::permissions(places.ledger.parent_path(), fs::perms::owner_all, error);
  }
  if (auto ledger = LedgerWriter::open(places.ledger))
    means.ledger = std::move(*ledger);
  else
    means.omitted.push_back("ledger: " + valid_utf8(ledger.error().line()));
  return means;
}

Status sign(nlohmann::json& seal, const std::optional<SealKey>& key) {
  seal["signature"] = nullptr;
  if (!key) return ok();
  GYGES_TRY(std::string value, key->sign(signed_part(seal)));
  seal["signature"] = {{"algorithm", "ed25519"},
                       {"public_key", public_key_text(key->public_key())},
                       {"value", std::move(value)}};
  return ok();
}

LedgerEntry entry_of(const nlohmann::json& seal) {
  LedgerEntry entry;
  entry.time = seal["sealed_at"];
  entry.run_id = seal["run_id"];
  entry.seal = to_hex(sha256(signed_part(seal)));
  if (seal["trace_chain_head"].is_string()) entry.chain_head = seal["trace_chain_head"];
  if (seal["signature"].is_object()) entry.key = seal["signature"]["public_key"];
  return entry;
}

}  // namespace

SealPlaces SealPlaces::from_environment() {
  SealPlaces places;
  fs::path state = state_directory();
  if (!state.empty()) {
    places.key = state / "seal_key.pem";
    places.ledger = state / "ledger.jsonl";
  }
  const char* named = std::getenv("GYGES_SEAL_KEY");
  if (named != nullptr && *named != '\0') {
    places.key = named;
    places.key_is_named = true;
  }
  return places;
}

Result<BundleWriter> BundleWriter::create(const fs::path& directory, SealPlaces places) {
  if (places.key_is_named) {
    auto key = SealKey::load(places.key);
    if (!key) return tl::unexpected<Error>(std::move(key.error()));
  }
  std::error_code error;
  if (fs::exists(directory, error)) {
    bool empty = fs::is_directory(directory, error) && fs::is_empty(directory, error);
    if (error) return fail_errno("create bundle", directory.string(), error.value());
    if (!empty)
      return fail("create bundle", directory.string(), "it exists and is not an empty directory",
                  "name a new directory");
  }
  for (const fs::path& path : {directory, directory / "blobs", directory / "files"}) {
    fs::create_directories(path, error);
    if (error) {
      auto failure = fail_errno("create bundle", path.string(), error.value());
      failure.value().cure = "name a directory that can be written, with --out";
      return failure;
    }
  }
  return BundleWriter(directory, std::move(places));
}

Result<std::string> BundleWriter::add_blob(std::string_view bytes) {
  std::string name = to_hex(sha256(bytes));
  fs::path path = directory_ / "blobs" / name;
  std::error_code error;
  if (!fs::exists(path, error)) GYGES_CHECK(write_file_atomically(path, bytes));
  return name;
}

Status BundleWriter::finish(const nlohmann::json& run) {
  GYGES_CHECK(validate_json(run, "run", (directory_ / "run.json").string()));
  GYGES_TRY(SealMeans means, seal_means(places_));
  nlohmann::json document = run;
  for (const std::string& reason : means.omitted)
    document["warnings"].push_back("the seal lacks its " + reason);
  // Texts that came from inside a sandbox need not be UTF-8; they are kept readable, not verbatim.
  std::string text = document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  GYGES_CHECK(write_file_atomically(directory_ / "run.json", text + "\n"));
  GYGES_TRY(FileList files, list_files(directory_));
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [path, facts] : files) {
    if (!facts.regular)
      return fail("seal bundle", (directory_ / path).string(), "it is no regular file");
    if (valid_utf8(path) != path)
      return fail("seal bundle", printable(path), "a file name cannot be written as text");
    list.push_back({{"path", path}, {"size", facts.size}, {"sha256", facts.sha256}});
  }
  GYGES_TRY(nlohmann::json head, chain_head_of(directory_, files));
  nlohmann::json seal{{"$schema", "gyges/seal.schema.json"},
                      {"version", 1},
                      {"run_id", run["run_id"]},
                      {"sealed_at", utc_timestamp()},
                      {"files", std::move(list)},
                      {"trace_chain_head", std::move(head)},
                      {"omitted", means.omitted}};
  GYGES_CHECK(sign(seal, means.key));
  // The ledger first: a line without a seal is a run that did not finish; a seal without its line
  // could be anybody's.
  if (means.ledger) {
    if (Status entered = means.ledger->append(entry_of(seal)); !entered) {
      seal["omitted"].push_back("ledger: " + valid_utf8(entered.error().line()));
      GYGES_CHECK(sign(seal, means.key));
    }
  }
  omitted_ = seal["omitted"].get<std::vector<std::string>>();
  return write_file_atomically(directory_ / seal_name, seal_document(seal));
}

}  // namespace gyges::recorder
