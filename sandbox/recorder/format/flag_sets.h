// Names of the kernel's numbers: flags of open and mmap, socket families, errno, signals.
//
// Sets are data, flags.sets beside this file. A set holds bits that combine (O_RDONLY|O_CLOEXEC),
// values of which exactly one applies (SEEK_SET), or both: values within a mask. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gyges::recorder {

struct FlagName {
  std::uint64_t value = 0;
  std::string_view name;
};

struct FlagSet {
  std::string_view name;
  bool enumeration = false;      // values are not combined
  bool octal = false;            // bits without a name are permissions
  std::uint64_t value_mask = 0;  // bits that hold one of `values`; all for an enumeration
  std::vector<FlagName> values;
  std::vector<FlagName> bits;  // multi-bit names first, so that they win over their parts

  // "O_RDONLY|O_CLOEXEC|0x8000000"; bits without a name are appended in hexadecimal, or octal.
  [[nodiscard]] std::string text(std::uint64_t value) const;
};

// nullptr when there is no set of that name.
const FlagSet* find_flag_set(std::string_view name);

// As FlagSet::text; hexadecimal for unknown sets.
std::string flag_text(std::string_view set, std::uint64_t value);

std::string signal_name(std::uint64_t signal);      // "SIGTERM", "SIGRT_3", "signal 99"
std::string_view errno_name(std::int64_t code);     // "ENOENT"; empty if unknown; code is positive
std::string_view errno_message(std::int64_t code);  // "No such file or directory"; empty if unknown

// Faults found while reading the data; empty, as a test asserts.
const std::vector<std::string>& flag_set_faults();

}  // namespace gyges::recorder
