// A program that is part of this one, as a file that can be executed.
#pragma once

#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace gyges {

// An anonymous, close-on-exec, sealed memory file with the given program, which execveat(2) takes.
// `name` is what the process is called then. Kernels since 6.3 may be told to refuse executable
// memory files (sysctl vm.memfd_noexec=2): the error says so.
Result<UniqueFd> make_program_file(const char* name, std::string_view program);

// Where the bytes stand in the file of this process's own executable, for those who map them from
// there: open for reading, at the offset of the first byte, which is a multiple of the page size.
// Empty where that cannot be: they are part of a shared library, not aligned to a page, /proc is
// not mounted, or the executable may not be read.
UniqueFd find_in_own_executable(std::string_view bytes);

}  // namespace gyges
