#include "base/assets.h"

#include <span>

namespace gyges {
namespace {

std::span<const detail::AssetRow> rows() {
  return {detail::asset_rows, detail::asset_count};
}

}  // namespace

std::optional<std::string_view> asset(std::string_view name) {
  for (const auto& row : rows())
    if (row.name == name)
      return std::string_view(row.begin, static_cast<std::size_t>(row.end - row.begin));
  return std::nullopt;
}

std::vector<std::string_view> assets_below(std::string_view prefix) {
  std::vector<std::string_view> names;
  for (const auto& row : rows())
    if (row.name.starts_with(prefix)) names.push_back(row.name);
  return names;
}

}  // namespace gyges
