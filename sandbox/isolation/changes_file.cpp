#include "sandbox/isolation/changes_file.h"

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"

namespace gyges::isolation {
namespace {

const char* kind_name(FileChange::Kind kind) {
  switch (kind) {
    case FileChange::Kind::added:
      return "added";
    case FileChange::Kind::modified:
      return "modified";
    case FileChange::Kind::deleted:
      return "deleted";
  }
  return "";
}

const char* type_name(FileChange::Type type) {
  switch (type) {
    case FileChange::Type::file:
      return "file";
    case FileChange::Type::directory:
      return "directory";
    case FileChange::Type::symlink:
      return "symlink";
    case FileChange::Type::fifo:
      return "fifo";
    case FileChange::Type::socket:
      return "socket";
    case FileChange::Type::device:
      return "device";
  }
  return "";
}

std::string hex(const std::string& bytes) {
  std::string digits;
  for (unsigned char byte : bytes) {
    digits += "0123456789abcdef"[byte >> 4U];
    digits += "0123456789abcdef"[byte & 15U];
  }
  return digits;
}

}  // namespace

Result<std::string> contents_directory(const std::filesystem::path& bundle) {
  std::filesystem::path directory = bundle / "files" / "content";
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  if (code) return fail_errno("make directory", directory.string(), code.value());
  return directory.string();
}

Status write_changes(const std::filesystem::path& bundle, const SandboxEnd& end) {
  std::string lines;
  for (const FileChange& change : end.changes) {
    nlohmann::json line = {{"kind", kind_name(change.kind)},
                           {"type", type_name(change.type)},
                           {"path", valid_utf8(change.path)},
                           {"mode", change.mode},
                           {"uid", change.uid},
                           {"gid", change.gid},
                           {"size", change.size},
                           {"mtime_ns", change.mtime_ns}};
    // JSON strings are text and paths are bytes.
    if (valid_utf8(change.path) != change.path) line["path_hex"] = hex(change.path);
    if (!change.sha256.empty()) line["sha256"] = change.sha256;
    if (!change.link_target.empty()) line["link_target"] = valid_utf8(change.link_target);
    if (valid_utf8(change.link_target) != change.link_target)
      line["link_target_hex"] = hex(change.link_target);
    if (!change.note.empty()) line["note"] = change.note;
    lines += line.dump() + "\n";
  }
  std::error_code code;
  std::filesystem::create_directories(bundle / "files", code);
  if (code) return fail_errno("make directory", (bundle / "files").string(), code.value());
  return write_file_atomically(bundle / "files" / "changes.jsonl", lines);
}

}  // namespace gyges::isolation
