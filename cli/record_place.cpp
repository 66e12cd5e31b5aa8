#include "cli/record_place.h"

#include <cstdlib>
#include <system_error>

namespace gyges::cli {

Result<std::filesystem::path> default_records() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path base;
  if (state != nullptr && *state == '/')
    base = state;
  else if (home != nullptr && *home == '/')
    base = std::filesystem::path(home) / ".local" / "state";
  else
    return fail("find a place for the record", "", "neither XDG_STATE_HOME nor HOME is set",
                "name one with --out DIR");
  base = base / "gyges" / "runs";
  std::error_code code;
  std::filesystem::create_directories(base, code);
  if (code)
    return fail_errno("make directory", base.string(), code.value(), "name another with --out DIR");
  return base;
}

}  // namespace gyges::cli
