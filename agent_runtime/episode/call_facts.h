// What a tool call names: its texts, paths and hosts. Read from the arguments as they are written,
// so it sees what an agent declares and not what a program does with it; for that there are the
// sandbox's policy and the record.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::episode {

struct CallFacts {
  std::vector<std::string> texts;  // every string among the arguments
  std::vector<std::string> paths;  // absolute, without "." and ".."
  std::vector<std::string> hosts;  // lower case, of URLs and of addresses of mail
};

// `home` is where relative paths begin. At most 1000 of each.
CallFacts facts_of(const nlohmann::json& arguments, std::string_view home);

}  // namespace gyges::episode
