#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "sandbox/network/network_policy.h"

namespace gyges::network {
namespace {

using nlohmann::json;

template <class T>
void take(const json& from, const char* key, T& into) {
  if (auto found = from.find(key); found != from.end()) into = found->get<T>();
}

template <class Enum>
Enum named(std::string_view text, Enum last) {
  for (int i = 0; i <= static_cast<int>(last); ++i)
    if (to_string(static_cast<Enum>(i)) == text) return static_cast<Enum>(i);
  return last;  // the schema lists the names
}

IpNetwork subnet_of(const IpAddress& address, unsigned prefix) {
  IpNetwork network{address, prefix};
  for (unsigned bit = prefix; bit < 128; ++bit)
    network.address.bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80U >> bit % 8));
  return network;
}

// "10.0.2.15/24": an address and the network it is in.
Status read_interface_address(const std::string& text, IpAddress& address, IpNetwork& subnet) {
  auto slash = text.find('/');
  unsigned prefix = 0;
  GYGES_TRY(address, parse_address(std::string_view(text).substr(0, slash)));
  std::string_view digits =
      slash == std::string::npos ? std::string_view() : std::string_view(text).substr(slash + 1);
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), prefix);
  unsigned most = address.v6 ? 126 : 30;
  if (code != std::errc() || end != digits.data() + digits.size() || prefix < 8 || prefix > most)
    return fail("read interface address", quoted(text), "it has no usable prefix length",
                fmt::format("write the address with /8 to /{}", most));
  subnet = subnet_of(address, prefix);
  return ok();
}

Status read_interface(const json& from, NetworkInterface& into) {
  take(from, "name", into.name);
  take(from, "mac", into.mac);
  take(from, "mtu", into.mtu);
  auto family = [&](const char* address_key, const char* gateway_key, bool v6, IpAddress& address,
                    IpNetwork& subnet, IpAddress& gateway) -> Status {
    if (!from.contains(address_key)) return ok();
    GYGES_CHECK(read_interface_address(from.at(address_key).get<std::string>(), address, subnet));
    if (from.contains(gateway_key)) {
      GYGES_TRY(gateway, parse_address(from.at(gateway_key).get<std::string>()));
    } else {
      gateway = subnet.address;
      gateway.bytes[v6 ? 15 : 3] |= address.bytes[v6 ? 15 : 3] == (gateway.bytes[v6 ? 15 : 3] | 1U)
                                        ? std::uint8_t{2}
                                        : std::uint8_t{1};
    }
    if (address.v6 != v6 || gateway.v6 != v6)
      return fail("read interface", address_key, "address or gateway is of the other IP version");
    if (!subnet.contains(gateway) || gateway == address)
      return fail("read interface", to_string(gateway),
                  "the gateway must be another address of the interface's network",
                  "name one in " + to_string(subnet));
    return ok();
  };
  GYGES_CHECK(family("address", "gateway", false, into.address, into.subnet, into.gateway));
  GYGES_CHECK(family("address6", "gateway6", true, into.address6, into.subnet6, into.gateway6));
  if (from.contains("address6")) into.has_v6 = true;
  if (from.contains("address") && !from.contains("address6")) into.has_v6 = false;
  return ok();
}

