// Files that are read to their end, by path.
#pragma once

#include <filesystem>

#include "base/error.h"
#include "base/fd.h"

namespace gyges {

// For reading. Anything but a regular file (FIFO, device, socket, directory) is an error at once,
// because it could be waited for without end.
Result<UniqueFd> open_regular_file(const std::filesystem::path& path);

// The same of one that a stream opens by path afterwards.
Status check_regular_file(const std::filesystem::path& path);

}  // namespace gyges
