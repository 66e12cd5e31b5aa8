// The supervisor's side of a simulated world: reads the files that sites name, makes the
// certificate authority, and packs everything for the gateway, which has no file system.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/network/world/world_data.h"

namespace gyges::network {

inline constexpr std::size_t most_site_bytes = 256U << 20U;  // of all files of a world
inline constexpr std::size_t most_site_files = 20000;

// Contents of the files that `internet` (the persona's section, valid by its schema) names,
// relative to `directory`, by the keys of world_from_json(). Symbolic links are not followed.
Result<std::map<std::string, std::string>> read_site_files(const nlohmann::json& internet,
                                                           const std::filesystem::path& directory,
                                                           std::string_view source);

struct PackInput {
  const nlohmann::json& internet;
  const std::map<std::string, std::string>& files;
  std::uint64_t seed = 0;
  std::int64_t created_at = 0;  // seconds of the epoch: the world's day
  std::string company;          // names the authority where the section does not
};

struct PackedWorld {
  std::string bytes;             // for open_world(); holds the private key
  std::string certificate_pem;   // of the authority, for the trust store
  std::string certificate_hash;  // name of its link in a directory of certificates
};

Result<PackedWorld> pack_world(const PackInput& input);

}  // namespace gyges::network
