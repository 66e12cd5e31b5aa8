#include "sandbox/isolation/changes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <optional>
#include <set>

#include "base/hash.h"
#include "sandbox/isolation/hostile_tree.h"

namespace gyges::isolation {
namespace {

FileChange::Type type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR:
      return FileChange::Type::directory;
    case S_IFLNK:
      return FileChange::Type::symlink;
    case S_IFIFO:
      return FileChange::Type::fifo;
    case S_IFSOCK:
      return FileChange::Type::socket;
    case S_IFREG:
      return FileChange::Type::file;
    default:
      return FileChange::Type::device;
  }
}

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1000000000 + time.tv_nsec;
}

class Collector {
 public:
  Collector(const Identity& identity, const HostFacts& host, const std::string& contents,
            const CollectionLimits& limits)
      : identity_(identity), host_(host), contents_(contents), limits_(limits) {}

  // What is there from the start, and in no layer below.
  void placed(const Plan& plan) { placed_ = &plan; }

  Status area(int scratch, std::size_t index, const WritableArea& area,
              const std::vector<MappedSource>& mapped) {
    area_ = &area;
    lowers_.clear();
    if (area.layered) {
      lowers_.push_back(open_beneath(scratch, fmt::format("l{}", index), O_PATH | O_DIRECTORY));
      if (!lowers_.back()) return fail_errno("open seeded layer of", area.target);
      mapped_ = std::nullopt;
      for (const MappedSource& source : mapped)
        if (source.path == area.host_source) mapped_ = source;
      if (!area.host_source.empty())
        lowers_.emplace_back(::open(area.host_source.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!lowers_.back()) return fail_errno("open layer of the host of", area.target);
    }
    std::string upper = fmt::format("u{}", index);
    UniqueFd root = open_beneath(scratch, upper, O_RDONLY | O_DIRECTORY);
    if (!root) return fail_errno("open writable layer of", area.target);
    walk(root.get(), "", 0);
    return ok();
  }

  CollectedChanges finish() {
    std::sort(result_.changes.begin(), result_.changes.end(),
              [](const FileChange& x, const FileChange& y) { return x.path < y.path; });
    return std::move(result_);
  }

 private:
  struct Below {
    struct stat info {};
    int root = -1;
  };

  // The entry in the layers that the sandbox found at its start.
  std::optional<Below> below(const std::string& path) {
    for (const UniqueFd& lower : lowers_) {
      UniqueFd fd = open_beneath(lower.get(), path, O_PATH | O_NOFOLLOW);
      Below found;
      if (fd && ::fstat(fd.get(), &found.info) == 0) {
        found.root = lower.get();
        // As the run saw it, through the id-mapped mount.
        if (mapped_ && &lower != &lowers_.front()) {
          if (found.info.st_uid == mapped_->owner) found.info.st_uid = identity_.uid;
          if (found.info.st_gid == mapped_->group) found.info.st_gid = identity_.gid;
        }
        return found;
      }
      if (fd || !says_absent(errno)) result_.complete = false;
    }
    return std::nullopt;
  }

  std::vector<std::string> list(int directory) {
    std::vector<std::string> names;
    if (!names_in(directory, names)) result_.complete = false;
    return names;
  }

  // The names that a lower layer has below a directory.
  std::vector<std::string> list_below(const UniqueFd& lower, const std::string& path) {
    UniqueFd directory = open_beneath(lower.get(), path, O_RDONLY | O_DIRECTORY);
    if (directory) return list(directory.get());
    if (!says_absent(errno)) result_.complete = false;
    return {};
  }

  bool count() {
    if (++entries_ <= limits_.entries) return true;
    result_.complete = false;
    return false;
  }

  void add(FileChange change) {
    name_bytes_ += change.path.size() + change.link_target.size();
    for (const auto& [name, value] : change.attributes) name_bytes_ += name.size() + value.size();
    if (name_bytes_ > limits_.name_bytes) {
      // What comes is not looked at any more either.
      entries_ = limits_.entries;
      result_.complete = false;
      return;
    }
    result_.changes.push_back(std::move(change));
  }

  void walk(int directory, const std::string& path, std::size_t level) {
    if (level > limits_.depth) {
      result_.complete = false;
      return;
    }
    std::vector<std::string> names = list(directory);
    if (is_opaque(directory)) lost_below(path, names);
    for (const std::string& name : names) {
      if (!count()) return;
      entry(directory, name, path.empty() ? name : path + "/" + name, level);
    }
  }

  // An opaque directory hides everything that was there before it. The overlay keeps the mark out
  // of the agent's reach: in trusted.* as root, and rootless in a user.* name that the overlay
  // itself hides. As root user.* is the agent's to write and means nothing.
  [[nodiscard]] bool is_opaque(int directory) {
    const char* attribute = host_.root ? "trusted.overlay.opaque" : "user.overlay.opaque";
    char value = 0;
    if (!area_->layered) return false;
    if (::fgetxattr(directory, attribute, &value, 1) >= 0) return value == 'y';
    if (errno != ENODATA && errno != EOPNOTSUPP && errno != ERANGE) result_.complete = false;
    return false;
  }

  // `present` is sorted.
  void lost_below(const std::string& path, const std::vector<std::string>& present) {
    std::set<std::string> reported;
    for (const UniqueFd& lower : lowers_) {
      for (const std::string& name : list_below(lower, path)) {
        if (std::binary_search(present.begin(), present.end(), name) ||
            !reported.insert(name).second)
          continue;
        if (!count()) return;
        std::string child = path.empty() ? name : path + "/" + name;
        if (auto old = below(child)) add_deleted(child, old->info);
      }
    }
  }

  void add_deleted(const std::string& path, const struct stat& old) {
    FileChange change = describe(path, old);
    change.kind = FileChange::Kind::deleted;
    add(std::move(change));
    if (S_ISDIR(old.st_mode)) deleted_tree(path, 0);
  }

  // A deleted directory takes its files with it; each is a deletion that a reader looks for.
  void deleted_tree(const std::string& path, std::size_t level) {
    if (level > limits_.depth) {
      result_.complete = false;
      return;
    }
    std::set<std::string> names;
    for (const UniqueFd& lower : lowers_)
      for (std::string& name : list_below(lower, path)) names.insert(std::move(name));
    for (const std::string& name : names) {
      if (!count()) return;
      std::string child = path + "/" + name;
      auto old = below(child);
      if (!old) continue;
      FileChange change = describe(child, old->info);
      change.kind = FileChange::Kind::deleted;
      add(std::move(change));
      if (S_ISDIR(old->info.st_mode)) deleted_tree(child, level + 1);
    }
  }

  FileChange describe(const std::string& path, const struct stat& info) const {
    FileChange change;
    change.path = area_->target + "/" + path;
    change.type = type_of(info.st_mode);
    change.mode = info.st_mode & 07777U;
    change.uid = !host_.root && info.st_uid == host_.uid ? identity_.uid : info.st_uid;
    change.gid = !host_.root && info.st_gid == host_.gid ? identity_.gid : info.st_gid;
    change.size = S_ISREG(info.st_mode) ? static_cast<std::uint64_t>(info.st_size) : 0;
    change.mtime_ns = nanoseconds(info.st_mtim);
    return change;
  }

  void entry(int directory, const std::string& name, const std::string& path, std::size_t level) {
    struct stat info {};
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      result_.complete = false;
      return;
    }
    auto old = below(path);
    // Through an overlay nobody can make the device that marks a deletion; elsewhere anybody can.
    if (area_->layered && S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0)) {
      if (old) add_deleted(path, old->info);
      return;
    }
    FileChange change = describe(path, info);
    if (is_placed(change)) return;
    change.kind = old ? FileChange::Kind::modified : FileChange::Kind::added;
    UniqueFd child;
    if (change.type == FileChange::Type::directory) child = open_directory(directory, name);
    if (child) attributes_of(child.get(), change);
    if (change.type == FileChange::Type::file) read_content(directory, name, info, change);
    if (change.type == FileChange::Type::symlink) {
      std::array<char, PATH_MAX> target{};
      ssize_t length = ::readlinkat(directory, name.c_str(), target.data(), target.size());
      if (length < 0) change.note = "unreadable";
      if (length > 0) change.link_target.assign(target.data(), static_cast<std::size_t>(length));
    }
    if (!old || differs(change, info, *old, path)) add(std::move(change));
    if (!S_ISDIR(info.st_mode)) {
      if (old && S_ISDIR(old->info.st_mode)) deleted_tree(path, level);
      return;
    }
    // Where anything else stood here before all below is new, as far as the lower layers know.
    if (child)
      walk(child.get(), path, level + 1);
    else
      result_.complete = false;
  }

  // The overlay's own marks, where it keeps them out of the agent's reach, are nobody's attributes.
  [[nodiscard]] std::string marks() const {
    if (host_.root) return "trusted.overlay.";
    return area_->layered ? "user.overlay." : "";
  }

  void attributes_of(int fd, FileChange& change) const {
    if (!read_attributes(fd, marks(), change.attributes)) change.note = "unreadable attributes";
  }

  // Whether an entry that was copied up really differs from what it was: the same bytes with the
  // same times, or a directory that only had to exist in the upper layer, are no change.
  bool differs(const FileChange& now, const struct stat& info, const Below& old,
               const std::string& path) const {
    if ((info.st_mode & S_IFMT) != (old.info.st_mode & S_IFMT)) return true;
    FileChange before = describe(path, old.info);
    if (now.mode != before.mode || now.uid != before.uid || now.gid != before.gid) return true;
    if (attributes_differ(now, old, path)) return true;
    if (now.type == FileChange::Type::directory) return false;
    if (now.mtime_ns != before.mtime_ns || now.size != before.size) return true;
    if (now.type == FileChange::Type::symlink) {
      std::array<char, PATH_MAX> target{};
      ssize_t length = ::readlinkat(old.root, path.c_str(), target.data(), target.size());
      return length < 0 ||
             now.link_target != std::string(target.data(), static_cast<std::size_t>(length));
    }
    if (now.type != FileChange::Type::file) return false;
    UniqueFd fd = open_beneath(old.root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    auto hash = fd ? sha256_of_fd(fd.get()) : Result<Sha256>(fail("open", path, ""));
    return !hash || now.sha256.empty() || to_hex(*hash) != now.sha256;
  }

  [[nodiscard]] bool attributes_differ(const FileChange& now, const Below& old,
                                       const std::string& path) const {
    if (now.type != FileChange::Type::file && now.type != FileChange::Type::directory) return false;
    UniqueFd fd = open_beneath(old.root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    ExtendedAttributes before;
    return fd && (!read_attributes(fd.get(), marks(), before) || before != now.attributes);
  }

  // One that the agent made in its place has the time of its making.
  [[nodiscard]] bool is_placed(const FileChange& change) const {
    return change.type == FileChange::Type::socket && placed_ != nullptr &&
           change.mtime_ns == placed_->sockets_time * 1000000000 &&
           std::find(placed_->sockets.begin(), placed_->sockets.end(), change.path) !=
               placed_->sockets.end();
  }

  static UniqueFd open_directory(int directory, const std::string& name) {
    return open_entry(directory, name, O_RDONLY | O_DIRECTORY, 0700);
  }

  void read_content(int directory, const std::string& name, const struct stat& info,
                    FileChange& change) {
    UniqueFd fd = open_entry(directory, name, O_RDONLY | O_NONBLOCK, 0600);
    struct stat opened {};
    if (!fd || ::fstat(fd.get(), &opened) != 0 || !S_ISREG(opened.st_mode) ||
        opened.st_ino != info.st_ino) {
      change.note = "unreadable";
      return;
    }
    attributes_of(fd.get(), change);
    if (change.size > limits_.file_bytes) {
      change.note = "larger than the limit of collection";
      return;
    }
    if (hashed_bytes_ + change.size > limits_.hashed_bytes) {
      change.note = "beyond the limit of collected contents";
      return;
    }
    hashed_bytes_ += change.size;
    auto hash = sha256_of_fd(fd.get());
    if (!hash) {
      change.note = "unreadable";
      return;
    }
    change.sha256 = to_hex(*hash);
    if (!contents_.empty()) keep(fd.get(), change);
  }

  void keep(int fd, FileChange& change) {
    if (kept_bytes_ + change.size > limits_.total_bytes) {
      change.note = "beyond the limit of collected contents";
      return;
    }
    std::string path = contents_ + "/" + change.sha256;
    UniqueFd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (!out) {
      if (errno != EEXIST) change.note = "could not be stored";
      return;
    }
    kept_bytes_ += change.size;
    off_t from = 0;
    std::array<char, 65536> chunk{};
    for (;;) {
      ssize_t n = ::pread(fd, chunk.data(), chunk.size(), from);
      if (n == 0) return;
      if (n < 0 || !write_all(out.get(), {chunk.data(), static_cast<std::size_t>(n)})) {
        ::unlink(path.c_str());
        change.note = "could not be stored";
        return;
      }
      from += n;
    }
  }

  const Identity& identity_;
  const HostFacts& host_;
  const std::string& contents_;
  const CollectionLimits& limits_;
  const WritableArea* area_ = nullptr;
  std::vector<UniqueFd> lowers_;
  std::optional<MappedSource> mapped_;  // of the last of lowers_
  const Plan* placed_ = nullptr;
  std::size_t entries_ = 0;
  std::uint64_t name_bytes_ = 0;
  std::uint64_t kept_bytes_ = 0;
  std::uint64_t hashed_bytes_ = 0;
  CollectedChanges result_;
};

}  // namespace

Result<CollectedChanges> collect_changes(int scratch, const Plan& plan, const Identity& identity,
                                         const HostFacts& host,
                                         const std::string& contents_directory,
                                         const CollectionLimits& limits) {
  Collector collector(identity, host, contents_directory, limits);
  collector.placed(plan);
  for (std::size_t i = 0; i < plan.areas.size(); ++i)
    GYGES_CHECK(collector.area(scratch, i, plan.areas[i], plan.mapped));
  return collector.finish();
}

}  // namespace gyges::isolation
