#include "sandbox/recorder/format/bundle_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "base/hash.h"
#include "base/json.h"

namespace gyges::recorder {
namespace fs = std::filesystem;
namespace {

Result<FileFacts> facts_of(const fs::path& path) {
  FileFacts facts;
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!fd && (errno == ELOOP || errno == ENXIO)) {
    facts.regular = false;
    return facts;
  }
  if (!fd) return fail_errno("read bundle", path.string());
  if (::fstat(fd.get(), &status) != 0) return fail_errno("read bundle", path.string());
  if (!S_ISREG(status.st_mode)) {
    facts.regular = false;
    return facts;
  }
  GYGES_TRY(Sha256 hash, sha256_of_fd(fd.get()));
  facts.size = static_cast<std::uint64_t>(status.st_size);
  facts.sha256 = to_hex(hash);
  return facts;
}

}  // namespace

Result<FileList> list_files(const fs::path& directory) {
  FileList files;
  std::error_code error;
  fs::recursive_directory_iterator at(directory, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    fs::file_status status = at->symlink_status(error);
    if (error) break;
    if (status.type() == fs::file_type::directory) continue;
    std::string relative = at->path().lexically_relative(directory).string();
    if (relative == seal_name) continue;
    GYGES_TRY(FileFacts facts, facts_of(at->path()));
    files.emplace(std::move(relative), std::move(facts));
  }
  if (error) return fail_errno("read bundle", directory.string(), error.value());
  return files;
}

std::string signed_part(const nlohmann::json& seal) {
  nlohmann::json content = seal;
  content.erase("signature");
  return "gyges seal 1\n" + content.dump();
}

std::string seal_document(const nlohmann::json& seal) {
  return seal.dump(1) + "\n";
}

}  // namespace gyges::recorder
