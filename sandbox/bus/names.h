// What the document's maker and its reader share.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace gyges::bus {

// An array of these. Braces alone can also mean a copy of the one that is in them.
template <class... Values>
nlohmann::json row(Values&&... values) {
  nlohmann::json made = nlohmann::json::array();
  (made.push_back(nlohmann::json(std::forward<Values>(values))), ...);
  return made;
}

// The part of an object's path that stands for a name: "cron_2eservice" is cron.service.
std::string escaped(std::string_view name);
std::optional<std::string> unescaped(std::string_view label);

}  // namespace gyges::bus
