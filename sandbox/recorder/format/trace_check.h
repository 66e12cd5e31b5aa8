// Whether a trace file is whole by its own hashes, and if not, from which byte on.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"
#include "sandbox/recorder/format/first_bad_byte.h"

namespace gyges::recorder {

struct TraceCheck {
  std::string chain_head;  // as far as the file is intact; empty if it has no usable header
  std::string fault;       // empty: none
  std::optional<BadByte> first_bad_byte;
};

// `sealed_head` is the chain head that a seal states, in hexadecimal digits; empty without a seal.
// Fails when the file cannot be read or is no trace, which is no fault of its bytes.
Result<TraceCheck> check_trace(const std::filesystem::path& path,
                               const std::string& sealed_head = {});

}  // namespace gyges::recorder
