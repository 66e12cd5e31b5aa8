#include <algorithm>
#include <charconv>
#include <iterator>

#include "sandbox/network/dns/message.h"
#include "sandbox/network/dns/wire.h"

namespace gyges::network::dns {
namespace {

constexpr std::size_t longest_text = 16384;

struct TypeName {
  std::uint16_t type;
  const char* name;
};
// By the registry of the IANA; those that are asked for in practice.
constexpr TypeName type_names[] = {
    {1, "A"},       {2, "NS"},     {5, "CNAME"}, {6, "SOA"},    {12, "PTR"},     {13, "HINFO"},
    {15, "MX"},     {16, "TXT"},   {28, "AAAA"}, {29, "LOC"},   {33, "SRV"},     {35, "NAPTR"},
    {39, "DNAME"},  {41, "OPT"},   {43, "DS"},   {44, "SSHFP"}, {46, "RRSIG"},   {47, "NSEC"},
    {48, "DNSKEY"}, {50, "NSEC3"}, {52, "TLSA"}, {59, "CDS"},   {60, "CDNSKEY"}, {61, "OPENPGPKEY"},
    {64, "SVCB"},   {65, "HTTPS"}, {99, "SPF"},  {251, "IXFR"}, {252, "AXFR"},   {255, "ANY"},
    {256, "URI"},   {257, "CAA"},
};

bool is_type(std::uint16_t number, Type type) {
  return number == static_cast<std::uint16_t>(type);
}

Record record_of(std::string name, Type type, std::uint32_t ttl, std::string data) {
  return {std::move(name), static_cast<std::uint16_t>(type), 1, ttl, std::move(data)};
}

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (char c : bytes) {
    out += digits[static_cast<std::uint8_t>(c) >> 4U];
    out += digits[static_cast<std::uint8_t>(c) & 15U];
  }
  return out;
}

std::optional<std::string> text_of_soa(std::string_view data) {
  WireReader reader(data, 0);
  std::string text, mailbox;
  if (!reader.name(text, false) || !reader.name(mailbox, false)) return std::nullopt;
  text += " " + mailbox;
  for (int i = 0; i < 5; ++i) {  // serial, refresh, retry, expire, time of negative answers
    std::uint32_t value = 0;
    if (!reader.u32(value)) return std::nullopt;
    text += " " + std::to_string(value);
  }
  return text;
}

std::string text_of_strings(std::string_view data) {
  std::string joined;
  while (!data.empty()) {
    std::size_t length = static_cast<std::uint8_t>(data[0]);
    joined += data.substr(1, length);
    data.remove_prefix(std::min(data.size(), length + 1));
  }
  return joined;
}

}  // namespace

std::string type_name(std::uint16_t type) {
  for (const TypeName& row : type_names)
    if (type == row.type) return row.name;
  return "TYPE" + std::to_string(type);
}

std::optional<std::uint16_t> type_number(std::string_view name) {
  for (const TypeName& row : type_names)
    if (name == row.name) return row.type;
  if (!name.starts_with("TYPE")) return std::nullopt;
  std::uint16_t number = 0;
  auto [end, error] = std::from_chars(name.data() + 4, name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

const char* rcode_name(Rcode rcode) {
  switch (rcode) {
    case Rcode::no_error:
      return "NOERROR";
    case Rcode::format_error:
      return "FORMERR";
    case Rcode::server_failure:
      return "SERVFAIL";
    case Rcode::no_such_name:
      return "NXDOMAIN";
    case Rcode::not_implemented:
      return "NOTIMP";
    case Rcode::refused:
      return "REFUSED";
  }
  return "RESERVED";
}

std::optional<IpAddress> Record::address() const {
  if (is_type(type, Type::a) && data.size() == 4) {
    IpAddress found;
    std::copy(data.begin(), data.end(), found.bytes.begin());
    return found;
  }
  if (is_type(type, Type::aaaa) && data.size() == 16) {
    IpAddress found{true, {}};
    std::copy(data.begin(), data.end(), found.bytes.begin());
    return found;
  }
  return std::nullopt;
}

std::string Record::target() const {
  if (!is_type(type, Type::cname) && !is_type(type, Type::ns) && !is_type(type, Type::ptr))
    return {};
  std::string name_text;
  return WireReader(data, 0).name(name_text, false) ? name_text : std::string();
}

std::string Record::text() const {
  if (auto found = address()) return to_string(*found);
  if (std::string name_text = target(); !name_text.empty()) return name_text;
  if (is_type(type, Type::txt)) return text_of_strings(data);
  std::uint16_t preference = 0;
  std::string exchange;
  if (WireReader reader(data, 0);
      is_type(type, Type::mx) && reader.u16(preference) && reader.name(exchange, false))
    return std::to_string(preference) + " " + exchange;
  if (is_type(type, Type::soa))
    if (auto soa = text_of_soa(data)) return *soa;
  return hex(data);
}

Record address_record(std::string name, const IpAddress& address, std::uint32_t ttl) {
  return record_of(
      std::move(name), address.v6 ? Type::aaaa : Type::a, ttl,
      std::string(address.bytes.begin(), address.bytes.begin() + (address.v6 ? 16 : 4)));
}

std::optional<Record> name_record(std::string name, Type type, std::string_view target,
                                  std::uint32_t ttl) {
  auto wire = encode_name(target);
  if (!wire) return std::nullopt;
  return record_of(std::move(name), type, ttl, std::move(*wire));
}

std::optional<Record> mx_record(std::string name, std::uint16_t preference,
                                std::string_view exchange, std::uint32_t ttl) {
  auto wire = encode_name(exchange);
  if (!wire) return std::nullopt;
  std::string data;
  put_u16(data, preference);
  return record_of(std::move(name), Type::mx, ttl, data + *wire);
}

std::optional<Record> txt_record(std::string name, std::string_view text, std::uint32_t ttl) {
  if (text.size() > longest_text) return std::nullopt;
  std::string data;
  do {
    std::string_view part = text.substr(0, 255);
    data += static_cast<char>(part.size());
    data += part;
    text.remove_prefix(part.size());
  } while (!text.empty());
  return record_of(std::move(name), Type::txt, ttl, std::move(data));
}

std::optional<Record> soa_record(std::string zone, std::string_view primary,
                                 std::string_view mailbox, std::uint32_t serial,
                                 std::uint32_t ttl) {
  auto server = encode_name(primary);
  auto person = encode_name(mailbox);
  if (!server || !person) return std::nullopt;
  std::string data = *server + *person;
  for (std::uint32_t value : {serial, 7200U, 3600U, 1209600U, ttl}) put_u32(data, value);
  return record_of(std::move(zone), Type::soa, ttl, std::move(data));
}

std::optional<std::string> encode_name(std::string_view text) {
  std::string wire;
  if (text == ".") return std::string(1, '\0');
  if (text.ends_with('.') && !text.ends_with("\\.")) text.remove_suffix(1);
  std::string label;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '.') {
      if (label.empty() || label.size() > 63) return std::nullopt;
      wire += static_cast<char>(label.size());
      wire += label;
      label.clear();
      continue;
    }
    if (text[i] != '\\') {
      label += text[i];
      continue;
    }
    if (text.size() - i < 4) return std::nullopt;
    unsigned byte = 0;
    auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 4, byte);
    if (error != std::errc() || end != text.data() + i + 4 || byte > 255) return std::nullopt;
    label += static_cast<char>(byte);
    i += 3;
  }
  wire += '\0';
  if (wire.size() > 255) return std::nullopt;
  return wire;
}

}  // namespace gyges::network::dns
