// Errors of loading the recorder's kernel side. Internal to the BPF backend.
#pragma once

#include <string_view>

#include "base/error.h"

namespace gyges::recorder {

// Has libbpf tell us its warnings instead of printing them; the last one of this thread becomes
// part of load_error().
void keep_libbpf_messages();

// `code` is an errno; it becomes Error::code.
tl::unexpected<Error> load_error(std::string_view object, int code);

}  // namespace gyges::recorder