// The form of names that rules are compared with.
Result<std::string> canonical_domain(std::string text) {
  std::string_view rest = text;
  if (rest.starts_with("*.")) rest.remove_prefix(2);
  bool good = !rest.empty() && rest.size() <= 253;
  for (const std::string& label : split(rest, '.'))
    good = good && !label.empty() && label.size() <= 63 &&
           std::all_of(label.begin(), label.end(), [](unsigned char c) {
             return std::isalnum(c) != 0 || c == '-' || c == '_';
           });
  if (!good)
    return fail("read domain", quoted(text), "it is no host name",
                "write it like example.com or *.example.com, in ASCII (punycode) letters");
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool is_network(std::string_view text) {
  return text.find(':') != std::string_view::npos || text.find('/') != std::string_view::npos ||
         parse_address(text).has_value();
}

Result<PortRange> read_ports(const json& value) {
  if (value.is_number()) {
    auto port = value.get<std::uint16_t>();
    return PortRange{port, port};
  }
  auto text = value.get<std::string>();
  auto dash = text.find('-');
  PortRange range;
  range.first = static_cast<std::uint16_t>(std::atoi(text.c_str()));
  range.last = static_cast<std::uint16_t>(std::atoi(text.c_str() + dash + 1));
  if (range.first == 0 || range.last < range.first || text.size() > 11)
    return fail("read ports", quoted(text), "the range is empty or upside down",
                "write the lower port first, like 8000-8010");
  return range;
}

Result<NetworkRule> read_rule(const json& from) {
  NetworkRule rule;
  take(from, "name", rule.name);
  if (from.contains("to"))
    for (const json& item : from.at("to")) {
      auto text = item.get<std::string>();
      if (is_network(text)) {
        GYGES_TRY(IpNetwork network, parse_network(text));
        rule.networks.push_back(network);
      } else {
        GYGES_TRY(std::string domain, canonical_domain(text));
        rule.domains.push_back(std::move(domain));
      }
    }
  if (from.contains("within"))
    for (const json& item : from.at("within")) {
      GYGES_TRY(IpNetwork network, parse_network(item.get<std::string>()));
      rule.within.push_back(network);
    }
  // The schema refuses an empty list: it would mean nothing in one reading and anything in another.
  if (from.contains("ports"))
    for (const json& item : from.at("ports")) {
      GYGES_TRY(PortRange range, read_ports(item));
      rule.ports.push_back(range);
    }
  std::string protocol = from.value("protocol", "any");
  rule.tcp = protocol != "udp";
  rule.udp = protocol != "tcp";
  rule.action = named(from.at("action").get<std::string>(), RuleAction::sink);
  if (from.contains("refuse"))
    rule.refuse = named(from.at("refuse").get<std::string>(), RefuseStyle::unreachable);
  if (rule.action == RuleAction::relay && rule.domains.empty() && rule.networks.empty())
    return fail("read rule", quoted(rule.name), "it would relay to every address",
                "name the domains or networks in `to`");
  take(from, "intercept", rule.intercept);
  if (rule.intercept && (rule.action != RuleAction::relay || !rule.tcp))
    return fail("read rule", quoted(rule.name), "`intercept` reads TLS that is relayed",
                "relay tcp, or leave `intercept` out: what is simulated is read anyway");
  take(from, "hash", rule.hash);
  if (!rule.hash && (rule.action != RuleAction::relay || !rule.tcp || rule.intercept))
    return fail("read rule", quoted(rule.name), "`hash` is of tcp that is relayed unread",
                "relay tcp without `intercept`, or leave `hash` out: everything is hashed");
  if (!rule.within.empty() && (rule.action != RuleAction::relay || rule.domains.empty()))
    return fail("read rule", quoted(rule.name), "`within` says where relayed domains may lie",
                "name domains in `to` and relay, or leave `within` out");
  return rule;
}

json network_list(const NetworkRule& rule) {
  json to = json::array();
  for (const std::string& domain : rule.domains) to.push_back(domain);
  for (const IpNetwork& network : rule.networks) to.push_back(to_string(network));
  return to;
}

json rule_to_json(const NetworkRule& rule) {
  json value = {{"name", rule.name}, {"action", to_string(rule.action)}};
  if (!rule.domains.empty() || !rule.networks.empty()) value["to"] = network_list(rule);
  for (const IpNetwork& network : rule.within) value["within"].push_back(to_string(network));
  if (!rule.ports.empty()) {
    json ports = json::array();
    for (const PortRange& range : rule.ports)
      ports.push_back(fmt::format("{}-{}", range.first, range.last));
    value["ports"] = ports;
  }
  value["protocol"] = rule.tcp && rule.udp ? "any" : rule.tcp ? "tcp" : "udp";
  if (rule.intercept) value["intercept"] = true;
  if (!rule.hash) value["hash"] = false;
  if (rule.refuse) value["refuse"] = to_string(*rule.refuse);
  return value;
}

}  // namespace

