// The revisions of the protocol that are served. The first two begin with `initialize` and have a
// session; 2026-07-28 has neither: every request says who sends it, in `_meta`.
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace gyges::mcp {

enum class Revision { r2025_06_18, r2025_11_25, r2026_07_28 };

// Oldest first.
inline constexpr std::array<std::string_view, 3> revision_names = {"2025-06-18", "2025-11-25",
                                                                   "2026-07-28"};

constexpr std::string_view name_of(Revision revision) {
  return revision_names[static_cast<std::size_t>(revision)];
}

constexpr std::optional<Revision> revision_named(std::string_view name) {
  for (std::size_t i = 0; i < revision_names.size(); ++i)
    if (revision_names[i] == name) return static_cast<Revision>(i);
  return std::nullopt;
}

constexpr bool stateless(Revision revision) {
  return revision == Revision::r2026_07_28;
}

// What an `initialize` that asks for a revision we do not know is answered with.
inline constexpr Revision latest_with_sessions = Revision::r2025_11_25;

}  // namespace gyges::mcp
