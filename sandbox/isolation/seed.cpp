#include "sandbox/isolation/seed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/text.h"
#include "sandbox/isolation/disguise.h"
#include "sandbox/isolation/hostile_tree.h"

namespace gyges::isolation {
namespace {

// What lies between them takes no room, as in the files of a system that grow by seeking.
Status write_pieces(int fd, const std::vector<SeedFile::Piece>& pieces) {
  for (const SeedFile::Piece& piece : pieces) {
    if (::lseek(fd, static_cast<off_t>(piece.offset), SEEK_SET) < 0)
      return fail_errno("seek in", "seed file");
    GYGES_CHECK(write_all(fd, piece.bytes));
  }
  return ok();
}

class Seeder {
 public:
  Seeder(int scratch, const Plan& plan, const SandboxSpec& spec, const HostFacts& host, Mask mask)
      : scratch_(scratch), plan_(plan), spec_(spec), host_(host), mask_(mask) {
    for (const SeedFile& file : spec.seed)
      if (file.kind == SeedFile::Kind::directory && (file.mode & S_ISGID) != 0)
        groups_given_.push_back(file.path + "/");
  }

  Status run() {
    for (const std::string& point : plan_.mount_points) {
      SeedFile place;
      bool directory = point.back() == '/';
      place.kind = directory ? SeedFile::Kind::directory : SeedFile::Kind::file;
      place.path = directory ? point.substr(0, point.size() - 1) : point;
      place.mode = directory ? 0755 : 0644;
      place.agent_owned = false;
      GYGES_CHECK(put(place, true));
    }
    for (const auto& [path, target] : plan_.links) {
      SeedFile link;
      link.kind = SeedFile::Kind::symlink;
      link.path = path;
      link.content = target;
      link.agent_owned = false;
      // Links of the system's are as old as the root, which has the others.
      if (spec_.disguise) link.mtime = spec_.disguise->root_time;
      GYGES_CHECK(put(link, true));
    }
    for (const SeedFile& file : spec_.seed) GYGES_CHECK(put(file));
    // Last, because making an entry changes the time of its directory.
    for (const auto& [path, time] : made_) GYGES_CHECK(set_time_of(scratch_, path, time));
    for (const SeedFile& file : spec_.seed)
      if (file.kind == SeedFile::Kind::directory) GYGES_CHECK(set_time(file));
    return close_directories();
  }

 private:
  struct Place {
    std::string path;      // relative to the scratch directory
    std::size_t root = 0;  // length of its "l<n>" part
  };

  // A mount point lies in the area above it, even where it is the root of an area itself.
  Result<Place> place_of(const std::string& path, bool is_mount_point = false) const {
    const WritableArea* best = nullptr;
    for (const WritableArea& area : plan_.areas) {
      bool inside = (path == area.target && !is_mount_point) ||
                    (path.starts_with(area.target) && path[area.target.size()] == '/');
      if (inside && area.layered && (best == nullptr || area.target.size() > best->target.size()))
        best = &area;
    }
    if (best == nullptr)
      return fail("seed file", quoted(path), "lies in no writable directory of the policy",
                  "add a mount of kind fresh or overlay above it");
    std::string root = fmt::format("l{}", best - plan_.areas.data());
    return Place{root + path.substr(best->target.size()), root.size()};
  }

  static std::string parent_of(const Place& place) {
    return place.path.substr(0, place.path.rfind('/'));
  }

  // An entry was made in that directory, for this seed.
  void note_entry(const std::string& directory, const SeedFile& file) {
    if (const auto made = made_.find(directory); made != made_.end())
      made->second = std::max(made->second, file.mtime);
  }

  struct Owner {
    uid_t uid = 0;
    gid_t gid = 0;
  };

  [[nodiscard]] Owner owner(const SeedFile& file) const {
    const Identity& identity = spec_.policy.identity;
    const Owner usual = file.agent_owned ? Owner{identity.uid, identity.gid} : Owner{};
    return {file.uid.value_or(usual.uid), file.gid.value_or(usual.gid)};
  }

  // Rootless the system's files are the agent's user's: what is closed to others is closed to it.
  [[nodiscard]] bool closed(const SeedFile& file) const {
    return !host_.root && !file.agent_owned && (file.mode & 07U) == 0;
  }

  // What is made below such a directory has its group, and directories its mark.
  [[nodiscard]] bool inherits(const SeedFile& file) const {
    return std::any_of(groups_given_.begin(), groups_given_.end(),
                       [&](const std::string& above) { return file.path.starts_with(above); });
  }

