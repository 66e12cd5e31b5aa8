// Writes flows.jsonl and the bodies beside it into a run bundle (docs/flows.md). One owner.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/network/flow.h"

namespace gyges::network {

class FlowWriter {
 public:
  // Makes `bundle`/flows.jsonl, which must not exist, and blobs/ where it is missing.
  static Result<FlowWriter> create(const std::filesystem::path& bundle);

  // One line, and a blob for each body that was not stored before. Buffered. Texts over 16 KiB, and
  // what would make the line longer than readers take, are cut, which `reason` then says.
  Status write(Flow flow);
  // Writes what is buffered and syncs. Nothing may be written after it.
  Status finish();

 private:
  FlowWriter(std::filesystem::path bundle, UniqueFd file)
      : bundle_(std::move(bundle)), file_(std::move(file)) {}
  Status flush();
  std::filesystem::path bundle_;
  UniqueFd file_;
  std::string buffer_;
  std::set<std::string> stored_;  // hashes of the blobs that are there
};

}  // namespace gyges::network
