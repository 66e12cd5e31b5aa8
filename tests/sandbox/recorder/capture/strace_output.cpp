#include "strace_output.h"

#include <cstdlib>
#include <cstring>

namespace gyges::recorder {
namespace {

// The kernel's own codes, which never reach a program.
long restart_code(std::string_view name) {
  if (name == "ERESTARTSYS") return 512;
  if (name == "ERESTARTNOINTR") return 513;
  if (name == "ERESTARTNOHAND") return 514;
  if (name == "ERESTART_RESTARTBLOCK") return 516;
  return 0;
}

std::string number_of(std::string_view name) {
  if (const long code = restart_code(name)) return std::to_string(-code);
  for (int code = 1; code < 134; ++code) {
    const char* known = strerrorname_np(code);
    if (known != nullptr && name == known) return std::to_string(-code);
  }
  return std::string(name);
}

// "-1 ENOENT (No such file or directory)" is -2, "0x7f0" is 2032.
std::string plain_result(std::string_view text) {
  const std::size_t space = text.find(' ');
  const std::string_view first = text.substr(0, space);
  if (first == "-1" || first == "?") {
    if (space == std::string_view::npos) return std::string(first);
    const std::string_view rest = text.substr(space + 1);
    return number_of(rest.substr(0, rest.find(' ')));
  }
  return std::to_string(std::strtoll(std::string(first).c_str(), nullptr, 0));
}

}  // namespace

StraceThreads parse_strace(std::string_view text, int& root) {
  StraceThreads threads;
  std::map<int, std::string> unfinished;
  root = 0;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const int tid = std::atoi(std::string(line.substr(0, 12)).c_str());
    if (root == 0) root = tid;
    line.remove_prefix(line.find_first_not_of("0123456789 "));
    if (line.starts_with("---")) continue;  // a signal
    if (line.starts_with("+++")) {
      // An end, or a leader whose number another thread took over. Its call did not return.
      if (const auto open = unfinished.find(tid); open != unfinished.end()) {
        threads[tid].push_back({open->second, "?"});
        unfinished.erase(open);
      }
      continue;
    }
    std::string name;
    if (line.starts_with("<... ")) {
      name = line.substr(5, line.find(' ', 5) - 5);
      unfinished.erase(tid);
    } else {
      name = line.substr(0, line.find('('));
      if (line.ends_with("<unfinished ...>")) {
        unfinished[tid] = name;
        continue;
      }
    }
    const std::size_t equals = line.rfind(" = ");
    if (equals == std::string_view::npos) continue;
    threads[tid].push_back({name, plain_result(line.substr(equals + 3))});
  }
  return threads;
}

}  // namespace gyges::recorder
