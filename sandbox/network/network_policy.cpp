#include "sandbox/network/network_policy.h"

#include <fmt/format.h>

#include <algorithm>

namespace gyges::network {

std::string_view to_string(RefuseStyle style) {
  constexpr std::array<std::string_view, 3> names{"reset", "timeout", "unreachable"};
  return names[static_cast<std::size_t>(style)];
}

std::string_view to_string(CaptureDemand demand) {
  constexpr std::array<std::string_view, 3> names{"all", "best", "ports"};
  return names[static_cast<std::size_t>(demand)];
}

std::string_view to_string(RuleAction action) {
  constexpr std::array<std::string_view, 4> names{"refuse", "simulate", "relay", "sink"};
  return names[static_cast<std::size_t>(action)];
}

bool domain_matches(std::string_view pattern, std::string_view name) {
  if (!pattern.starts_with("*.")) return pattern == name;
  pattern.remove_prefix(1);  // ".example.com"
  return name.size() > pattern.size() && name.ends_with(pattern);
}

namespace {

bool names_match(const NetworkRule& rule, const std::vector<std::string>& names) {
  return std::any_of(rule.domains.begin(), rule.domains.end(), [&](const std::string& pattern) {
    return std::any_of(names.begin(), names.end(),
                       [&](const std::string& name) { return domain_matches(pattern, name); });
  });
}

bool matches(const NetworkRule& rule, Transport transport, const Endpoint& destination,
             const std::vector<std::string>& names) {
  if (transport == Transport::tcp ? !rule.tcp : !rule.udp) return false;
  if (!rule.ports.empty() &&
      std::none_of(rule.ports.begin(), rule.ports.end(), [&](const PortRange& range) {
        return range.first <= destination.port && destination.port <= range.last;
      }))
    return false;
  if (rule.domains.empty() && rule.networks.empty()) return true;
  // ::ffff:a.b.c.d on the wire is as much a.b.c.d as the sandbox could want it to be.
  IpAddress plain = unmapped(destination.address);
  for (const IpNetwork& network : rule.networks)
    if (network.contains(destination.address) || network.contains(plain)) return true;
  return names_match(rule, names);
}

}  // namespace

Decision decide(const NetworkPolicy& policy, Transport transport, const Endpoint& destination,
                const std::vector<std::string>& names) {
  for (const NetworkRule& rule : policy.rules)
    if (matches(rule, transport, destination, names))
      return {rule.action, rule.refuse.value_or(policy.refuse), &rule};
  return {RuleAction::refuse, policy.refuse, nullptr};
}

Decision decide_name(const NetworkPolicy& policy, std::string_view name) {
  Decision best{RuleAction::refuse, policy.refuse, nullptr};
  for (const NetworkRule& rule : policy.rules) {
    bool any = rule.domains.empty() && rule.networks.empty();
    bool named =
        std::any_of(rule.domains.begin(), rule.domains.end(),
                    [&](const std::string& pattern) { return domain_matches(pattern, name); });
    if (!any && !named) continue;
    if (rule.action != RuleAction::refuse)
      return {rule.action, rule.refuse.value_or(policy.refuse), &rule};
    if (best.rule == nullptr) best = {rule.action, rule.refuse.value_or(policy.refuse), &rule};
    // A refusal of all ports ends the search as it does for connections.
    if (rule.ports.empty() && rule.tcp && rule.udp) return best;
  }
  return best;
}

}  // namespace gyges::network
