// The one parser of host names. DNS questions, SNI, HTTP Host, URLs and policies go through it, so
// that no two of them can take the same bytes for different hosts.
//
// It takes what has one meaning everywhere and refuses the rest instead of repairing it: NUL,
// space, percent, non-ASCII bytes (a policy names the xn-- form), addresses in the notations of
// inet_aton (0x7f.1, 2130706433, 0177.0.0.1), zones, labels over 63 and names over 253 bytes. Upper
// case is folded and one trailing dot is dropped, because every resolver does so.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "sandbox/network/address.h"

namespace gyges::network {

enum class HostFault {
  none,
  empty,
  too_long,        // a name over 253 bytes
  label_empty,     // two dots in a row, or a leading dot
  label_too_long,  // over 63 bytes
  bad_character,   // anything but letters, digits, '-' and '_' between dots
  non_ascii,
  bad_hyphen,    // a label that starts or ends with '-'
  bad_punycode,  // xn-- that decodes to nothing, or to plain ASCII
  odd_address,   // ends in a number and is not four decimal numbers
  bad_address,   // brackets around anything but an IPv6 address
  zone,          // fe80::1%eth0
};

// For a person; "is ..." or "has ...".
const char* host_fault_text(HostFault fault);

struct Host {
  std::string text;  // lower case, no trailing dot, addresses in their usual form
  // Set when the host is an address. ::ffff:192.0.2.1 is 192.0.2.1: a rule for the one holds for
  // both.
  std::optional<IpAddress> address;
  bool operator==(const Host&) const = default;
};

// The hot path: no text is made for a fault. `host` is set only for HostFault::none.
HostFault parse_host(std::string_view bytes, Host& host);
// The same for files and command lines; the error names the bytes, escaped.
Result<Host> parse_host(std::string_view bytes);

struct Authority {
  Host host;
  std::optional<std::uint16_t> port;
};
// "host", "host:port", "[v6]:port", as in HTTP Host. User information is refused, as is port 0.
std::optional<Authority> parse_authority(std::string_view bytes);

struct Url {
  std::string scheme;  // lower case
  Authority authority;
  std::string target;  // path and query, at least "/"; a fragment is dropped
};
// An absolute URL "scheme://authority[/path][?query]".
std::optional<Url> parse_url(std::string_view bytes);

// The text of parse_host().
Result<std::string> canonical_host_name(std::string_view bytes);
// The same for a name that may start with "*.", for all names below it.
Result<std::string> canonical_host_pattern(std::string_view text);

}  // namespace gyges::network
