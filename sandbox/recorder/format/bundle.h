// The run bundle: the directory that holds everything about one run (docs/run_bundle.md).
//
// A bundle under construction has no seal.json; BundleWriter::finish writes run.json and seal.json
// last, each atomically, so that a bundle with a seal is whole.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/hash.h"

namespace gyges::recorder {

class BundleWriter {
 public:
  // Makes the directory, which must not exist or be empty, with blobs/ and files/ in it.
  static Result<BundleWriter> create(const std::filesystem::path& directory);

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }
  [[nodiscard]] std::filesystem::path trace_file() const { return directory_ / "trace.gyt"; }
  [[nodiscard]] std::filesystem::path transcript_file() const {
    return directory_ / "transcript.jsonl";
  }

  // Stores bytes under blobs/<sha256> once; returns the hash in hex.
  Result<std::string> add_blob(std::string_view bytes);

  // Validates `run` against the schema, writes run.json, then seal.json over every file.
  Status finish(const nlohmann::json& run);

 private:
  explicit BundleWriter(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path directory_;
};

struct BundleFault {
  std::string file;  // relative to the bundle
  std::string
      reason;  // "changed", "missing", "not in the seal", with the first bad byte where known
};

// Compares every file with seal.json and the blocks of the trace with their checksums. An empty
// list means the bundle is as it was sealed. Fails when there is no readable seal.
Result<std::vector<BundleFault>> verify_bundle(const std::filesystem::path& directory);

}  // namespace gyges::recorder
