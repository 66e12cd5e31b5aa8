// The list of file changes in a run bundle: files/changes.jsonl (docs/run_bundle.md).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/sandbox.h"

namespace gyges::isolation {

// Where Sandbox::stop() shall put the contents; made if absent.
Result<std::string> contents_directory(const std::filesystem::path& bundle);

Status write_changes(const std::filesystem::path& bundle, const SandboxEnd& end);

// Every line is checked: a bundle may come from anywhere. A bundle without the file is an error.
Result<std::vector<FileChange>> read_changes(const std::filesystem::path& bundle);

const char* kind_name(FileChange::Kind kind);
const char* type_name(FileChange::Type type);

}  // namespace gyges::isolation
