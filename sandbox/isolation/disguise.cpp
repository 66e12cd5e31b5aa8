#include "sandbox/isolation/disguise.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <unordered_set>

#include "base/text.h"
#include "base/thread_start.h"
#include "base/unmasked.h"
#include "sandbox/isolation/emulation.h"

namespace gyges::isolation {
namespace {

constexpr int renew_milliseconds = 1000;

// Those of CueRules::emulate.
constexpr std::array<std::string_view, 7> emulated_groups{
    "uname", "sysinfo", "affinity", "statfs", "prctl", "process_files", "namespaces"};

Result<UniqueFd> put_file(int root, const std::string& path, const std::string& content,
                          unsigned mode) {
  UniqueFd file(
      ::openat(root, path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!file) return fail_errno("make file of the disguise", quoted(path));
  if (!content.empty()) GYGES_CHECK(write_all(file.get(), content));
  return file;
}

}  // namespace

bool Disguise::places_files() const {
  return !covers.empty() || !sysfs.empty() || (emulation && emulation->answers_opens());
}

bool Disguise::places(const Cover& cover) const {
  return !cover.answered || !emulation || !emulation->answers_opens();
}

std::shared_ptr<const Disguise> effective_disguise(std::shared_ptr<const Disguise> disguise,
                                                   const CueRules& rules) {
  auto wants = [&](std::string_view name) {
    return std::find(rules.emulate.begin(), rules.emulate.end(), name) != rules.emulate.end();
  };
  const bool files = rules.proc_files && rules.sysfs && rules.sysfs_network;
  const bool processes = rules.init_name && rules.decoys && rules.pid_numbers;
  const bool others = rules.container_marks && rules.system_bus && has_bus_responder();
  const bool calls = !disguise || !disguise->emulation || disguise->emulation->answers_anything();
  if (!disguise || (files && processes && others && calls &&
                    std::all_of(emulated_groups.begin(), emulated_groups.end(), wants)))
    return disguise;
  auto made = std::make_shared<Disguise>(*disguise);
  Disguise& left = *made;
  if (!rules.proc_files) {
    left.covers.clear();
    left.usual_processes = 0;
  }
  if (!rules.sysfs) left.sysfs.clear();
  if (!rules.container_marks) left.root_files.clear();
  if (!rules.sysfs_network) left.network_directory.clear();
  if (!rules.init_name) {
    left.init_name = Disguise{}.init_name;
    left.init_arguments = Disguise{}.init_arguments;
  }
  if (!rules.decoys) left.decoys.clear();
  if (!rules.system_bus) left.bus = nullptr;
  if (left.bus && !has_bus_responder()) {
    left.bus = nullptr;
    left.unhidden.emplace_back(
        "there is no system bus: this build of gyges has nothing that answers there (cmake -D "
        "GYGES_SYSTEM_BUS=ON)");
  }
  if (!rules.pid_numbers) {
    left.next_pid = 0;
    for (Decoy& decoy : left.decoys) decoy.pid = 0;
  }
  if (left.emulation) {
    auto kept = std::make_shared<Emulation>(*left.emulation);
    if (!wants("uname")) kept->release.clear();
    if (!wants("sysinfo")) kept->sysinfo = {};
    if (!wants("affinity")) kept->processors = 0;
    if (!wants("statfs")) kept->mounts.clear();
    if (!wants("prctl")) kept->state.reset();
    if (!wants("process_files")) kept->process_files.clear();
    if (!rules.proc_files) {
      kept->load_average = {};
      kept->fixed_files.clear();
    }
    if (!wants("namespaces")) kept->namespaces = Emulation::Namespaces::kernels;
    left.emulation.reset();
    if (kept->answers_anything()) left.emulation = std::move(kept);
  }
  return made;
}

std::string cover_source(std::size_t index) {
  return "p" + std::to_string(index);
}

unsigned mode_for(unsigned mode, bool as_root) {
  return as_root || (mode & 0077U) != 0 ? mode : 0U;
}

Status DisguiseFiles::put_covers(const Disguise& disguise) {
  for (std::size_t i = 0; i < disguise.covers.size(); ++i) {
    const Cover& cover = disguise.covers[i];
    if (!disguise.places(cover)) continue;
    if (cover.entries) {
      if (::mkdirat(root_.get(), cover_source(i).c_str(), 0755) != 0)
        return fail_errno("make directory of the disguise", quoted(cover.path));
      continue;
    }
    // As it is now: the disguise may have been made long before, for a sandbox of a pool or a
    // comparison of several.
    const std::string content = cover.renew ? cover.renew({}) : cover.content;
    GYGES_TRY(UniqueFd file,
              put_file(root_.get(), cover_source(i), content, mode_for(cover.mode, as_root_)));
    if (cover.renew) moving_.push_back({std::move(file), cover.renew});
  }
  return ok();
}

// The directories that something is mounted on: the tree itself, and that of the interfaces.
Status DisguiseFiles::put_places(const Disguise& disguise) {
  if (disguise.sysfs.empty()) return ok();
  if (::mkdirat(root_.get(), sysfs_source, 0755) != 0) return fail_errno("make", "tree of /sys");
  const std::string& deepest = disguise.network_directory;
  for (const TreeEntry& entry : disguise.sysfs) {
    const bool on_the_way =
        entry.kind == TreeEntry::Kind::directory && (deepest + "/").starts_with(entry.path + "/");
    const std::string path = std::string(sysfs_source) + "/" + entry.path;
    if (on_the_way && ::mkdirat(root_.get(), path.c_str(), entry.mode) != 0)
      return fail_errno("make directory of the disguise", quoted(entry.path));
  }
  return ok();
}

Status put_entries(int root, const std::string& place, const std::vector<TreeEntry>& entries,
                   Entries which, bool as_root) {
  UniqueFd tree(::openat(root, place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!tree) return fail_errno("open", "tree of the disguise");
  // Those with something of the run's own below them.
  std::unordered_set<std::string_view> on_the_way;
  for (const TreeEntry& entry : entries) {
    if (!entry.own || which != Entries::own) continue;
    const std::string_view path = entry.path;
    for (std::size_t at = path.rfind('/'); at != std::string_view::npos;
         at = path.rfind('/', at - 1))
      if (!on_the_way.insert(path.substr(0, at)).second) break;
  }
  // Directories that their owner may not write to could not be removed by it: without root they are
  // shared open, and each run closes them above.
  auto is_closed = [&](const TreeEntry& entry) { return (entry.mode & 0700U) != 0700U; };
  auto meant = [&](const TreeEntry& entry) {
    if (which != Entries::own) return which == Entries::all || !entry.own;
    if (entry.own || entry.kind != TreeEntry::Kind::directory) return entry.own;
    return (!as_root && is_closed(entry)) || on_the_way.contains(entry.path);
  };
  std::vector<const TreeEntry*> closed;
  for (const TreeEntry& entry : entries) {
    if (!meant(entry)) continue;
    const char* path = entry.path.c_str();
    switch (entry.kind) {
      case TreeEntry::Kind::directory:
        if (::mkdirat(tree.get(), path, entry.mode | 0700U) != 0 && errno != EEXIST)
          return fail_errno("make directory of the disguise", quoted(entry.path));
        if (is_closed(entry) && (as_root || which != Entries::shared)) closed.push_back(&entry);
        break;
      case TreeEntry::Kind::symlink:
        if (::symlinkat(entry.content.c_str(), tree.get(), path) != 0)
          return fail_errno("make link of the disguise", quoted(entry.path));
        break;
      case TreeEntry::Kind::file:
        if (entry.renew) break;
        GYGES_CHECK(put_file(tree.get(), entry.path, entry.content, mode_for(entry.mode, as_root)));
        break;
    }
  }
  // Those that nobody may write to, when nothing more is made in them.
  for (const TreeEntry* entry : closed)
    if (::fchmodat(tree.get(), entry->path.c_str(), entry->mode, 0) != 0)
      return fail_errno("close directory of the disguise", quoted(entry->path));
  return ok();
}

Status DisguiseFiles::write_trees(const Disguise& disguise) {
  // Done by write(): what others share may not change under them once they are mounted together.
  if (shared_) return ok();
  // Hundreds of files each: pid 1 has long mounted everything when one thread has written them.
  std::future<Status> tree;
  if (!disguise.sysfs.empty())
    tree = unmasked([&] {
      return put_entries(root_.get(), sysfs_source, disguise.sysfs, Entries::all, as_root_);
    });
  Status covers = unmasked([&] { return put_cover_trees(disguise); }).get();
  if (tree.valid()) GYGES_CHECK(tree.get());
  GYGES_CHECK(std::move(covers));
  return unmasked([&] { return put_moving(disguise); }).get();
}

// When their directories are there.
Status DisguiseFiles::put_moving(const Disguise& disguise) {
  for (const TreeEntry& entry : disguise.sysfs) {
    if (!entry.renew) continue;
    GYGES_TRY(UniqueFd file, put_file(root_.get(), std::string(sysfs_source) + "/" + entry.path,
                                      entry.renew({}), mode_for(entry.mode, as_root_)));
    moving_.push_back({std::move(file), entry.renew});
  }
  return ok();
}

Status DisguiseFiles::put_cover_trees(const Disguise& disguise) {
  const Entries which = shared_ ? Entries::own : Entries::all;
  for (std::size_t i = 0; i < disguise.covers.size(); ++i)
    if (disguise.covers[i].entries) {
      GYGES_CHECK(
          put_entries(root_.get(), cover_source(i), *disguise.covers[i].entries, which, as_root_));
      // Directories of procfs are closed to writing.
      if (::fchmodat(root_.get(), cover_source(i).c_str(), disguise.covers[i].mode, 0) != 0)
        return fail_errno("close directory of the disguise", quoted(disguise.covers[i].path));
    }
  return ok();
}

Status DisguiseFiles::start(pid_t first, std::shared_ptr<SharedUse> use) {
  if (moving_.empty()) return ok();
  use_ = std::move(use);
  wake_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!wake_) return fail_errno("make", "eventfd");
  GYGES_TRY(thread_, start_thread("moves what moves on a living machine",
                                  [this, first] { keep_moving(first); }));
  return ok();
}

void DisguiseFiles::keep_moving(pid_t first) {
  UseMeter meter(first);
  for (;;) {
    pollfd wait{wake_.get(), POLLIN, 0};
    int ready = ::poll(&wait, 1, renew_milliseconds);
    if (ready > 0) return;
    if (ready < 0) continue;
    const OwnUse use = meter.look();
    use_->set(use);
    for (const Moving& moving : moving_) {
      std::string content = moving.renew(use);
      // In place and in one piece: a reader never finds the file empty. A failure leaves the file
      // as it was a second ago.
      if (::pwrite(moving.file.get(), content.data(), content.size(), 0) ==
          static_cast<ssize_t>(content.size())) {
        struct stat info {};
        if (::fstat(moving.file.get(), &info) == 0 &&
            info.st_size > static_cast<off_t>(content.size()))
          (void)!::ftruncate(moving.file.get(), static_cast<off_t>(content.size()));
      }
    }
  }
}

Result<std::unique_ptr<DisguiseFiles>> DisguiseFiles::write(UniqueFd root, const Disguise& disguise,
                                                            bool shared, bool as_root) {
  std::unique_ptr<DisguiseFiles> files(new DisguiseFiles(std::move(root), shared, as_root));
  GYGES_CHECK(unmasked([&] { return files->write_first(disguise); }).get());
  return files;
}

Status DisguiseFiles::write_first(const Disguise& disguise) {
  GYGES_CHECK(put_covers(disguise));
  GYGES_CHECK(put_places(disguise));
  if (!shared_) return ok();
  if (!disguise.sysfs.empty())
    GYGES_CHECK(put_entries(root_.get(), sysfs_source, disguise.sysfs, Entries::own, as_root_));
  GYGES_CHECK(put_moving(disguise));
  return put_cover_trees(disguise);
}

void DisguiseFiles::begin_stop() {
  const std::uint64_t one = 1;
  if (wake_) (void)!::write(wake_.get(), &one, sizeof(one));
}

DisguiseFiles::~DisguiseFiles() {
  begin_stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace gyges::isolation
