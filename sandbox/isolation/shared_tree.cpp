#include "sandbox/isolation/shared_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <future>
#include <system_error>
#include <utility>
#include <vector>

#include "base/aside.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/state_directory.h"
#include "base/unmasked.h"

namespace gyges::isolation {
namespace {

namespace fs = std::filesystem;

constexpr std::time_t week = 7L * 86400;
constexpr std::time_t unused_after = 30L * 86400;

struct Part {
  std::string place;  // directory in the tree
  const std::vector<TreeEntry>* entries;
};

std::vector<Part> parts_of(const Disguise& disguise) {
  std::vector<Part> parts;
  if (!disguise.sysfs.empty()) parts.push_back({sysfs_source, &disguise.sysfs});
  for (std::size_t i = 0; i < disguise.covers.size(); ++i)
    if (disguise.covers[i].entries)
      parts.push_back({cover_source(i), &*disguise.covers[i].entries});
  return parts;
}

std::string name_of(const std::vector<Part>& parts, bool as_root) {
  std::string text = fmt::format("1 {} {}\n", as_root, std::time(nullptr) / week);
  for (const Part& part : parts)
    for (const TreeEntry& entry : *part.entries)
      if (!entry.own)
        text += fmt::format("{} {} {:o} {} {} ", part.place, static_cast<int>(entry.kind),
                            entry.mode, entry.path, entry.content.size()) +
                entry.content + "\n";
  return to_hex(sha256(text));
}

// Ours, and nobody else can put something in the place of what we made: not so under sudo with the
// home of another user.
bool is_ours(const fs::path& directory) {
  struct stat info {};
  return ::lstat(directory.c_str(), &info) == 0 && S_ISDIR(info.st_mode) &&
         info.st_uid == ::geteuid() && (info.st_mode & 0022U) == 0;
}

bool make_place(const fs::path& trees) {
  if (is_ours(trees)) return is_ours(trees.parent_path());
  const fs::path own = trees.parent_path();  // gyges
  const fs::path cache = own.parent_path();
  // The home is not made for this.
  if (!is_ours(cache) && (!is_ours(cache.parent_path()) || ::mkdir(cache.c_str(), 0700) != 0))
    return false;
  for (const fs::path& made : {own, trees})
    if (::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST) return false;
  return is_ours(own) && is_ours(trees);
}

bool not_after(const timespec& one, const timespec& other) {
  return one.tv_sec < other.tv_sec || (one.tv_sec == other.tv_sec && one.tv_nsec <= other.tv_nsec);
}

mode_t type_of(TreeEntry::Kind kind) {
  switch (kind) {
    case TreeEntry::Kind::directory:
      return S_IFDIR;
    case TreeEntry::Kind::symlink:
      return S_IFLNK;
    case TreeEntry::Kind::file:
      break;
  }
  return S_IFREG;
}

// Looks at the entries of a tree that this user made, and not later than `made`.
class Inspection {
 public:
  Inspection(bool as_root, timespec made) : as_root_(as_root), made_(made) {}

  // The directory's own path, below `at`.
  [[nodiscard]] bool is_untouched_directory(int at, const char* path) const {
    struct stat info {};
    return is_untouched(at, path, info) && S_ISDIR(info.st_mode);
  }

  // The entries number `from` to `to`.
  [[nodiscard]] bool is_whole(int tree, const std::vector<TreeEntry>& entries, std::size_t from,
                              std::size_t to) const {
    return std::all_of(entries.begin() + static_cast<std::ptrdiff_t>(from),
                       entries.begin() + static_cast<std::ptrdiff_t>(to),
                       [&](const TreeEntry& entry) { return entry.own || is_whole(tree, entry); });
  }

