#include "cli/record_place.h"

#include <system_error>

#include "base/state_directory.h"

namespace gyges::cli {

Result<std::filesystem::path> default_records() {
  std::filesystem::path base = state_directory();
  if (base.empty())
    return fail("find a place for the record", "", "neither XDG_STATE_HOME nor HOME is set",
                "name one with --out DIR");
  base /= "runs";
  std::error_code code;
  std::filesystem::create_directories(base, code);
  if (code)
    return fail_errno("make directory", base.string(), code.value(), "name another with --out DIR");
  return base;
}

}  // namespace gyges::cli