NetworkInterface default_interface() {
  NetworkInterface interface;
  interface.subnet = {{false, {10, 0, 2, 0}}, 24};
  interface.address = {false, {10, 0, 2, 15}};
  interface.gateway = {false, {10, 0, 2, 2}};
  interface.has_v6 = true;
  interface.subnet6 = {{true, {0xfd, 0x17, 0x62, 0x5c, 0xf0, 0x37, 0, 2}}, 64};
  interface.address6 = interface.gateway6 = interface.subnet6.address;
  interface.address6.bytes[15] = 0x15;
  interface.gateway6.bytes[15] = 0x02;
  return interface;
}

Result<NetworkPolicy> network_policy_from_json(const json& value, std::string_view source) {
  NetworkPolicy policy;
  policy.interface = default_interface();
  auto read = [&]() -> Status {
    if (value.value("mode", "none") == "gateway") policy.mode = NetworkPolicy::Mode::gateway;
    if (value.contains("interface"))
      GYGES_CHECK(read_interface(value.at("interface"), policy.interface));
    if (value.contains("resolvers"))
      for (const json& item : value.at("resolvers")) {
        GYGES_TRY(IpAddress address, parse_address(item.get<std::string>()));
        policy.resolvers.push_back(address);
      }
    take(value, "search", policy.search);
    if (value.contains("refuse"))
      policy.refuse = named(value.at("refuse").get<std::string>(), RefuseStyle::unreachable);
    if (value.contains("capture"))
      policy.capture = named(value.at("capture").get<std::string>(), CaptureDemand::ports);
    if (value.contains("echo")) policy.answer_echo = value.at("echo") == "answer";
    if (value.contains("rules"))
      for (const json& item : value.at("rules")) {
        GYGES_TRY(NetworkRule rule, read_rule(item));
        if (rule.name.empty()) rule.name = fmt::format("rule {}", policy.rules.size() + 1);
        policy.rules.push_back(std::move(rule));
      }
    take(value, "body_bytes", policy.body_bytes);
    take(value, "max_flows", policy.max_flows);
    return ok();
  };
  auto done = read();
  if (!done) {
    done.error().context.push_back(std::string(source) + " at /network");
    return tl::unexpected<Error>(std::move(done.error()));
  }
  if (policy.mode == NetworkPolicy::Mode::none && !policy.rules.empty())
    return fail("check policy", std::string(source) + " at /network",
                "rules have no effect while the mode is none", "set the mode to gateway");
  return policy;
}

json network_policy_to_json(const NetworkPolicy& policy) {
  if (policy.mode == NetworkPolicy::Mode::none) return {{"mode", "none"}};
  const NetworkInterface& interface = policy.interface;
  json shape = {
      {"name", interface.name},
      {"mtu", interface.mtu},
      {"address", fmt::format("{}/{}", to_string(interface.address), interface.subnet.prefix)},
      {"gateway", to_string(interface.gateway)}};
  if (!interface.mac.empty()) shape["mac"] = interface.mac;
  if (interface.has_v6) {
    shape["address6"] =
        fmt::format("{}/{}", to_string(interface.address6), interface.subnet6.prefix);
    shape["gateway6"] = to_string(interface.gateway6);
  }
  json resolvers = json::array();
  for (const IpAddress& address : policy.resolvers) resolvers.push_back(to_string(address));
  json rules = json::array();
  for (const NetworkRule& rule : policy.rules) rules.push_back(rule_to_json(rule));
  json value = {{"mode", "gateway"},
                {"interface", shape},
                {"resolvers", resolvers},
                {"search", policy.search},
                {"refuse", to_string(policy.refuse)},
                {"echo", policy.answer_echo ? "answer" : "drop"},
                {"rules", rules},
                {"body_bytes", policy.body_bytes},
                {"max_flows", policy.max_flows}};
  if (policy.capture != CaptureDemand::best) value["capture"] = to_string(policy.capture);
  return value;
}

}  // namespace gyges::network
