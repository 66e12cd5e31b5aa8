#include "sandbox/recorder/capture/thread_table.h"

#include <fcntl.h>

#include <charconv>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace gyges::recorder {
namespace {

// The last number of the line that starts with `key`: the innermost namespace comes last.
std::int32_t last_number(std::string_view status, std::string_view key) {
  const std::size_t start = status.find(key);
  if (start == std::string_view::npos) return 0;
  std::string_view line = status.substr(start, status.find('\n', start + 1) - start);
  const std::size_t digit = line.find_last_of("\t ");
  if (digit == std::string_view::npos) return 0;
  std::int32_t value = 0;
  std::from_chars(line.data() + digit + 1, line.data() + line.size(), value);
  return value;
}

}  // namespace

Result<ThreadFacts> read_thread_facts(pid_t tid) {
  const std::string path = "/proc/" + std::to_string(tid) + "/status";
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail_errno("read thread", path);
  GYGES_TRY(const std::string status, read_all(file.get(), 65536));
  ThreadFacts facts;
  facts.tid = tid;
  facts.pid = last_number(status, "\nTgid:");
  facts.inside_tid = last_number(status, "\nNSpid:");
  facts.inside_pid = last_number(status, "\nNStgid:");
  return facts;
}

}  // namespace gyges::recorder
