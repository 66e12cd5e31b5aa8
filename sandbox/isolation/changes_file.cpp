#include "sandbox/isolation/changes_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/fd.h"
#include "base/json.h"
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

// Of a line: a path of 50 KB and 64 KiB of attributes, escaped.
constexpr std::size_t longest_line = 4U << 20U;
// The list is written in pieces: with a million changes it has a quarter of a gigabyte.
constexpr std::size_t piece = 1U << 20U;

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
  if (auto found = line.find("attributes"); found != line.end()) {
    if (!found->is_object()) return false;
    for (const auto& [name, digits] : found->items()) {
      auto value = digits.is_string() ? unhex(digits.get<std::string>()) : std::nullopt;
      if (!value) return false;
      change.attributes.emplace_back(name, std::move(*value));
    }
  }
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
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail_errno("read file changes", file.string());
  std::vector<FileChange> changes;
  std::size_t number = 0;
  auto take = [&](std::string_view line) -> Status {
    ++number;
    FileChange change;
    if (line.empty()) return ok();
    if (!take_change(nlohmann::json::parse(line, nullptr, false), change))
      return fail("read file changes", file.string() + ":" + std::to_string(number),
                  "the line is none of a list of changes", "check the bundle with gyges verify");
    changes.push_back(std::move(change));
    return ok();
  };
  std::string pending;
  std::string chunk(piece, '\0');
  for (;;) {
    ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read file changes", file.string());
    if (n == 0) break;
    pending.append(chunk, 0, static_cast<std::size_t>(n));
    std::size_t at = 0;
    for (std::size_t end; (end = pending.find('\n', at)) != std::string::npos; at = end + 1)
      GYGES_CHECK(take(std::string_view(pending).substr(at, end - at)));
    pending.erase(0, at);
    if (pending.size() > longest_line)
      return fail("read file changes", file.string() + ":" + std::to_string(number + 1),
                  "the line is too long", "check the bundle with gyges verify");
  }
  GYGES_CHECK(take(pending));
  return changes;
}

Result<std::string> contents_directory(const std::filesystem::path& bundle) {
  std::filesystem::path directory = bundle / "files" / "content";
  std::error_code code;
  std::filesystem::create_directories(directory, code);
  if (code) return fail_errno("make directory", directory.string(), code.value());
  return directory.string();
}

namespace {

nlohmann::json line_of(const FileChange& change) {
  nlohmann::json line = {{"kind", kind_name(change.kind)},
                         {"type", type_name(change.type)},
                         {"path", valid_utf8(change.path)},
                         {"mode", change.mode},
                         {"uid", change.uid},
                         {"gid", change.gid},
                         {"size", change.size},
                         {"mtime_ns", change.mtime_ns}};
  // JSON strings are text and paths are bytes.
  if (line["path"] != change.path) line["path_hex"] = hex(change.path);
  if (!change.sha256.empty()) line["sha256"] = change.sha256;
  if (!change.link_target.empty()) line["link_target"] = valid_utf8(change.link_target);
  if (!change.link_target.empty() && line["link_target"] != change.link_target)
    line["link_target_hex"] = hex(change.link_target);
  for (const auto& [name, value] : change.attributes)
    line["attributes"][valid_utf8(name)] = hex(value);
  if (!change.note.empty()) line["note"] = change.note;
  return line;
}

Status write_lines(int fd, const std::vector<FileChange>& changes) {
  std::string lines;
  for (const FileChange& change : changes) {
    lines += line_of(change).dump();
    lines += '\n';
    if (lines.size() < piece) continue;
    GYGES_CHECK(write_all(fd, lines));
    lines.clear();
  }
  return write_all(fd, lines);
}

}  // namespace

Status write_changes(const std::filesystem::path& bundle, const SandboxEnd& end) {
  std::error_code code;
  std::filesystem::create_directories(bundle / "files", code);
  if (code) return fail_errno("make directory", (bundle / "files").string(), code.value());
  // A bundle without a seal is unfinished anyway: no need to write beside and rename.
  const std::string file = (bundle / "files" / "changes.jsonl").string();
  UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("write file changes", file);
  GYGES_CHECK(write_lines(fd.get(), end.changes).with_context("write file changes"));
  if (::fsync(fd.get()) != 0) return fail_errno("write file changes", file);
  return ok();
}

}  // namespace gyges::isolation
