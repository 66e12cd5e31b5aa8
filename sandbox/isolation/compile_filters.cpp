// Part of the build: writes the seccomp programs of the shipped presets to standard output, as the
// table of shipped_filters.h.
#include <unistd.h>

#include <cstdio>

#include "base/fd.h"
#include "sandbox/isolation/seccomp_filter.h"
#include "sandbox/isolation/shipped_filters.h"

namespace {

gyges::Result<std::string> make_table() {
  using namespace gyges::isolation;
  std::string table;
  for (const std::string& name : preset_names()) {
    GYGES_TRY(Policy policy, load_policy(name));
    std::string key = seccomp_key(policy.seccomp, policy.grants);
    if (key.empty() || !find_filter(table, key).empty()) continue;
    GYGES_TRY(SeccompFilter filter,
              compile_seccomp(policy.seccomp, policy.grants, policy.capabilities));
    append_filter(table, key, filter.programs);
  }
  return table;
}

}  // namespace

int main() {
  auto table = make_table();
  gyges::Status written =
      table ? gyges::write_all(STDOUT_FILENO, *table) : tl::unexpected<gyges::Error>(table.error());
  if (written) return 0;
  std::fprintf(stderr, "compile_filters: %s\n", written.error().line().c_str());
  return 1;
}
