#include "cli/working_directory.h"

#include <system_error>

namespace gyges::cli {

Result<std::filesystem::path> working_directory(const std::string& named) {
  std::error_code code;
  std::filesystem::path directory =
      named.empty() ? std::filesystem::current_path(code) : std::filesystem::canonical(named, code);
  if (code)
    return fail_errno("find working directory", named, code.value(),
                      named.empty() ? "change to a directory that exists"
                                    : "name a directory that exists with --workspace DIR");
  if (!std::filesystem::is_directory(directory, code))
    return fail("find working directory", named, "it is not a directory",
                "name the directory that holds it with --workspace DIR");
  return directory;
}

}  // namespace gyges::cli
