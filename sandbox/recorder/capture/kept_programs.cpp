#include "sandbox/recorder/capture/kept_programs.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "sandbox/recorder/capture/load_error.h"

namespace gyges::recorder {
namespace {

namespace fs = std::filesystem;

bool is_bpf_filesystem(const fs::path& path) {
  struct statfs facts {};
  return statfs(path.c_str(), &facts) == 0 && facts.f_type == BPF_FS_MAGIC;
}

bool only_root_enters(const fs::path& path) {
  struct stat facts {};
  return lstat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode) && facts.st_uid == 0 &&
         (facts.st_mode & 077) == 0;
}

// Names below `directory`, oldest first.
std::vector<std::string> by_age(const fs::path& directory) {
  std::vector<std::pair<fs::file_time_type, std::string>> entries;
  std::error_code code;
  for (fs::directory_iterator at(directory, code), end; !code && at != end; at.increment(code)) {
    std::error_code gone;
    const fs::file_time_type time = at->last_write_time(gone);
    if (!gone) entries.emplace_back(time, at->path().filename().string());
  }
  std::sort(entries.begin(), entries.end());
  std::vector<std::string> names;
  for (auto& [time, name] : entries) names.push_back(std::move(name));
  return names;
}

// Not remove_all(), which needs to open what it removes.
void drop_set(const fs::path& set) {
  for (const std::string& name : by_age(set)) unlink((set / name).c_str());
  rmdir(set.c_str());
}

// Nobody holds a lock on the file, nor can take one before it is gone: who opens it meanwhile sees
// that it has no name any more.
void drop_unused(const fs::path& file) {
  const UniqueFd fd(open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (fd && fcntl(fd.get(), F_OFD_SETLK, &whole) == 0) unlink(file.c_str());
}

}  // namespace

fs::path kept_objects_home(const fs::path& directory, bool mount) {
  if (directory.empty()) return {};
  const fs::path home = directory / "bpf";
  if (!is_bpf_filesystem(home)) {
    if (!mount || (mkdir(home.c_str(), 0700) != 0 && errno != EEXIST) || !only_root_enters(home) ||
        ::mount("bpf", home.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") != 0)
      return {};
  }
  return only_root_enters(home) ? home : fs::path();
}

Result<KeptObjects> kept_objects(const fs::path& home, const std::string& set) {
  KeptObjects objects;
  for (const std::string& name : by_age(home / set)) {
    UniqueFd object(bpf_obj_get((home / set / name).c_str()));
    if (!object) return load_error("kept " + name, errno);
    objects.emplace_back(name, std::move(object));
  }
  if (objects.empty()) return load_error("kept programs", ENOENT);
  return objects;
}

Status keep_objects(const fs::path& home, const std::string& set,
                    const std::vector<std::pair<std::string, int>>& objects) {
  const fs::path made = home / ("new-" + set);
  drop_set(made);  // of somebody who was killed
  if (mkdir(made.c_str(), 0700) != 0) return fail_errno("keep programs", made.string());
  for (const auto& [name, fd] : objects) {
    if (bpf_obj_pin(fd, (made / name).c_str()) == 0) continue;
    auto error = fail_errno("keep programs", name);
    drop_set(made);
    return error;
  }
  drop_set(home / set);
  if (rename(made.c_str(), (home / set).c_str()) != 0) {
    auto error = fail_errno("keep programs", set);
    drop_set(made);
    return error;
  }
  constexpr std::size_t kept = 3;
  const std::vector<std::string> sets = by_age(home);
  for (std::size_t i = 0; i + kept < sets.size(); ++i)
    if (sets[i] != set) drop_set(home / sets[i]);
  return ok();
}

void drop_files_of_other_builds(const fs::path& directory, std::string_view key) {
  constexpr std::size_t kept = 4;
  constexpr std::string_view prefix = "recorder-";
  std::vector<std::string> builds;  // youngest first
  const std::vector<std::string> names = by_age(directory);
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!name->starts_with(prefix)) continue;
    const std::string build = name->substr(prefix.size(), key.size());
    if (build == key) continue;
    auto known = std::find(builds.begin(), builds.end(), build);
    if (known == builds.end()) known = builds.insert(builds.end(), build);
    if (static_cast<std::size_t>(known - builds.begin()) < kept) continue;
    if (name->ends_with(".image")) unlink((directory / *name).c_str());
    if (name->ends_with(".set")) drop_unused(directory / *name);
  }
}

}  // namespace gyges::recorder
