#include "sandbox/learn/mount_choice.h"

#include <algorithm>
#include <map>
#include <set>

namespace gyges::learn {
namespace {

using isolation::Filesystem;
using isolation::Mount;
using isolation::Policy;

// Each mount costs a start some ten microseconds; a policy of more lines nobody reviews.
constexpr std::size_t most_entries = 64;

std::string parent_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::size_t depth(const std::string& path) {
  return static_cast<std::size_t>(std::count(path.begin(), path.end(), '/'));
}

// Removes what lies below another member. `entries` is sorted.
void drop_covered(std::vector<std::string>& entries, const std::set<std::string>& whole) {
  std::erase_if(entries, [&](const std::string& entry) {
    for (std::string up = parent_of(entry);; up = parent_of(up)) {
      if (whole.count(up) > 0) return true;
      if (up == "/") return false;
    }
  });
}

class Chooser {
 public:
  Chooser(const std::vector<Observation>& runs, const Policy& base, Policy& policy)
      : runs_(runs), base_(base), policy_(policy), choice_{HostFiles(base), {}, {}} {}

  MountChoice choose() {
    for (const Observation& run : runs_)
      for (const auto& [path, use] : run.paths) look_at(run, path, use);
    policy_.filesystem.mounts.clear();
    for (const Mount& mount : base_.filesystem.mounts) keep(mount);
    read_only_mounts();
    if (base_.filesystem.workspace == Filesystem::Workspace::overlay && !workspace_written_)
      policy_.filesystem.workspace = Filesystem::Workspace::read_only;
    return std::move(choice_);
  }

 private:
  [[nodiscard]] bool in_workspace(const Observation& run, const std::string& path,
                                  const Mount* mount) const {
    return base_.filesystem.workspace != Filesystem::Workspace::none && !run.directory.empty() &&
           lies_in(path, run.directory) &&
           (mount == nullptr || mount->target.size() <= run.directory.size());
  }

  void look_at(const Observation& run, const std::string& path, const PathUse& use) {
    if (path == "/" || lies_in(path, "/proc") || lies_in(path, "/dev")) return;
    // What a call named without a place: an anonymous file, a pipe.
    if (path.find('\0') != std::string::npos || path.starts_with("/memfd:")) return;
    const Mount* mount = choice_.files.mount_of(path);
    if (in_workspace(run, path, mount)) {
      workspace_written_ |= use.written;
      return;
    }
    if (mount == nullptr) {
      bool above = lies_in(run.directory, path) ||
                   std::any_of(base_.filesystem.mounts.begin(), base_.filesystem.mounts.end(),
                               [&](const Mount& other) { return lies_in(other.target, path); });
      if (!above) choice_.unknown.push_back(path);
      return;
    }
    used_.insert(mount->target);
    if (use.written) written_.insert(mount->target);
    // Needed for the way to the object even where the object itself is private.
    if (mount->kind == Mount::Kind::fresh) return;
    if (mount->kind != Mount::Kind::read_only) return;
    if (!choice_.files.add(path, use.executed)) choice_.unknown.push_back(path);
    if (use.listed) listed_.insert(path);
  }

  void keep(const Mount& mount) {
    bool is_home = mount.kind == Mount::Kind::fresh && lies_in(base_.identity.home, mount.target) &&
                   base_.filesystem.workspace == Filesystem::Workspace::none;
    bool used = used_.count(mount.target) > 0 || is_home;
    if (!used || mount.kind == Mount::Kind::read_only) return;
    Mount kept = mount;
    bool granted = std::find(policy_.grants.begin(), policy_.grants.end(), "writable_host_mount") !=
                   policy_.grants.end();
    bool written = written_.count(mount.target) > 0;
    if (kept.kind == Mount::Kind::read_write && !granted) {
      choice_.writable_host_mounts.push_back(mount.target);
      kept.kind = Mount::Kind::overlay;
    }
    if (kept.kind != Mount::Kind::fresh && !written) kept.kind = Mount::Kind::read_only;
    policy_.filesystem.mounts.push_back(std::move(kept));
  }

  // Below a read-only mount of the base policy, so that joining never shows more than that did.
  [[nodiscard]] bool may_be_whole(const std::string& directory) const {
    const Mount* mount = choice_.files.mount_of(directory);
    return mount != nullptr && mount->kind == Mount::Kind::read_only;
  }

  void read_only_mounts() {
    const HostFiles& files = choice_.files;
    std::set<std::string> whole;
    for (const std::string& directory : files.directories())
      if (listed_.count(directory) > 0) whole.insert(directory);
    std::set<std::string> all(files.files().begin(), files.files().end());
    all.insert(files.links().begin(), files.links().end());
    all.insert(whole.begin(), whole.end());
    // A directory that was only asked about is there as soon as something below it is.
    for (const std::string& directory : files.directories()) {
      auto next = all.upper_bound(directory + "/");
      if (next == all.end() || !lies_in(*next, directory)) {
        all.insert(directory);
        whole.insert(directory);
      }
    }
    std::vector<std::string> entries(all.begin(), all.end());
    drop_covered(entries, whole);
    entries = join_entries(std::move(entries), most_entries,
                           [&](const std::string& directory) { return may_be_whole(directory); });
    for (const std::string& entry : entries) {
      Mount mount;
      mount.target = entry;
      std::string source = HostFiles::on_host(*files.mount_of(entry), entry);
      if (source != entry) mount.source = source;
      policy_.filesystem.mounts.push_back(std::move(mount));
    }
  }

  const std::vector<Observation>& runs_;
  const Policy& base_;
  Policy& policy_;
  MountChoice choice_;
  std::set<std::string> used_;
  std::set<std::string> written_;
  std::set<std::string> listed_;
  bool workspace_written_ = false;
};

}  // namespace

std::vector<std::string> join_entries(std::vector<std::string> entries, std::size_t most,
                                      const std::function<bool(const std::string&)>& may_be_whole) {
  while (entries.size() > most) {
    std::map<std::string, std::size_t> members;
    for (const std::string& entry : entries) {
      std::string parent = parent_of(entry);
      if (may_be_whole(parent)) ++members[parent];
    }
    if (members.empty()) return entries;
    // Of equals the deepest, which shows the least.
    auto best = std::max_element(members.begin(), members.end(), [](const auto& x, const auto& y) {
      return std::pair(x.second, depth(x.first)) < std::pair(y.second, depth(y.first));
    });
    std::string directory = best->first;
    drop_covered(entries, {directory});
    entries.push_back(directory);
    std::sort(entries.begin(), entries.end());
    entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  }
  return entries;
}

MountChoice choose_mounts(const std::vector<Observation>& runs, const Policy& base,
                          Policy& policy) {
  return Chooser(runs, base, policy).choose();
}

}  // namespace gyges::learn
