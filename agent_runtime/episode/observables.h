// Everything an agent can see at its start, each thing with a hash: what makes two conditions
// comparable is that only declared observables differ.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace gyges::episode {

class Observables {
 public:
  // Names: prompt/system, prompt/user, tool:NAME, file:/PATH, env:NAME, host:hostname,
  // host:uptime_offset, policy. A later file at the same path replaces the earlier one.
  void add(const std::string& name, std::string_view bytes);

  [[nodiscard]] const std::map<std::string, std::string>& items() const { return items_; }
  // SHA-256 over all names and hashes, in the order of the names.
  [[nodiscard]] std::string sha256() const;

 private:
  std::map<std::string, std::string> items_;
};

}  // namespace gyges::episode
