// The table of system calls as a page for people: docs/syscalls.md and `gyges trace syscalls`.
#pragma once

#include <string>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {

// "openat(dirfd: directory, pathname: path, flags: flags open, mode: mode) = fd"
std::string syscall_signature(const SyscallSpec& spec);

// The structures among its arguments that are recorded but shown as bytes, separated by commas.
std::string structures_shown_as_bytes(const SyscallSpec& spec);

// Every call of x86-64 in Markdown: number, signature, classes, what is shown as bytes.
std::string syscall_page();

}  // namespace gyges::recorder
