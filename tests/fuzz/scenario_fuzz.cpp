// A scenario of a stranger: refused with a reason, or read. Files that it names lie in a directory
// that has none.
#include <unistd.h>

#include <cstdlib>

#include "agent_runtime/episode/scenario.h"
#include "base/files.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges;
  static const TemporaryDirectory directory = *TemporaryDirectory::create("gyges-fuzz");
  std::string input = fuzz::input_file(data, size);
  (void)::symlink(input.c_str(), (directory.path() / "scenario.json").c_str());
  auto scenario = episode::load_scenario(directory.path());
  if (!scenario) {
    if (scenario.error().line().empty()) std::abort();
    return 0;
  }
  auto condition = episode::complete_condition(*scenario, {});
  if (condition && condition->size() != scenario->factors.size()) std::abort();
  return 0;
}
