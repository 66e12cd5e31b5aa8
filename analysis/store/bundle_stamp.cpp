#include "analysis/store/bundle_stamp.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/hash.h"

namespace gyges::analysis {
namespace {

constexpr int deepest = 64;  // as deep as a tree of changed files may sensibly be

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

void append(std::string& text, std::int64_t value) {
  text += std::to_string(value);
  text += ' ';
}

Status stamp_entries(UniqueFd opened, const std::string& prefix, int depth,
                     std::vector<std::string>& lines, std::int64_t& newest) {
  if (depth > deepest) return fail("look at bundle", prefix, "its directories are nested too deep");
  std::unique_ptr<DIR, CloseDirectory> directory(fdopendir(opened.get()));
  if (directory == nullptr) return fail_errno("list", prefix);
  int fd = opened.release();
  for (errno = 0; const dirent* entry = readdir(directory.get()); errno = 0) {
    std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info {};
    if (fstatat(fd, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("look at", prefix + name);
    std::string line = prefix + name;
    line += '\0';
    std::int64_t changed = info.st_ctim.tv_sec * 1'000'000'000LL + info.st_ctim.tv_nsec;
    append(line, static_cast<std::int64_t>(info.st_mode));
    append(line, info.st_size);
    append(line, static_cast<std::int64_t>(info.st_ino));
    append(line, info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec);
    append(line, changed);
    lines.push_back(std::move(line));
    newest = std::max(newest, changed);
    if (!S_ISDIR(info.st_mode)) continue;
    UniqueFd below(openat(fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!below) return fail_errno("open", prefix + name);
    GYGES_CHECK(stamp_entries(std::move(below), prefix + name + "/", depth + 1, lines, newest));
  }
  if (errno != 0) return fail_errno("list", prefix);
  return ok();
}

}  // namespace

Result<BundleStamp> stamp_of_bundle(const std::filesystem::path& bundle) {
  UniqueFd top(open(bundle.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top) return fail_errno("open", bundle.string());
  BundleStamp stamp;
  std::vector<std::string> lines;
  GYGES_CHECK(stamp_entries(std::move(top), "", 0, lines, stamp.newest_ns));
  std::sort(lines.begin(), lines.end());
  std::string all;
  for (const std::string& line : lines) {
    all += line;
    all += '\n';
  }
  stamp.hash = to_hex(sha256(all));
  return stamp;
}

}  // namespace gyges::analysis
