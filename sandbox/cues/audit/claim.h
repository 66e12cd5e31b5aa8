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

// From what a persona says detectors should find (`machine.claims` of the manifest, in the words of
// systemd-detect-virt: "kvm", "docker", "none").
Claim claim_from_detectors(std::string_view vm, std::string_view container);

}  // namespace gyges::cues
