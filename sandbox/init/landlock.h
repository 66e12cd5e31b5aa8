// Landlock from inside pid 1, by raw system calls: this program has no library that knows them.
#pragma once

#include <cstdint>

namespace gyges::init {

// Begins a ruleset that handles these accesses; returns 0, or -1 with errno.
int begin_ruleset(std::uint64_t files, std::uint64_t network, std::uint64_t scope);

// Allows accesses below a path of the ruleset begun last; a path that does not exist allows
// nothing. For what is no directory, rights that only directories have are left out.
int allow_path(const char* path, std::uint64_t access);

int allow_port(std::uint64_t port, std::uint64_t access);

// Puts the ruleset on this process and all its future children; there is no way back.
int enforce_ruleset();

}  // namespace gyges::init
