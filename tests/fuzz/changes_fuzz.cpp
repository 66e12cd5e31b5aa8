// files/changes.jsonl of a bundle of a stranger: refused with a reason, or read, and written as
// what reads the same again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/files.h"
#include "sandbox/isolation/changes_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges;
  static const TemporaryDirectory directory = [] {
    auto made = TemporaryDirectory::create("gyges-fuzz");
    if (!made) std::abort();
    return std::move(*made);
  }();
  const std::filesystem::path& bundle = directory.path();
  static const bool made = std::filesystem::create_directory(bundle / "files");
  if (!made) std::abort();
  if (!write_file_atomically(bundle / "files" / "changes.jsonl",
                             {reinterpret_cast<const char*>(data), size}))
    std::abort();
  auto changes = isolation::read_changes(bundle);
  if (!changes) {
    if (changes.error().line().empty()) std::abort();
    return 0;
  }
  for (const isolation::FileChange& change : *changes)
    if (change.path.empty() || change.path[0] != '/') std::abort();
  isolation::SandboxEnd end;
  end.changes = *changes;
  if (!isolation::write_changes(bundle, end)) std::abort();
  auto again = isolation::read_changes(bundle);
  if (!again || again->size() != changes->size()) std::abort();
  for (std::size_t i = 0; i < again->size(); ++i)
    if ((*again)[i].path != (*changes)[i].path || (*again)[i].mode != (*changes)[i].mode ||
        (*again)[i].link_target != (*changes)[i].link_target)
      std::abort();
  return 0;
}
