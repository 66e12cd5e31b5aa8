// Maps and programs made with bpf(2) as an image describes them. Internal to the BPF backend.
//
// Thread-safety: free functions, safe from any thread.
#pragma once

#include <cstdint>
#include <future>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/recorder/capture/program_image.h"

namespace gyges::recorder {

// `types`: descriptor from load_types(), or -1 for a map whose types are of no interest. `inner`:
// of a map of maps, a map like those that it will hold, else -1.
Result<UniqueFd> make_map(const MapImage& image, std::uint32_t value_size, std::uint32_t entries,
                          int types, int inner);

// `maps` in the order of ProgramImage::maps. The error holds the verifier's last words.
Result<UniqueFd> load_program(const ProgramCode& code, int types, const std::vector<int>& maps);

// `types`: ProgramImage::types.
Result<UniqueFd> load_types(const std::string& types);

// The kernel's numbers of objects; 0 if there is none.
std::uint32_t number_of_map(int fd);
std::uint32_t number_of_program(int fd);
std::uint32_t number_of_link(int fd);

// Puts `value` (a map) into slot `slot` of a map of maps, or empties it for -1. The kernel makes
// whoever changes one wait until no program can still use what it held, 10 to 20 ms: so a thread of
// its own waits, whose future this returns once programs see the change.
Result<std::future<int>> change_slot(int map, std::uint32_t slot, int value);

}  // namespace gyges::recorder