  // Whether it has its owner by being made: what root makes is root's.
  [[nodiscard]] bool has_owner(const SeedFile& file) const {
    const Owner to = owner(file);
    return !host_.root || (own_group_ == 0 && to.uid == 0 && to.gid == 0 && !inherits(file));
  }

  // Whether it has its mode by being made. Of the other bits not every kind takes all.
  [[nodiscard]] bool has_mode(const SeedFile& file, unsigned mode) const {
    return mask_ == Mask::none && (mode & ~0777U) == 0 && !inherits(file);
  }

  Status own(int directory, const std::string& name, const SeedFile& file, bool made) const {
    if (!host_.root || (made && has_owner(file))) return ok();
    const Owner to = owner(file);
    if (::fchownat(directory, name.c_str(), to.uid, to.gid, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("set owner of seed file", quoted(file.path));
    return ok();
  }

  // The directory `path` below `from`. A seed may be a link, and another one's path may go through
  // it: followed here, outside, it would lead into the host's tree.
  static Result<UniqueFd> open_directory(int from, const std::string& path, const SeedFile& file) {
    UniqueFd directory = open_beneath(from, path, O_PATH | O_DIRECTORY);
    if (!directory) return not_opened(errno, file);
    return directory;
  }

  static tl::unexpected<Error> not_opened(int code, const SeedFile& file) {
    if (code == ELOOP || code == ENOTDIR)
      return fail("seed file", quoted(file.path),
                  "a link or a file stands where a directory should",
                  "name the path that the link leads to, or leave out one of the two");
    return fail_errno("open directory of seed file", quoted(file.path), code);
  }

  // The directory `path`, made where there is none, with those above it; kept for the next seeds,
  // most of which lie in one of a few or, as in repositories, beside each other. Nothing that is
  // open is ever another's: no seed takes a directory's place.
  Result<int> directory_at(const Place& place, const std::string& path, const SeedFile& file) {
    if (const auto known = directories_.find(path); known != directories_.end())
      return known->second.get();
    UniqueFd directory;
    if (path.size() <= place.root) {
      GYGES_TRY(directory, open_directory(scratch_, path, file));
    } else {
      const std::size_t slash = path.rfind('/');
      const std::string name = path.substr(slash + 1);
      GYGES_TRY(const int above, directory_at(place, path.substr(0, slash), file));
      if (::mkdirat(above, name.c_str(), 0755) == 0) {
        if (mask_ != Mask::none && ::fchmodat(above, name.c_str(), 0755, 0) != 0)
          return fail_errno("set mode of directory for seed file", quoted(file.path));
        // What a file has of its own, the directories above it have not.
        SeedFile usual;
        usual.path = file.path;
        usual.agent_owned = file.agent_owned;
        GYGES_CHECK(own(above, name, usual, true));
        made_.emplace(path, file.mtime);
        note_entry(path.substr(0, slash), file);
      } else if (errno != EEXIST) {
        return fail_errno("make directory for seed file", quoted(file.path));
      }
      GYGES_TRY(directory, open_directory(above, name, file));
    }
    // Those above this one lead to its neighbours, unless they are as many themselves.
    if (directories_.size() >= most_open)
      std::erase_if(directories_,
                    [&](const auto& other) { return !path.starts_with(other.first + "/"); });
    if (directories_.size() >= most_open) directories_.clear();
    return directories_.emplace(path, std::move(directory)).first->second.get();
  }

  Result<int> directory_of(const Place& place, const SeedFile& file) {
    return directory_at(place, parent_of(place), file);
  }

  Status put_directory(int parent, const std::string& name, const SeedFile& file) const {
    const bool made = ::mkdirat(parent, name.c_str(), file.mode) == 0;
    if (!made) {
      if (errno != EEXIST) return fail_errno("make seed directory", quoted(file.path));
      GYGES_TRY([[maybe_unused]] UniqueFd there, open_directory(parent, name, file));
    }
    // Its mode may keep even its owner from opening it to read.
    if (!(made && has_mode(file, file.mode)) && ::fchmodat(parent, name.c_str(), file.mode, 0) != 0)
      return fail_errno("set mode of seed directory", quoted(file.path));
    return own(parent, name, file, made);
  }

  Status put(const SeedFile& file, bool is_mount_point = false) {
    if (file.path.empty() || file.path[0] != '/' || file.path.find('\0') != std::string::npos)
      return fail("seed file", quoted(file.path), "is not an absolute path", "start it with /");
    for (const std::string& part : split(file.path.substr(1), '/'))
      if (part.empty() || part == "." || part == "..")
        return fail("seed file", quoted(file.path), "has an empty, . or .. component",
                    "write the path in its shortest form");
    GYGES_TRY(Place place, place_of(file.path, is_mount_point));
    // The directory of an area itself.
    if (place.path.size() == place.root) return put_directory(scratch_, place.path, file);
    GYGES_TRY(const int parent, directory_of(place, file));
    note_entry(parent_of(place), file);
    const std::string name = place.path.substr(place.path.rfind('/') + 1);
    if (file.kind == SeedFile::Kind::directory) return put_directory(parent, name, file);
    if (file.kind == SeedFile::Kind::symlink) {
      if (::symlinkat(file.content.c_str(), parent, name.c_str()) != 0)
        return fail_errno("make seed link", quoted(file.path));
      GYGES_CHECK(own(parent, name, file, true));
      return set_time_of(parent, name, file.mtime);
    }
    return put_file(parent, name, file);
  }

  Status put_file(int parent, const std::string& name, const SeedFile& file) const {
    const unsigned mode = closed(file) ? 0U : file.mode;
    const auto open = [&](int how, unsigned first) {
      return UniqueFd(
          ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | how, first));
    };
    UniqueFd fd = open(O_EXCL, has_mode(file, mode) ? mode : 0600);
    const bool made = fd.get() >= 0;
    // Two seeds of one name: the later one stays.
    if (!made && errno == EEXIST) fd = open(O_TRUNC, 0600);
    if (!fd)
      return fail_errno("make seed file", quoted(file.path), errno,
                        errno == ENOSPC ? "raise limits.disk_bytes or limits.inodes" : "");
    auto written = file.pieces.empty() ? write_all(fd.get(), file.content)
                                       : write_pieces(fd.get(), file.pieces);
    if (!written)
      return fail_errno("write seed file", quoted(file.path), written.error().code,
                        "raise limits.disk_bytes of the policy");
    if (!(made && has_owner(file)) && host_.root &&
        ::fchown(fd.get(), owner(file).uid, owner(file).gid) != 0)
      return fail_errno("set owner of seed file", quoted(file.path));
    // After the change of owner, which clears setuid bits.
    if (!(made && has_mode(file, mode)) && ::fchmod(fd.get(), mode) != 0)
      return fail_errno("set mode of seed file", quoted(file.path));
    const timespec times[2] = {{file.mtime, 0}, {file.mtime, 0}};
    if (file.mtime != 0 && ::futimens(fd.get(), times) != 0)
      return fail_errno("set time of seed file", quoted(file.path));
    return ok();
  }

  static Status set_time_of(int parent, const std::string& name, std::int64_t time) {
    if (time == 0) return ok();
    const timespec times[2] = {{time, 0}, {time, 0}};
    if (::utimensat(parent, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno("set time of seed file", quoted(name));
    return ok();
  }

  // When all that is in them has been made, the inner ones first.
  Status close_directories() {
    std::map<std::string, const SeedFile*, std::greater<>> inner_first;
    // Of two of one name the later one stays.
    for (const SeedFile& file : spec_.seed)
      if (file.kind == SeedFile::Kind::directory) inner_first[file.path] = &file;
    for (const auto& [path, file] : inner_first) {
      if (!closed(*file)) continue;
      GYGES_TRY(Place place, place_of(path));
      // That of an area itself is what is mounted.
      if (place.path.size() == place.root) continue;
      GYGES_TRY(const int parent, directory_of(place, *file));
      const std::string name = place.path.substr(place.path.rfind('/') + 1);
      if (::fchmodat(parent, name.c_str(), 0, 0) != 0)
        return fail_errno("set mode of seed directory", quoted(path));
    }
    return ok();
  }

  Status set_time(const SeedFile& file) {
    if (file.mtime == 0) return ok();
    GYGES_TRY(Place place, place_of(file.path));
    int parent = scratch_;
    std::string name = place.path;
    if (place.path.size() != place.root) {
      GYGES_TRY(parent, directory_of(place, file));
      name = place.path.substr(place.path.rfind('/') + 1);
    }
    return set_time_of(parent, name, file.mtime);
  }

  int scratch_;
  const Plan& plan_;
  const SandboxSpec& spec_;
  const HostFacts& host_;
  const Mask mask_;
  const gid_t own_group_ = ::getegid();
  std::vector<std::string> groups_given_;  // "/var/mail/": directories with that mark
  static constexpr std::size_t most_open = 64;
  std::unordered_map<std::string, UniqueFd> directories_;  // those that are open
  // Directories that no seed names, by their paths below the scratch directory: as old as the
  // newest of what is in them.
  std::map<std::string, std::int64_t> made_;
};

}  // namespace

Status seed_areas(int scratch, const Plan& plan, const SandboxSpec& spec, const HostFacts& host,
                  Mask mask) {
  return Seeder(scratch, plan, spec, host, mask).run();
}

}  // namespace gyges::isolation
