// The ways in which a token may be written. Internal to the search.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gyges::network {

// Name of the encoding and the bytes that a text holding the encoded token must contain, whatever
// stands before and after the token.
std::vector<std::pair<const char*, std::string>> spellings_of(std::string_view token);

}  // namespace gyges::network
