// What many runs of a disguise have in common of its trees (/sys and directories of /proc), kept in
// memory until the host starts anew: hundreds of files that would be made and unmade for every run,
// which took two thirds of the processor time of a disguise's start.
//
//   BASE/trees/HASH/tree/   "sys", "p12", ... as in a disguise's file system
//   BASE/trees/HASH/whole   made after the tree; nothing in it is younger
//
// BASE is /run/gyges for root and $XDG_RUNTIME_DIR/gyges for others, or else /dev/shm/gyges-UID: a
// directory of a tmpfs that is this user's and closed to all others. HASH is of every path, mode
// and byte. A tree is made under another name, moved to its own in one piece and never written
// again. One run or many may make and use it at the same time.
#pragma once

#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "base/fd.h"
#include "sandbox/isolation/disguise.h"

namespace gyges::isolation {

// BASE/trees. Empty where no such directory can be had.
std::filesystem::path shared_trees_directory();

struct SharedTree {
  std::string path;
  UniqueFd held;  // nobody removes the tree as long as it is open; outlives `whole`
  // Of one that is still being looked through: false where it is not whole.
  std::future<bool> whole;
};

// The tree of a disguise: found and looked through, or made; to be mounted read-only. Its path is
// empty where none can be had or the one that is there is not whole: the disguise is then written
// for the run alone, which looks the same from inside and takes longer. `as_root` as in
// put_entries().
SharedTree shared_tree(const Disguise& disguise, bool as_root);

// As shared_tree(), but one that is there is looked through by a thread of its own: not before
// `whole` says so may anybody be shown it.
SharedTree shared_tree_ahead(const std::shared_ptr<const Disguise>& disguise, bool as_root);

}  // namespace gyges::isolation
