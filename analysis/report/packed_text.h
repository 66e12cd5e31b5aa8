// Text as a page carries it: gzip (RFC 1952, without name and time, so that the same text gives the
// same bytes), and base64 (RFC 4648) where it stands in HTML. Browsers unpack both by themselves.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::analysis {

Result<std::string> gzip(std::string_view text);
std::string base64(std::string_view bytes);

}  // namespace gyges::analysis
