#include "sandbox/isolation/shared_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/compile.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/aside.h"
#include "base/hash.h"
#include "base/unmasked.h"

namespace gyges::isolation {
namespace {

namespace fs = std::filesystem;

constexpr std::time_t half_made_after = 3600;
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
  std::string text = fmt::format("2 {}\n", as_root);
  text.reserve(1U << 18U);
  for (const Part& part : parts)
    for (const TreeEntry& entry : *part.entries) {
      if (entry.own) continue;
      fmt::format_to(std::back_inserter(text), FMT_COMPILE("{} {} {:o} {} {} {}\n"), part.place,
                     static_cast<int>(entry.kind), entry.mode, entry.path, entry.content.size(),
                     entry.content);
    }
  return to_hex(sha256(text));
}

UniqueFd open_directory(int at, const char* path) {
  return UniqueFd(::openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

bool in_memory(int directory) {
  struct statfs info {};
  return ::fstatfs(directory, &info) == 0 && info.f_type == TMPFS_MAGIC;
}

// Nobody but this user and root can put something in the place of what this user makes there.
bool keeps_names(int directory) {
  struct stat info {};
  return ::fstat(directory, &info) == 0 && (info.st_uid == 0 || info.st_uid == ::geteuid()) &&
         ((info.st_mode & 0022U) == 0 || (info.st_mode & S_ISVTX) != 0);
}

// The directory `name` in memory, made if there is none, that nobody else may look into. Nothing
// where it is another's or open to others.
UniqueFd own_directory(int at, const char* name) {
  UniqueFd directory = open_directory(at, name);
  if (!directory && errno == ENOENT && in_memory(at)) {
    const bool made = ::mkdirat(at, name, 0700) == 0;
    directory = open_directory(at, name);
    // Without the mark that it has the group of the one above it.
    if (made && directory) ::fchmod(directory.get(), 0700);
  }
  struct stat info {};
  if (!directory || !in_memory(directory.get()) || ::fstat(directory.get(), &info) != 0 ||
      info.st_uid != ::geteuid() || (info.st_mode & 07777U) != 0700U)
    return {};
  return directory;
}

struct Trees {
  fs::path path;
  UniqueFd directory;
};

// Not by a variable for root, whose variables under sudo are another user's.
std::optional<Trees> open_trees() {
  std::vector<fs::path> places;
  if (::geteuid() == 0)
    places.emplace_back("/run/gyges");
  else if (const char* named = std::getenv("XDG_RUNTIME_DIR"); named != nullptr && *named == '/')
    places.push_back(fs::path(named) / "gyges");
  places.emplace_back(fmt::format("/dev/shm/gyges-{}", ::geteuid()));
  for (const fs::path& place : places) {
    const UniqueFd above(::open(place.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!above || !keeps_names(above.get())) continue;
    const UniqueFd own = own_directory(above.get(), place.filename().c_str());
    if (!own) continue;
    if (UniqueFd trees = own_directory(own.get(), "trees"))
      return Trees{place / "trees", std::move(trees)};
  }
  return std::nullopt;
}

timespec start_of_host() {
  timespec now{};
  timespec up{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  ::clock_gettime(CLOCK_BOOTTIME, &up);
  return {now.tv_sec - up.tv_sec, 0};
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

// Looks at the entries of a tree that this user made, not later than `made` and not before the host
// started, which is at the earliest when a persona's machine did: the clock may have been set
// since.
class Inspection {
 public:
  Inspection(bool as_root, timespec made) : as_root_(as_root), made_(made) {}

  // The directory's own path, below `at`.
  [[nodiscard]] bool is_untouched_directory(int at, const char* path) const {
    struct stat info {};
    return is_untouched(at, path, info) && S_ISDIR(info.st_mode);
  }

  [[nodiscard]] bool is_whole(int tree, const std::vector<TreeEntry>& entries) const {
    return std::all_of(entries.begin(), entries.end(),
                       [&](const TreeEntry& entry) { return entry.own || is_whole(tree, entry); });
  }

 private:
  [[nodiscard]] bool is_untouched(int at, const char* path, struct stat& info) const {
    return ::fstatat(at, path, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_uid == owner_ &&
           not_after(info.st_ctim, made_) && not_after(oldest_, info.st_mtim);
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
  timespec oldest_ = start_of_host();
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
    if (!inspection.is_whole(tree.get(), *part.entries)) return false;
  }
  return true;
}

std::vector<std::string> names_in(int directory) {
  std::vector<std::string> names;
  // Of a description of its own: the caller's may be read again.
  UniqueFd again = open_directory(directory, ".");
  DIR* listing = again ? ::fdopendir(again.get()) : nullptr;
  if (listing == nullptr) return names;
  (void)again.release();
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(listing);
  return names;
}

void remove(int at, const std::string& name) {
  if (const UniqueFd directory = open_directory(at, name.c_str())) {
    for (const std::string& below : names_in(directory.get())) remove(directory.get(), below);
    ::unlinkat(at, name.c_str(), AT_REMOVEDIR);
  } else {
    ::unlinkat(at, name.c_str(), 0);
  }
}

// What nobody used for long, what was set aside, and what was left half made: unless a sandbox has
// it mounted.
void remove_unused(int trees) {
  for (const std::string& name : names_in(trees)) {
    const UniqueFd directory = open_directory(trees, name.c_str());
    struct stat info {};
    if (!directory || ::fstat(directory.get(), &info) != 0) continue;
    const std::time_t age = std::time(nullptr) - info.st_mtim.tv_sec;
    const bool unused = name.starts_with(".old-") ||
                        age > (name.starts_with(".new-") ? half_made_after : unused_after);
    if (unused && ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0) remove(trees, name);
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

std::string name_of_ours(const std::string& beginning) {
  static std::atomic<unsigned> count = 0;
  return fmt::format("{}-{}-{}", beginning, ::getpid(), count++);
}

// Where somebody else was faster, theirs is as good.
bool make_tree(int trees, const std::string& name, const std::vector<Part>& parts, bool as_root) {
  const std::string fresh = name_of_ours(".new");
  if (::mkdirat(trees, fresh.c_str(), 0700) != 0) return false;
  const UniqueFd directory = open_directory(trees, fresh.c_str());
  const bool filled =
      directory && unmasked([&] { return fill(directory.get(), parts, as_root); }).get();
  if (filled && ::renameat(trees, fresh.c_str(), trees, name.c_str()) == 0) return true;
  const bool late = filled && (errno == EEXIST || errno == ENOTEMPTY);
  remove(trees, fresh);
  return late;
}

// Under another name: a sandbox may have it mounted.
bool set_aside(int trees, const std::string& name) {
  return ::renameat(trees, name.c_str(), trees, name_of_ours(".old-" + name).c_str()) == 0 ||
         errno == ENOENT;
}

SharedTree taken(const Trees& trees, const std::string& name, UniqueFd directory) {
  // For remove_unused(); of the directory that holds both, which is not looked at.
  ::futimens(directory.get(), nullptr);
  return {(trees.path / name / "tree").string(), std::move(directory), {}};
}

}  // namespace

fs::path shared_trees_directory() {
  const std::optional<Trees> trees = open_trees();
  return trees ? trees->path : fs::path();
}

SharedTree shared_tree(const Disguise& disguise, bool as_root) {
  const std::vector<Part> parts = parts_of(disguise);
  if (parts.empty()) return {};
  const std::optional<Trees> trees = open_trees();
  if (!trees) return {};
  const int at = trees->directory.get();
  const std::string name = name_of(parts, as_root);
  for (const bool may_make : {true, false}) {
    UniqueFd directory = open_directory(at, name.c_str());
    // Held before it is looked at: from then on nobody removes it.
    if (directory && ::flock(directory.get(), LOCK_SH | LOCK_NB) != 0) return {};
    if (directory && is_whole(directory.get(), parts, as_root))
      return taken(*trees, name, std::move(directory));
    if (!may_make) return {};
    remove_unused(at);
    if ((directory && !set_aside(at, name)) || !make_tree(at, name, parts, as_root)) return {};
  }
  return {};
}

SharedTree shared_tree_ahead(const std::shared_ptr<const Disguise>& disguise, bool as_root) {
  std::vector<Part> parts = parts_of(*disguise);
  if (parts.empty()) return {};
  const std::optional<Trees> trees = open_trees();
  if (!trees) return {};
  const std::string name = name_of(parts, as_root);
  UniqueFd directory = open_directory(trees->directory.get(), name.c_str());
  if (!directory) return shared_tree(*disguise, as_root);
  if (::flock(directory.get(), LOCK_SH | LOCK_NB) != 0) return {};
  SharedTree tree = taken(*trees, name, std::move(directory));
  tree.whole = aside([disguise, parts = std::move(parts), fd = tree.held.get(), as_root] {
    return is_whole(fd, parts, as_root);
  });
  return tree;
}

}  // namespace gyges::isolation
