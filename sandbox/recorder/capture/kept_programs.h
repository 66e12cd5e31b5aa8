// Programs and maps that stay loaded between recorders, attached to nothing: the kernel's verifier
// takes 25 to 60 ms for ours, which one short run after another would pay each time.
//
// They are pinned in a BPF filesystem of our own, mounted at bpf/ in shared_directory(), and gone
// at the next boot or when that is unmounted. Only root reaches them. Unattached programs cost no
// call anything; they hold about 1 MiB of kernel memory, and one set of rings with them.
//
// Thread-safety: free functions; the caller holds the lock of the set (program_set.h).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::recorder {

// Names of objects and the descriptors by which they are held.
using KeptObjects = std::vector<std::pair<std::string, UniqueFd>>;

// Where objects are kept: bpf/ in `directory`, if that is a BPF filesystem which only root can
// enter; otherwise empty. With `mount`, mounts one where there is none.
std::filesystem::path kept_objects_home(const std::filesystem::path& directory, bool mount);

// All objects of `set`; fails if there are none. `set` and names consist of letters, digits, - and
// _.
Result<KeptObjects> kept_objects(const std::filesystem::path& home, const std::string& set);

// Keeps all or nothing. Replaces what was kept of `set`, and drops sets that other builds left, but
// for the two youngest.
Status keep_objects(const std::filesystem::path& home, const std::string& set,
                    const std::vector<std::pair<std::string, int>>& objects);

// Removes files of former builds below `directory`, but for those of the four youngest builds and
// of `key`: images, and lists of sets that no recorder uses.
void drop_files_of_other_builds(const std::filesystem::path& directory, std::string_view key);

}  // namespace gyges::recorder
