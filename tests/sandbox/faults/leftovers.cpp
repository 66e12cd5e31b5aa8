#include "leftovers.h"

#include <unistd.h>

#include "base/files.h"
#include "tests/own_groups.h"

namespace gyges::faults {
namespace {

namespace fs = std::filesystem;

std::string entry_of(const fs::path& directory) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) return entry.path();
  return "";
}

int count_processes(const std::string& token) {
  int found = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    std::string pid = entry.path().filename();
    if (pid[0] < '1' || pid[0] > '9') continue;
    auto arguments = read_file(entry.path() / "cmdline");
    found += arguments && arguments->find(token) != std::string::npos ? 1 : 0;
  }
  return found;
}

}  // namespace

int processes_of(const std::string& token) {
  for (int attempt = 0; attempt < 3000; ++attempt) {
    if (count_processes(token) == 0) return 0;
    ::usleep(10000);
  }
  return count_processes(token);
}

std::string mount_table() {
  return read_file("/proc/self/mountinfo").value_or("");
}

std::string leftovers_of(pid_t supervisor, const fs::path& temporary) {
  std::string left;
  for (int attempt = 0; attempt < 3000; ++attempt) {
    std::vector<std::string> groups = groups_of(supervisor);
    left = groups.empty() ? entry_of(temporary) : groups[0];
    if (left.empty()) return "";
    ::usleep(10000);
  }
  return left;
}

}  // namespace gyges::faults
