#include "cli/findings_file.h"

#include <cstdio>

#include "base/text.h"

namespace gyges::cli {

std::unique_ptr<analysis::FindingsStore> open_findings_store() {
  std::filesystem::path file = analysis::default_findings_file();
  if (file.empty()) return nullptr;
  auto store = analysis::FindingsStore::open(file);
  if (store) return std::move(*store);
  warn_findings_not_kept(store.error().line());
  return nullptr;
}

void warn_findings_not_kept(std::string_view reason) {
  std::fprintf(stderr,
               "gyges: findings are not kept, the next comparison reads every run again: %s\n",
               printable(reason).c_str());
}

}  // namespace gyges::cli
