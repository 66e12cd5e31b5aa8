#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/fd.h"
#include "base/regular_file.h"

namespace gyges {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t limit) {
  GYGES_TRY(UniqueFd fd, open_regular_file(path));
  auto bytes = read_all(fd.get(), limit);
  if (!bytes) bytes.error().object = path.string();
  return bytes;
}

Status write_file_atomically(const std::filesystem::path& path, std::string_view bytes,
                             unsigned mode) {
  std::string staged = path.string() + ".XXXXXX";
  UniqueFd fd(::mkostemp(staged.data(), O_CLOEXEC));
  if (!fd) return fail_errno("create", path.string());
  auto undo = [&](tl::unexpected<Error> failure) {
    ::unlink(staged.c_str());
    failure.value().object = path.string();
    return failure;
  };
  if (auto written = write_all(fd.get(), bytes); !written)
    return undo(tl::unexpected<Error>(written.error()));
  if (::fchmod(fd.get(), mode) != 0) return undo(fail_errno("set mode of", ""));
  if (::fsync(fd.get()) != 0) return undo(fail_errno("sync", ""));
  if (::rename(staged.c_str(), path.c_str()) != 0) return undo(fail_errno("rename to", ""));
  return ok();
}

Result<TemporaryDirectory> TemporaryDirectory::create(std::string_view prefix) {
  const char* base = std::getenv("TMPDIR");
  std::string name = (base != nullptr && *base != '\0') ? base : "/tmp";
  name += "/" + std::string(prefix) + ".XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) return fail_errno("make temporary directory", name);
  return TemporaryDirectory(name);
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept
    : path_(std::move(other.path_)) {
  other.path_.clear();
}

TemporaryDirectory& TemporaryDirectory::operator=(TemporaryDirectory&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::move(other.path_);
    other.path_.clear();
  }
  return *this;
}

TemporaryDirectory::~TemporaryDirectory() {
  remove();
}

void TemporaryDirectory::remove() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

}  // namespace gyges
