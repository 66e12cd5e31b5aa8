#include "analysis/bundles/file_change.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "analysis/bundles/json_lines.h"
#include "base/fd.h"
#include "base/json.h"

namespace gyges::analysis {

Result<std::vector<FileChange>> load_file_changes(const std::filesystem::path& bundle) {
  std::vector<FileChange> changes;
  GYGES_CHECK(for_each_json_line(
      bundle / "files" / "changes.jsonl", [&](const nlohmann::json& line) -> Status {
        FileChange change;
        change.kind = text_member(line, "kind");
        change.type = text_member(line, "type");
        change.path = text_member(line, "path");
        change.sha256 = text_member(line, "sha256");
        change.size =
            static_cast<std::uint64_t>(std::max<std::int64_t>(0, integer_member(line, "size")));
        if (change.kind != "added" && change.kind != "modified" && change.kind != "deleted")
          return fail("read file change", change.path, "unknown kind \"" + change.kind + "\"");
        if (change.path.empty() || change.path[0] != '/')
          return fail("read file change", change.path, "the path is not absolute");
        changes.push_back(std::move(change));
        return ok();
      }));
  return changes;
}

Result<std::string> file_content(const std::filesystem::path& bundle, const FileChange& change,
                                 std::size_t limit) {
  bool is_hash = change.sha256.size() == 64 &&
                 change.sha256.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!is_hash) return fail("read content", change.path, "its content is not in the bundle");
  std::filesystem::path file = bundle / "files" / "content" / change.sha256;
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail_errno("read content", file.string());
  constexpr std::size_t piece = 64U << 10U;  // most files are smaller, and the limit is large
  std::string bytes;
  std::size_t size = 0;
  while (size < limit) {
    if (size == bytes.size()) bytes.resize(std::min(limit, std::max(piece, 2 * size)));
    ssize_t got = ::read(fd.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read content", file.string());
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace gyges::analysis
