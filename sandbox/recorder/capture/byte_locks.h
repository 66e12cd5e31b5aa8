// Locks on bytes of a file, held by an open file: the kernel gives them up when the last process
// that has it open is gone.
//
// Thread-safety: free functions; threads that share the open file share its locks.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace gyges::recorder {

// Does not wait; false if another open file has it.
bool lock_byte(int file, off_t byte);
void unlock_byte(int file, off_t byte);
// Whether another open file has one of `count` bytes locked.
bool is_locked(int file, off_t byte, std::uint32_t count);

}  // namespace gyges::recorder
