// The `landlock` section of a policy: a second wall behind mounts and namespaces, which the kernel
// holds by path and not by mount, and walls that mounts cannot build.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::isolation {

struct LandlockPath {
  std::string path;  // absolute, inside; a directory stands for all below it
  bool read = false;
  bool write = false;  // change, create and remove
  bool execute = false;
  bool operator==(const LandlockPath&) const = default;
};

struct LandlockRules {
  // Whether a ruleset is derived from the mounts: `if_available` says in so many words that a
  // kernel without Landlock will do.
  enum class Mounts { off, if_available, required };
  Mounts mounts = Mounts::if_available;
  std::optional<std::vector<LandlockPath>> paths;      // stated: nothing else can be opened
  std::optional<std::vector<std::uint16_t>> tcp_bind;  // stated: only these ports
  std::optional<std::vector<std::uint16_t>> tcp_connect;
  bool scope_abstract_sockets = false;  // none but those made inside can be connected
  bool scope_signals = false;           // none but processes inside can be signalled
  bool operator==(const LandlockRules&) const = default;

  // Whether the policy asks for anything that must be enforced.
  [[nodiscard]] bool demands() const {
    return mounts == Mounts::required || paths || tcp_bind || tcp_connect ||
           scope_abstract_sockets || scope_signals;
  }
};

// From a section that matches its schema; `source` names the file in errors.
Result<LandlockRules> read_landlock_rules(const nlohmann::json& section, std::string_view source);
nlohmann::json landlock_rules_to_json(const LandlockRules& rules);

}  // namespace gyges::isolation
