// What many runs of a disguise have in common of its trees (/sys and directories of /proc), kept in
// the user's cache directory: hundreds of files that would be made and unmade for every run, which
// took two thirds of the processor time of a disguise's start.
//
//   $XDG_CACHE_HOME/gyges/trees/HASH/tree/   "sys", "p12", ... as in a disguise's file system
//   $XDG_CACHE_HOME/gyges/trees/HASH/whole   made after the tree; nothing in it is younger
//
// HASH is of every path, mode and byte and of the week, since files that are older than the machine
// was running would contradict it. A tree is made under another name, moved to its own in one piece
// and never written again. One run or many may make and use it at the same time.
#pragma once

#include <filesystem>
#include <string>

#include "sandbox/isolation/disguise.h"

namespace gyges::isolation {

// Empty where no such directory can be had.
std::filesystem::path shared_trees_directory();

// The tree of a disguise: found and looked through, or made; to be mounted read-only. Empty where
// none can be had or the one that is there is not whole: the disguise is then written for the run
// alone, which looks the same from inside and takes longer. `as_root` as in put_entries().
std::string shared_tree(const Disguise& disguise, bool as_root);

}  // namespace gyges::isolation
