// The fuzzer's input as a file, for readers that take a path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gyges::fuzz {

// A path that reads as these bytes until the next call. One thread only.
std::string input_file(const std::uint8_t* data, std::size_t size);

}  // namespace gyges::fuzz
