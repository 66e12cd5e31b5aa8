// The strict rules for the head of a request. Internal to the reader.
#pragma once

#include <optional>
#include <string_view>

#include "sandbox/network/http/request_reader.h"

namespace gyges::network {

// `head` ends with the empty line. Fills everything but what only the parser knows.
std::optional<RequestReader::Fault> check_head(std::string_view head, RequestHead& out);

}  // namespace gyges::network
