// Whether an xn-- label stands for a name.
#pragma once

#include <string_view>

namespace gyges::network {

// `digits` is what follows "xn--", in lower case: decodes by RFC 3492 section 6.2, to at least one
// code point beyond ASCII, none of them a surrogate. A label that decodes to plain ASCII is a
// second spelling of another name, and some programs undo it.
bool is_punycode(std::string_view digits);

}  // namespace gyges::network
