// Small changes to the text of a JSON document that leave every other byte as it is.
//
// What is given must have been parsed by a strict reader before; these functions only look where
// values begin and end, and give up (nullopt) on what they cannot follow. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::gateway {

struct JsonMember {
  std::string name;  // without escapes
  std::string_view key, value;
};

// Members of the object, or elements of the array (without names), that `text` is, in order. Views
// into `text`.
std::optional<std::vector<JsonMember>> members_of(std::string_view text);

// Some object in the document has a member twice: readers differ in which one counts.
bool has_member_twice(std::string_view text);

// An object or array with these members.
std::string object_with(const std::vector<JsonMember>& members);
std::string array_with(const std::vector<JsonMember>& elements);

// `text`, in which `part` is a view, with other bytes in its place.
std::string replaced(std::string_view text, std::string_view part, std::string_view with);

}  // namespace gyges::gateway
