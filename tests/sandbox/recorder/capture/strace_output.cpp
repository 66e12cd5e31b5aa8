#include "strace_output.h"

#include <cstdlib>
#include <cstring>
#include <utility>

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

// What stands before the closing parenthesis of "...)   ".
std::string before_end(std::string_view call) {
  while (call.ends_with(' ')) call.remove_suffix(1);
  if (call.ends_with(')')) call.remove_suffix(1);
  return std::string(call);
}

}  // namespace

std::vector<std::string> split_arguments(std::string_view arguments) {
  std::vector<std::string> parts;
  std::string part;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const char c = arguments[i];
    part += c;
    if (quoted) {
      if (c == '\\' && i + 1 < arguments.size()) part += arguments[++i];
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (std::strchr("([{", c) != nullptr) {
      ++depth;
    } else if (std::strchr(")]}", c) != nullptr) {
      --depth;
    } else if (c == ',' && depth == 0) {
      part.pop_back();
      parts.push_back(std::exchange(part, {}));
      while (i + 1 < arguments.size() && arguments[i + 1] == ' ') ++i;
    }
  }
  if (!part.empty() || !parts.empty()) parts.push_back(part);
  return parts;
}

StraceThreads parse_strace(std::string_view text, int& root) {
  StraceThreads threads;
  std::map<int, std::pair<std::string, std::string>> unfinished;  // name, and arguments so far
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
        threads[tid].push_back({open->second.first, "?", open->second.second});
        unfinished.erase(open);
      }
      continue;
    }
    std::string name;
    std::string arguments;
    const std::size_t equals = line.rfind(" = ");
    if (line.starts_with("<... ")) {
      name = line.substr(5, line.find(' ', 5) - 5);
      if (const auto open = unfinished.find(tid); open != unfinished.end()) {
        arguments = open->second.second;
        unfinished.erase(open);
      }
      const std::size_t from = line.find('>') + 1;
      if (equals != std::string_view::npos && equals >= from)
        arguments += before_end(line.substr(from, equals - from));
    } else {
      name = line.substr(0, line.find('('));
      if (line.ends_with("<unfinished ...>")) {
        const std::size_t open = line.find('(') + 1;
        unfinished[tid] = {name, std::string(line.substr(open, line.rfind('<') - open))};
        continue;
      }
      if (equals != std::string_view::npos)
        arguments = before_end(line.substr(name.size() + 1, equals - name.size() - 1));
    }
    if (equals == std::string_view::npos) continue;
    threads[tid].push_back({name, plain_result(line.substr(equals + 3)), arguments});
  }
  return threads;
}

}  // namespace gyges::recorder
