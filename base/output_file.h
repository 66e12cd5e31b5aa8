// Files that the user named for output.
#pragma once

#include <filesystem>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace gyges {

// Whether what stands at `path` may not be replaced: a device, a FIFO or a socket, which root would
// take from the whole machine, or a link to something. Nothing and regular files may.
[[nodiscard]] bool is_written_in_place(const std::filesystem::path& path);

// A file that is written beside its place, as FILE.partial, and takes it when it is complete. What
// is not kept is removed with the object.
class PartialFile {
 public:
  // An error where a directory stands at `place`. Nothing is made yet, and what an earlier attempt
  // left is removed.
  static Result<PartialFile> beside(const std::filesystem::path& place);
  PartialFile(PartialFile&& from) noexcept
      : place_(std::move(from.place_)), partial_(std::exchange(from.partial_, {})) {}
  PartialFile& operator=(PartialFile&& from) noexcept {
    std::swap(place_, from.place_);
    std::swap(partial_, from.partial_);
    return *this;
  }
  ~PartialFile();

  [[nodiscard]] const std::filesystem::path& path() const { return partial_; }
  Status keep();

 private:
  explicit PartialFile(std::filesystem::path place, std::filesystem::path partial)
      : place_(std::move(place)), partial_(std::move(partial)) {}
  std::filesystem::path place_;
  std::filesystem::path partial_;  // empty: kept
};

// A regular file is replaced at once when it is complete, as by write_file_atomically(). What must
// stay is opened, emptied and written to.
Status write_output_file(const std::filesystem::path& path, std::string_view bytes);

}  // namespace gyges
