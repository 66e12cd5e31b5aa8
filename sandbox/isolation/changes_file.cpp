#include "sandbox/isolation/changes_file.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "base/files.h"
#include "base/text.h"

namespace gyges::isolation {
namespace {

std::string hex(const std::string& bytes) {
  std::string digits;
  for (unsigned char byte : bytes) {
    digits += "0123456789abcdef"[byte >> 4U];
    digits += "0123456789abcdef"[byte & 15U];
  }
  return digits;
}

constexpr std::size_t largest_list = 512U << 20U;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Nothing where the text is no such number.
std::optional<std::string> unhex(const std::string& digits) {
  std::string bytes;
  if (digits.size() % 2 != 0) return std::nullopt;
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    int high = digit(digits[i]);
    int low = digit(digits[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

// The bytes of a path, from its text or from its hexadecimal form.
bool take_bytes(const nlohmann::json& line, const std::string& key, std::string& into) {
  if (auto text = line.find(key); text != line.end()) {
    if (!text->is_string()) return false;
    into = text->get<std::string>();
  }
  auto digits = line.find(key + "_hex");
  if (digits == line.end()) return true;
  if (!digits->is_string()) return false;
  auto bytes = unhex(digits->get<std::string>());
  if (bytes) into = *bytes;
  return bytes.has_value();
}

bool take_number(const nlohmann::json& line, const char* key, std::uint64_t most,
                 std::uint64_t& into) {
  auto found = line.find(key);
  if (found == line.end() || !found->is_number_unsigned()) return false;
  into = found->get<std::uint64_t>();
  return into <= most;
}

bool take_change(const nlohmann::json& line, FileChange& change) {
  if (!line.is_object() || !take_bytes(line, "path", change.path) ||
      !take_bytes(line, "link_target", change.link_target))
    return false;
  bool kind = false;
  bool type = false;
  for (auto known :
       {FileChange::Kind::added, FileChange::Kind::modified, FileChange::Kind::deleted})
    if (line.value("kind", nlohmann::json()) == kind_name(known)) {
      change.kind = known;
      kind = true;
    }
  for (auto known : {FileChange::Type::file, FileChange::Type::directory, FileChange::Type::symlink,
                     FileChange::Type::fifo, FileChange::Type::socket, FileChange::Type::device})
    if (line.value("type", nlohmann::json()) == type_name(known)) {
      change.type = known;
      type = true;
    }
  std::uint64_t mode = 0;
  if (!kind || !type || change.path.empty() || change.path[0] != '/' ||
      !take_number(line, "mode", 07777, mode) || !take_number(line, "size", ~0ULL, change.size))
    return false;
  change.mode = static_cast<unsigned>(mode);
  for (auto [key, into] : {std::pair{"sha256", &change.sha256}, std::pair{"note", &change.note}})
    if (auto found = line.find(key); found != line.end()) {
      if (!found->is_string()) return false;
      *into = found->get<std::string>();
    }
  return true;
}

}  // namespace

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

Result<std::vector<FileChange>> read_changes(const std::filesystem::path& bundle) {
  std::filesystem::path file = bundle / "files" / "changes.jsonl";
  GYGES_TRY(std::string text, read_file(file, largest_list));
  std::vector<FileChange> changes;
  std::size_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (line.empty()) continue;
    FileChange change;
    if (!take_change(nlohmann::json::parse(line, nullptr, false), change))
      return fail("read file changes", file.string() + ":" + std::to_string(number),
                  "the line is none of a list of changes", "check the bundle with gyges verify");
    changes.push_back(std::move(change));
  }
  return changes;
}

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
