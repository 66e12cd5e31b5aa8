// The seccomp programs of the shipped presets, compiled when Gyges is built: libseccomp takes
// longer to make them than the kernel takes to make a sandbox.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/isolation/policy.h"

namespace gyges::isolation {

// The same programs as compile_seccomp() gives: from the build where a preset has the same rules
// and grants, compiled here and now otherwise. Thread-safe.
Result<std::vector<std::string>> seccomp_programs(const SeccompRules& rules,
                                                  const std::vector<std::string>& grants,
                                                  const std::vector<std::string>& capabilities);

// The programs of a preset with this key (seccomp_key), as they were built; empty where none has
// it.
std::vector<std::string> shipped_filter(std::string_view key);

// How the table of them is written: compile_filters.cpp makes it during the build. A record is the
// key, the number of programs, and the programs; each string has its length (u32) before it.
void append_filter(std::string& table, std::string_view key,
                   const std::vector<std::string>& programs);
std::vector<std::string> find_filter(std::string_view table, std::string_view key);

}  // namespace gyges::isolation
