// Data files that are part of the binary: schemas, policy presets, personas. Names are paths in the
// source tree, for example "policies/presets/default.json".
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace gyges {

std::optional<std::string_view> asset(std::string_view name);

// Names of all assets that start with `prefix`, sorted.
std::vector<std::string_view> assets_below(std::string_view prefix);

namespace detail {
struct AssetRow {
  std::string_view name;
  const char* begin;
  const char* end;
};
extern const AssetRow asset_rows[];
extern const std::size_t asset_count;
}  // namespace detail

}  // namespace gyges