 private:
  [[nodiscard]] bool is_untouched(int at, const char* path, struct stat& info) const {
    return ::fstatat(at, path, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_uid == owner_ &&
           not_after(info.st_ctim, made_);
  }

  [[nodiscard]] bool is_whole(int tree, const TreeEntry& entry) const {
    struct stat info {};
    if (!is_untouched(tree, entry.path.c_str(), info)) return false;
    if ((info.st_mode & S_IFMT) != type_of(entry.kind)) return false;
    if (entry.kind != TreeEntry::Kind::directory &&
        info.st_size != static_cast<off_t>(entry.content.size()))
      return false;
    const unsigned mode = entry.kind == TreeEntry::Kind::file
                              ? mode_for(entry.mode, as_root_)
                              : entry.mode | (as_root_ ? 0U : 0700U);
    return entry.kind == TreeEntry::Kind::symlink || (info.st_mode & 07777U) == mode;
  }

  bool as_root_;
  timespec made_;
  uid_t owner_ = ::geteuid();
};

// Every entry is of the kind, mode and size that it was made with, and none was touched since: the
// kernel sets the time of a change, of directories that of a change of their entries.
bool is_whole(int directory, const std::vector<Part>& parts, bool as_root) {
  struct stat stamp {};
  if (::fstatat(directory, "whole", &stamp, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(stamp.st_mode))
    return false;
  const Inspection inspection(as_root, stamp.st_ctim);
  if (!inspection.is_untouched_directory(directory, "tree")) return false;
  for (const Part& part : parts) {
    const std::string root = "tree/" + part.place;
    if (!inspection.is_untouched_directory(directory, root.c_str())) return false;
    const UniqueFd tree(
        ::openat(directory, root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!tree) return false;
    const std::vector<TreeEntry>& entries = *part.entries;
    // Pid 1 waits for this: most entries are those of /sys, which two look at.
    const std::size_t half = entries.size() < 100 ? 0 : entries.size() / 2;
    std::future<bool> first;
    if (half > 0)
      first = aside([&] { return inspection.is_whole(tree.get(), entries, 0, half); });
    const bool second = inspection.is_whole(tree.get(), entries, half, entries.size());
    if ((first.valid() && !first.get()) || !second) return false;
  }
  return true;
}

// What nobody used for long, and what was left half made or is not whole.
void remove_unused(const fs::path& trees) {
  std::error_code failed;
  for (const fs::directory_entry& entry : fs::directory_iterator(trees, failed)) {
    struct stat info {};
    if (::lstat(entry.path().c_str(), &info) != 0) continue;
    const bool half = entry.path().filename().string().starts_with(".");
    if (info.st_mtim.tv_sec > std::time(nullptr) - (half ? 3600 : unused_after)) continue;
    std::error_code ignored;
    fs::remove_all(entry, ignored);
  }
}

Status fill(int directory, const std::vector<Part>& parts, bool as_root) {
  const auto make = [&](const std::string& name) {
    return ::mkdirat(directory, name.c_str(), 0755) == 0;
  };
  if (!make("tree")) return fail_errno("make", "shared tree");
  for (const Part& part : parts) {
    if (!make("tree/" + part.place)) return fail_errno("make", "shared tree");
    GYGES_CHECK(
        put_entries(directory, "tree/" + part.place, *part.entries, Entries::shared, as_root));
  }
  const UniqueFd stamp(::openat(directory, "whole", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  return stamp ? ok() : fail_errno("make", "mark of a shared tree");
}

// Where somebody else was faster, theirs is as good.
bool make_tree(const fs::path& trees, const std::string& name, const std::vector<Part>& parts,
               bool as_root) {
  static std::atomic<unsigned> count = 0;
  remove_unused(trees);
  const fs::path fresh = trees / fmt::format(".new-{}-{}", ::getpid(), count++);
  if (::mkdir(fresh.c_str(), 0700) != 0) return false;
  const UniqueFd directory(::open(fresh.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  const bool filled =
      directory && unmasked([&] { return fill(directory.get(), parts, as_root); }).get();
  if (filled && ::rename(fresh.c_str(), (trees / name).c_str()) == 0) return true;
  const bool late = filled && (errno == EEXIST || errno == ENOTEMPTY);
  std::error_code ignored;
  fs::remove_all(fresh, ignored);
  return late;
}

}  // namespace

fs::path shared_trees_directory() {
  const fs::path cache = cache_directory();
  return cache.empty() ? cache : cache / "trees";
}

std::string shared_tree(const Disguise& disguise, bool as_root) {
  const std::vector<Part> parts = parts_of(disguise);
  const fs::path trees = shared_trees_directory();
  if (parts.empty() || trees.empty() || !make_place(trees)) return {};
  const std::string name = name_of(parts, as_root);
  const fs::path place = trees / name;
  for (const bool may_make : {true, false}) {
    const UniqueFd directory(
        ::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (directory && is_whole(directory.get(), parts, as_root)) {
      // For remove_unused(); of the directory that holds both, which is not looked at.
      ::futimens(directory.get(), nullptr);
      return (place / "tree").string();
    }
    if (!may_make || (directory && ::renameat(AT_FDCWD, place.c_str(), AT_FDCWD,
                                              (trees / (".old-" + name)).c_str()) != 0))
      return {};
    if (!make_tree(trees, name, parts, as_root)) return {};
  }
  return {};
}

}  // namespace gyges::isolation
