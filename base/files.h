// Whole files of the host, by path. Not for paths inside a tree that an agent controls: those are
// resolved by descriptor (sandbox/isolation/changes.h).
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges {

inline constexpr std::size_t max_text_file_bytes = 64U << 20U;

Result<std::string> read_file(const std::filesystem::path& path,
                              std::size_t limit = max_text_file_bytes);

// Writes beside the target, syncs, renames over it: readers see the old file or the whole new one.
Status write_file_atomically(const std::filesystem::path& path, std::string_view bytes,
                             unsigned mode = 0644);

// A new directory below $TMPDIR or /tmp, mode 0700, removed with its contents on destruction.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> create(std::string_view prefix);
  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  void remove();
  std::filesystem::path path_;
};

}  // namespace gyges
