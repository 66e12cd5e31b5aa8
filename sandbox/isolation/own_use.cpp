#include "sandbox/isolation/own_use.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace gyges::isolation {
namespace {

// Empty where the process is gone.
std::string proc_file(const std::string& path) {
  return read_file(path).value_or(std::string());
}

std::vector<std::uint64_t> numbers_in(std::string_view text) {
  std::vector<std::uint64_t> numbers;
  const std::string copy(text);
  for (const char* at = copy.c_str(); *at != '\0';) {
    char* end = nullptr;
    const std::uint64_t number = std::strtoull(at, &end, 10);
    if (end == at)
      ++at;
    else {
      numbers.push_back(number);
      at = end;
    }
  }
  return numbers;
}

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> threads;
  DIR* directory = ::opendir(fmt::format("/proc/{}/task", process).c_str());
  if (directory == nullptr) return threads;
  while (const dirent* entry = ::readdir(directory))
    if (const int thread = std::atoi(entry->d_name); thread > 0) threads.push_back(thread);
  ::closedir(directory);
  return threads;
}

bool runs(std::string_view stat) {
  const std::size_t close = stat.rfind(')');
  if (close == std::string_view::npos || close + 2 >= stat.size()) return false;
  return stat[close + 2] == 'R' || stat[close + 2] == 'D';
}

}  // namespace

void UseMeter::add(pid_t process, int depth, Sum& sum) {
  constexpr int deepest = 200;  // a process can have started the next for as long as it likes
  // A fork bomb shall not keep a processor of the supervisor's busy.
  constexpr unsigned most = 4096;
  if (++sum.seen > most) return;
  const std::string stat = proc_file(fmt::format("/proc/{}/stat", process));
  const std::size_t close = stat.rfind(')');
  if (close == std::string::npos || close + 4 > stat.size() || depth > deepest) return;
  // From the fourth field on; stat(5) numbers them from 1, and one may be negative.
  std::vector<std::uint64_t> fields = numbers_in(std::string_view(stat).substr(close + 4));
  if (fields.size() < 17) return;
  sum.user_ticks += fields[14 - 4] + fields[16 - 4];
  sum.system_ticks += fields[15 - 4] + fields[17 - 4];
  std::vector<pid_t> threads{process};
  if (fields[20 - 4] > 1) threads = threads_of(process);
  for (const pid_t thread : threads) {
    const std::string place = fmt::format("/proc/{}/task/{}/", process, thread);
    if (runs(thread == process ? stat : proc_file(place + "stat"))) ++sum.running;
    for (const std::uint64_t child : numbers_in(proc_file(place + "children")))
      add(static_cast<pid_t>(child), depth + 1, sum);
  }
}

OwnUse UseMeter::look() {
  Sum sum;
  add(first_, 0, sum);
  const auto now = std::chrono::steady_clock::now();
  const double passed = std::chrono::duration<double>(now - last_).count();
  last_ = now;
  static const auto ticks_a_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  const double before = use_.user_seconds + use_.system_seconds;
  // What ended unwaited for is missing from now on: no counter goes back.
  use_.user_seconds =
      std::max(use_.user_seconds, static_cast<double>(sum.user_ticks) / ticks_a_second);
  use_.system_seconds =
      std::max(use_.system_seconds, static_cast<double>(sum.system_ticks) / ticks_a_second);
  if (passed <= 0) return use_;
  const double worked = (use_.user_seconds + use_.system_seconds - before) / passed;
  const double running = std::max(static_cast<double>(sum.running), worked);
  static constexpr std::array seconds{60.0, 300.0, 900.0};
  for (std::size_t i = 0; i < seconds.size(); ++i) {
    const double kept = std::exp(-passed / seconds[i]);
    use_.load[i] = use_.load[i] * kept + running * (1 - kept);
  }
  return use_;
}

}  // namespace gyges::isolation
