// files/changes.jsonl of a bundle of a stranger: refused with a reason, or read, and written as
// what reads the same again.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "input_file.h"
#include "sandbox/isolation/changes_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges;
  static const TemporaryDirectory directory = *TemporaryDirectory::create("gyges-fuzz");
  std::string input = fuzz::input_file(data, size);
  std::filesystem::path read = directory.path() / "read";
  (void)::mkdir(read.c_str(), 0700);
  (void)::mkdir((read / "files").c_str(), 0700);
  (void)::symlink(input.c_str(), (read / "files" / "changes.jsonl").c_str());
  auto changes = isolation::read_changes(read);
  if (!changes) {
    if (changes.error().line().empty()) std::abort();
    return 0;
  }
  for (const isolation::FileChange& change : *changes)
    if (change.path.empty() || change.path[0] != '/') std::abort();
  return 0;
}
