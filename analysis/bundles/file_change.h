// Changes that a run made to the filesystem: files/changes.jsonl of its bundle.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace gyges::analysis {

struct FileChange {
  std::string kind;  // "added", "modified", "deleted"
  std::string type;  // "file", "directory", "symlink", ...
  std::string path;  // absolute, as seen inside; bytes as the kernel has them
  std::uint64_t size = 0;
  std::string sha256;  // of an added or modified file whose content is in the bundle
};

// An absent list is an error: a bundle that has none says nothing about files.
Result<std::vector<FileChange>> load_file_changes(const std::filesystem::path& bundle);

// Content of an added or modified file, cut to the first `limit` bytes; a change without stored
// content is an error.
Result<std::string> file_content(const std::filesystem::path& bundle, const FileChange& change,
                                 std::size_t limit);

}  // namespace gyges::analysis
