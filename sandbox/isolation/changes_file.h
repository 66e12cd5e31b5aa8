// The list of file changes in a run bundle: files/changes.jsonl (docs/run_bundle.md).
#pragma once

#include <filesystem>

#include "base/error.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

// Where Sandbox::stop() shall put the contents; made if absent.
Result<std::string> contents_directory(const std::filesystem::path& bundle);

Status write_changes(const std::filesystem::path& bundle, const SandboxEnd& end);

}  // namespace gyges::isolation
