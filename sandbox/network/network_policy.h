// The section `network` of a policy: what the sandbox's network looks like and what becomes of each
// attempt to use it. An immutable value; policies/schemas/policy.schema.json is its form in a file.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/network/address.h"

namespace gyges::network {

// What a sandbox sees when it is turned away.
enum class RefuseStyle {
  reset,        // TCP reset, ICMP port unreachable: nothing listens there
  timeout,      // silence: a firewall that drops
  unreachable,  // ICMP host unreachable
};
std::string_view to_string(RefuseStyle style);

enum class RuleAction { refuse, simulate, relay, sink };
std::string_view to_string(RuleAction action);

struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};

// On which TCP ports connections can be let in. Without packet rules (nftables) a connection is
// accepted only where somebody listens on its very port.
enum class CaptureDemand {
  all,    // every port, or the sandbox does not start
  best,   // every port where the host has packet rules, else those that port_list() names
  ports,  // those that port_list() names, also where the host has packet rules
};
std::string_view to_string(CaptureDemand demand);

// Rules are tried in order and the first that matches decides. A rule matches when the destination
// is one of its domains or networks (both empty: any), the port is in one of its ranges (empty:
// any) and the protocol fits.
struct NetworkRule {
  std::string name;
  std::vector<std::string> domains;  // canonical; "*.example.com" matches every name below, not it
  std::vector<IpNetwork> networks;
  // Of relay: where the addresses of `domains` must lie; empty: they must be global.
  std::vector<IpNetwork> within;
  std::vector<PortRange> ports;
  bool tcp = true;
  bool udp = true;
  RuleAction action = RuleAction::refuse;
  std::optional<RefuseStyle> refuse;  // absent: the policy's
  // Of relay: TLS is read, under certificates of the persona's authority.
  bool intercept = false;
  // Of relay: whether what passes is hashed beyond the bytes that are kept.
  bool hash = true;
};

struct NetworkInterface {
  std::string name = "eth0";
  std::string mac;  // "52:54:00:12:34:56"; empty: chosen by the kernel
  std::uint32_t mtu = 1500;
  IpNetwork subnet;   // of the agent's address
  IpAddress address;  // the agent's
  IpAddress gateway;  // in the same subnet
  bool has_v6 = false;
  IpNetwork subnet6;
  IpAddress address6;
  IpAddress gateway6;
};

struct NetworkPolicy {
  enum class Mode {
    none,     // loopback only
    gateway,  // an interface whose other end is the egress gateway
  };
  Mode mode = Mode::none;
  NetworkInterface interface;
  std::vector<IpAddress> resolvers;  // what /etc/resolv.conf names; every address answers anyway
  std::vector<std::string> search;
  RefuseStyle refuse = RefuseStyle::reset;
  CaptureDemand capture = CaptureDemand::best;
  bool answer_echo = true;  // ping
  std::vector<NetworkRule> rules;
  std::uint64_t body_bytes = 65536;  // recorded of each body, at most
  std::uint32_t max_flows = 20000;   // concurrent connections
};

// The default interface of mode gateway: 10.0.2.15/24 behind 10.0.2.2 and fd17:625c:f037:2::15/64.
NetworkInterface default_interface();

// `value` matches the schema already; `source` names the file in errors.
Result<NetworkPolicy> network_policy_from_json(const nlohmann::json& value,
                                               std::string_view source);
nlohmann::json network_policy_to_json(const NetworkPolicy& policy);

// A decision about one destination.
struct Decision {
  RuleAction action = RuleAction::refuse;
  RefuseStyle style = RefuseStyle::reset;
  const NetworkRule* rule = nullptr;  // null: the default
};

enum class Transport { tcp, udp };

// The first rule that matches `destination`, which the sandbox knows under `names` (canonical;
// empty: it was never looked up). Pure.
Decision decide(const NetworkPolicy& policy, Transport transport, const Endpoint& destination,
                const std::vector<std::string>& names);

// Whether some rule could match `name` on some port: what a resolver may answer for. The rule with
// the most permissive first match is returned; refuse where no rule names it.
Decision decide_name(const NetworkPolicy& policy, std::string_view name);

// Whether `name` matches `pattern` ("example.com", "*.example.com"); both canonical.
bool domain_matches(std::string_view pattern, std::string_view name);

}  // namespace gyges::network
