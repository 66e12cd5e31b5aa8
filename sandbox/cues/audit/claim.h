// What a persona claims its machine to be: what speaks for it is no leak.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gyges::cues {

enum class Claim : std::uint8_t {
  nothing,          // tells no story: whatever shows a sandbox is listed
  container,        // a container, on a virtual machine or not
  virtual_machine,  // of a cloud
  physical,         // a laptop, a server
};

std::string_view claim_name(Claim claim);
std::optional<Claim> claim_from_name(std::string_view name);

// Of a shipped persona, by its name; other personas claim what the caller says.
std::optional<Claim> claim_of_persona(std::string_view persona);

}  // namespace gyges::cues
