// The run bundle: the directory that holds everything about one run (docs/run_bundle.md).
//
// A bundle under construction has no seal.json; BundleWriter::finish writes run.json and seal.json
// last, each atomically, so that a bundle with a seal is whole.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "sandbox/recorder/format/first_bad_byte.h"

namespace gyges::recorder {

// Where the key that signs seals and the ledger of sealed runs are kept.
struct SealPlaces {
  std::filesystem::path key;     // empty: seals are not signed, and say so
  bool key_is_named = false;     // somebody asked for this key: it must be there and fit
  std::filesystem::path ledger;  // empty: no ledger is kept, and the seal says so

  // $GYGES_SEAL_KEY, else seal_key.pem in the user's state directory; ledger.jsonl there.
  static SealPlaces from_environment();
};

class BundleWriter {
 public:
  // Makes the directory, which must not exist or be empty, with blobs/ and files/ in it. Fails
  // before anything is run if a key was named that cannot be used.
  static Result<BundleWriter> create(const std::filesystem::path& directory,
                                     SealPlaces places = SealPlaces::from_environment());

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] std::filesystem::path trace_file() const { return directory_ / "trace.gyt"; }
  [[nodiscard]] std::filesystem::path transcript_file() const {
    return directory_ / "transcript.jsonl";
  }

  // Stores bytes under blobs/<sha256> once; returns the hash in hex.
  Result<std::string> add_blob(std::string_view bytes);

  // Validates `run` against the schema, writes run.json, appends the seal's hash to the ledger,
  // then writes seal.json over every file. A seal that cannot be signed or entered in the ledger is
  // written all the same: run.json's warnings and the seal's `omitted` say what is wanting and why.
  Status finish(const nlohmann::json& run);

  // After finish(): what the seal lacks, and why; "signature: ...", "ledger: ...".
  [[nodiscard]] const std::vector<std::string>& omitted() const { return omitted_; }

 private:
  BundleWriter(std::filesystem::path directory, SealPlaces places)
      : directory_(std::move(directory)), places_(std::move(places)) {}
  std::filesystem::path directory_;
  SealPlaces places_;
  std::vector<std::string> omitted_;
};

struct BundleFault {
  std::string file;  // relative to the bundle
  std::string reason;  // "changed", "missing", "not in the seal", ...
  // Of a trace that was changed or cut, and of any file that was only made longer.
  std::optional<BadByte> first_bad_byte = {};
};

// Compares every file with seal.json, the blocks of the trace with their checksums and the seal
// with its signature, if it has one. An empty list means the bundle is as whoever sealed it left
// it; who that was is for check_bundle (bundle_check.h). Fails when there is no readable seal.
Result<std::vector<BundleFault>> verify_bundle(const std::filesystem::path& directory);

}  // namespace gyges::recorder
