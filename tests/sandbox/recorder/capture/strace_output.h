// What strace -f wrote, as calls per thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::recorder {

struct StraceCall {
  std::string name;
  std::string result;          // "-2", "3", or "?" for a call that did not return
  std::string arguments = {};  // between the parentheses, as printed
};

using StraceThreads = std::map<int, std::vector<StraceCall>>;

// `text` is the file that `strace -f -o` wrote. `root` becomes the thread of the first line.
StraceThreads parse_strace(std::string_view text, int& root);

// The arguments of a call as strace prints them: parted at commas outside of strings and brackets.
std::vector<std::string> split_arguments(std::string_view arguments);

}  // namespace gyges::recorder
