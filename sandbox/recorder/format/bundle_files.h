// The files of a run bundle as they are on disk. Internal to writing and checking bundles.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::recorder {

inline constexpr std::string_view seal_name = "seal.json";
inline constexpr std::string_view trace_name = "trace.gyt";

struct FileFacts {
  std::uint64_t size = 0;
  std::string sha256;
  bool regular = true;
};
using FileList = std::map<std::string, FileFacts>;

// Every file below `directory` except the seal, by relative path. Directories are not listed: an
// empty one says nothing. Never follows a symbolic link, never waits on a fifo.
Result<FileList> list_files(const std::filesystem::path& directory);

// What the signature of a seal covers: the seal without `signature` as JSON with sorted keys and
// no white space, after a line that keeps the key's signatures apart from those of other formats.
std::string signed_part(const nlohmann::json& seal);

// The bytes of seal.json.
std::string seal_document(const nlohmann::json& seal);

}  // namespace gyges::recorder
