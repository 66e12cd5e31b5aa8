#include "base/output_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/files.h"

namespace gyges {

bool is_written_in_place(const std::filesystem::path& path) {
  struct stat about {};
  return ::lstat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode) && !S_ISDIR(about.st_mode);
}

Result<PartialFile> PartialFile::beside(const std::filesystem::path& place) {
  std::error_code error;
  if (std::filesystem::is_directory(place, error))
    return fail("write", place.string(), "it is a directory", "name a file");
  std::filesystem::path partial = place;
  partial += ".partial";
  std::filesystem::remove(partial, error);
  return PartialFile(place, std::move(partial));
}

PartialFile::~PartialFile() {
  std::error_code ignored;
  if (!partial_.empty()) std::filesystem::remove(partial_, ignored);
}

Status PartialFile::keep() {
  std::error_code error;
  std::filesystem::rename(partial_, place_, error);
  if (error) return fail_errno("write", place_.string(), error.value());
  partial_.clear();
  return ok();
}

Status write_output_file(const std::filesystem::path& path, std::string_view bytes) {
  if (!is_written_in_place(path)) return write_file_atomically(path, bytes);
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC, 0644));
  if (!file) return fail_errno("write", path.string());
  Status written = write_all(file.get(), bytes);
  if (!written) {
    Error error = written.error();
    error.object = path.string();
    return tl::unexpected<Error>(std::move(error));
  }
  return ok();
}

}  // namespace gyges
