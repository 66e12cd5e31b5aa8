#include "sandbox/isolation/shipped_filters.h"

#include "sandbox/isolation/seccomp_filter.h"

extern "C" const char gyges_filter_table_begin[];
extern "C" const char gyges_filter_table_end[];

namespace gyges::isolation {

std::vector<std::string> shipped_filter(std::string_view key) {
  if (key.empty()) return {};
  auto size = static_cast<std::size_t>(gyges_filter_table_end - gyges_filter_table_begin);
  return find_filter({gyges_filter_table_begin, size}, key);
}

Result<std::vector<std::string>> seccomp_programs(const SeccompRules& rules,
                                                  const std::vector<std::string>& grants,
                                                  const std::vector<std::string>& capabilities) {
  std::vector<std::string> programs = shipped_filter(seccomp_key(rules, grants));
  if (!programs.empty()) return programs;
  GYGES_TRY(SeccompFilter filter, compile_seccomp(rules, grants, capabilities));
  return std::move(filter.programs);
}

}  // namespace gyges::isolation
