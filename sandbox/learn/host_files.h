// Which files of this host a path inside needs: the links on its way, the object at its end, and
// for programs their interpreters.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sandbox/isolation/policy.h"

namespace gyges::learn {

class HostFiles {
 public:
  explicit HostFiles(const isolation::Policy& base) : base_(base) {}

  // Adds what the path needs. False where this host has no such path below base's mounts.
  bool add(const std::string& path, bool executed);

  // All as paths inside.
  [[nodiscard]] const std::set<std::string>& links() const { return links_; }
  [[nodiscard]] const std::set<std::string>& files() const { return files_; }
  [[nodiscard]] const std::set<std::string>& directories() const { return directories_; }

  // The deepest mount of the base policy that a path lies in; null: none.
  [[nodiscard]] const isolation::Mount* mount_of(const std::string& path) const;
  // Where a path of a mount is on the host.
  [[nodiscard]] static std::string on_host(const isolation::Mount& mount, const std::string& path);

 private:
  void add_interpreter(const std::string& host, const std::string& inside, unsigned depth);
  bool add_at(const std::string& path, bool executed, unsigned depth);

  const isolation::Policy& base_;
  std::set<std::string> links_;
  std::set<std::string> files_;
  std::set<std::string> directories_;
};

bool lies_in(const std::string& path, const std::string& directory);

}  // namespace gyges::learn
