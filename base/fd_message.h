// Messages with descriptors, over AF_UNIX sockets. Thread-safe as the calls to the kernel are.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace gyges {

// The kernel's SCM_MAX_FD.
inline constexpr std::size_t most_fds_in_message = 253;

// Sends `bytes`, at least one, with the descriptors, which stay the caller's; waits for room. -1
// with errno, also where not all bytes could be sent (EMSGSIZE). Allocates nothing: also for a
// child of a program with threads.
int send_with_fds(int to, std::string_view bytes, std::span<const int> fds);

struct FdMessage {
  ssize_t size = 0;  // of bytes taken; 0: the end; -1 with errno
  // Close-on-exec. Fewer than were sent where the process may not have more open.
  std::vector<UniqueFd> fds;
};

// At most as many bytes as `into` has room for; waits for them.
FdMessage receive_with_fds(int from, std::span<char> into);

}  // namespace gyges
