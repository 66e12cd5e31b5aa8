#include "sandbox/network/names/host_name.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "sandbox/network/names/punycode.h"

namespace gyges::network {
namespace {

constexpr std::size_t longest_name = 253;
constexpr std::size_t longest_label = 63;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

HostFault check_label(std::string_view label) {
  if (label.empty()) return HostFault::label_empty;
  if (label.size() > longest_label) return HostFault::label_too_long;
  if (label.front() == '-' || label.back() == '-')
    return label.starts_with("xn--") ? HostFault::bad_punycode : HostFault::bad_hyphen;
  if (label.starts_with("xn--") && !is_punycode(label.substr(4))) return HostFault::bad_punycode;
  return HostFault::none;
}

// WHATWG's rule: what ends in a number is taken for an IPv4 address by some program.
bool ends_in_number(std::string_view name) {
  std::string_view last = name.substr(name.rfind('.') + 1);
  if (std::all_of(last.begin(), last.end(), is_digit)) return true;
  if (!last.starts_with("0x")) return false;
  return std::all_of(last.begin() + 2, last.end(),
                     [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

void take(const IpAddress& address, Host& host) {
  host = {to_string(address), address};
}

HostFault parse_bracketless_v6(std::string_view bytes, Host& host) {
  if (bytes.find('%') != std::string_view::npos) return HostFault::zone;
  auto address = parse_address(bytes);
  if (!address || !address->v6) return HostFault::bad_address;
  take(unmapped(*address), host);
  return HostFault::none;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

}  // namespace

const char* host_fault_text(HostFault fault) {
  switch (fault) {
    case HostFault::none:
      return "is a host";
    case HostFault::empty:
      return "is empty";
    case HostFault::too_long:
      return "has more than 253 bytes";
    case HostFault::label_empty:
      return "has an empty label";
    case HostFault::label_too_long:
      return "has a label of more than 63 bytes";
    case HostFault::bad_character:
      return "has a character other than letters, digits, '-', '_' and dots";
    case HostFault::non_ascii:
      return "has bytes beyond ASCII";
    case HostFault::bad_hyphen:
      return "has a label that starts or ends with '-'";
    case HostFault::bad_punycode:
      return "has an xn-- label that stands for no name";
    case HostFault::odd_address:
      return "ends in a number and is not four decimal numbers";
    case HostFault::bad_address:
      return "is no address";
    case HostFault::zone:
      return "has a zone";
  }
  return "is unknown";
}

HostFault parse_host(std::string_view bytes, Host& host) {
  if (bytes.empty()) return HostFault::empty;
  if (bytes.front() == '[') {
    if (bytes.back() != ']' || bytes.find(':') == std::string_view::npos)
      return HostFault::bad_address;
    return parse_bracketless_v6(bytes.substr(1, bytes.size() - 2), host);
  }
  if (bytes.find(':') != std::string_view::npos) return parse_bracketless_v6(bytes, host);
  if (bytes.back() == '.') bytes.remove_suffix(1);
  if (bytes.empty()) return HostFault::label_empty;
  if (bytes.size() > longest_name) return HostFault::too_long;
  std::string name(bytes.size(), '\0');
  std::size_t start = 0;
  for (std::size_t i = 0; i <= bytes.size(); ++i) {
    if (i == bytes.size() || bytes[i] == '.') {
      HostFault fault = check_label(std::string_view(name).substr(start, i - start));
      if (fault != HostFault::none) return fault;
      start = i + 1;
      if (i < bytes.size()) name[i] = '.';
      continue;
    }
    char c = lower(bytes[i]);
    if (static_cast<unsigned char>(c) >= 0x80) return HostFault::non_ascii;
    if (!(c >= 'a' && c <= 'z') && !is_digit(c) && c != '-' && c != '_')
      return HostFault::bad_character;
    name[i] = c;
  }
  if (ends_in_number(name)) {
    auto address = parse_address(name);
    if (!address) return HostFault::odd_address;
    take(*address, host);
    return HostFault::none;
  }
  host = {std::move(name), std::nullopt};
  return HostFault::none;
}

Result<Host> parse_host(std::string_view bytes) {
  Host host;
  HostFault fault = parse_host(bytes, host);
  if (fault == HostFault::none) return host;
  std::string_view cure;
  if (fault == HostFault::non_ascii) cure = "write the xn-- form of the name";
  if (fault == HostFault::odd_address) cure = "write the address as four decimal numbers";
  if (fault == HostFault::zone) cure = "leave the zone out";
  return fail("read host name", quoted(bytes.substr(0, 300)), host_fault_text(fault), cure);
}

std::optional<Authority> parse_authority(std::string_view bytes) {
  Authority authority;
  std::size_t colon = bytes.rfind(':');
  // Without brackets there may be one colon only: what follows it is the port.
  bool bracketed = !bytes.empty() && bytes.front() == '[';
  if (bracketed) {
    std::size_t close = bytes.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    if (close + 1 == bytes.size())
      colon = std::string_view::npos;
    else if (bytes[close + 1] != ':' || colon != close + 1)
      return std::nullopt;
  } else if (colon != std::string_view::npos && bytes.find(':') != colon) {
    return std::nullopt;
  }
  if (colon != std::string_view::npos) {
    authority.port = parse_port(bytes.substr(colon + 1));
    if (!authority.port) return std::nullopt;
  }
  if (parse_host(bytes.substr(0, colon), authority.host) != HostFault::none) return std::nullopt;
  return authority;
}

std::optional<Url> parse_url(std::string_view bytes) {
  std::size_t mark = bytes.find("://");
  if (mark == std::string_view::npos || mark == 0) return std::nullopt;
  Url url;
  for (char c : bytes.substr(0, mark)) {
    char folded = lower(c);
    if (!(folded >= 'a' && folded <= 'z')) return std::nullopt;
    url.scheme += folded;
  }
  std::string_view rest = bytes.substr(mark + 3);
  // A backslash is a slash to some programs and a character to others.
  std::size_t end = rest.find_first_of("/?#\\");
  auto authority = parse_authority(rest.substr(0, end));
  if (!authority) return std::nullopt;
  url.authority = std::move(*authority);
  std::string_view target = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  target = target.substr(0, target.find('#'));
  for (char c : target)
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '\\') return std::nullopt;
  if (target.empty() || target.front() != '/') url.target = "/";
  url.target += target;
  return url;
}

Result<std::string> canonical_host_name(std::string_view bytes) {
  GYGES_TRY(Host host, parse_host(bytes));
  return std::move(host.text);
}

Result<std::string> canonical_host_pattern(std::string_view text) {
  if (!text.starts_with("*.")) return canonical_host_name(text);
  GYGES_TRY(Host host, parse_host(text.substr(2)));
  if (host.address)
    return fail("read host pattern", quoted(text), "an address has no names below it",
                "name a block of addresses instead");
  return "*." + host.text;
}

}  // namespace gyges::network
