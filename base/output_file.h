// Files that the user named for output.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/error.h"

namespace gyges {

// Whether what stands at `path` may not be replaced: a device, a FIFO or a socket, which root would
// take from the whole machine, or a link to something. Nothing and regular files may.
[[nodiscard]] bool is_written_in_place(const std::filesystem::path& path);

// A regular file is replaced at once when it is complete, as by write_file_atomically(). What must
// stay is opened, emptied and written to.
Status write_output_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace gyges
