// Looking at trees that an agent wrote: everything by descriptor, below a directory and through no
// link, with bounds on what is read.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"

namespace gyges::isolation {

// Resolves inside `root` only, through no link (openat2(2), Linux 5.6). Invalid with errno set on
// failure. An empty path is the root itself.
UniqueFd open_beneath(int root, const std::string& path, std::uint64_t flags);

// Whether an error of open_beneath says that there is no such entry, rather than that it could not
// be looked at. A link in the way is what ELOOP and EXDEV mean: something else is there.
bool says_absent(int code);

// Opens an entry of the agent's, who may have taken our read permission away: without root we are
// the owner and may give it back with `mode`, once the mode has been noted.
UniqueFd open_entry(int directory, const std::string& name, int flags, unsigned mode);

// Adds the names in a directory, sorted. false: the list is not whole.
bool names_in(int directory, std::vector<std::string>& names);

using ExtendedAttributes = std::vector<std::pair<std::string, std::string>>;  // bytes, by name

// At most 64 attributes and 64 KiB of an open file or directory. `without` is a prefix of names
// that are not the agent's, or empty. false: not all could be read.
bool read_attributes(int fd, const std::string& without, ExtendedAttributes& attributes);

}  // namespace gyges::isolation
