#include "sandbox/network/port_list.h"

#include <algorithm>
#include <array>
#include <set>

#include "sandbox/init/protocol.h"
#include "sandbox/network/world/world_data.h"

namespace gyges::network {
namespace {

// Of the web, mail, names, files, shells, databases, queues, caches, containers and monitoring:
// what an agent, its package managers and its clients try first. 53 is answered in any case.
constexpr std::array<std::uint16_t, 112> usual_ports{
    20,   21,   22,   23,    25,    43,    53,    80,    81,    88,    110,   111,   119,   123,
    135,  139,  143,  179,   389,   443,   444,   445,   465,   514,   587,   636,   853,   873,
    989,  990,  993,  995,   1080,  1194,  1433,  1521,  1723,  1883,  2049,  2181,  2222,  2375,
    2376, 2379, 2380, 3000,  3001,  3128,  3306,  3389,  4000,  4222,  4317,  4318,  4443,  4444,
    5000, 5001, 5222, 5432,  5601,  5671,  5672,  5900,  5984,  6379,  6443,  6667,  6697,  7000,
    7474, 7687, 8000, 8001,  8008,  8009,  8080,  8081,  8082,  8086,  8088,  8090,  8123,  8200,
    8443, 8500, 8545, 8787,  8883,  8888,  9000,  9001,  9042,  9090,  9092,  9093,  9100,  9200,
    9300, 9418, 9999, 10000, 10250, 11211, 11434, 15672, 25565, 27017, 27018, 50051, 61613, 61616};

}  // namespace

Result<PortList> port_list(const NetworkPolicy& policy, std::string_view packed_world) {
  // Its two listeners are there in any case.
  std::set<std::uint16_t> ports{init::gateway_port};
  PortList list;
  auto add = [&](std::uint16_t port) {
    if (ports.size() < most_listed_ports)
      ports.insert(port);
    else if (!ports.contains(port))
      list.lacks_named = true;
  };
  const auto add_named = [&](bool single) {
    for (const NetworkRule& rule : policy.rules) {
      if (rule.action == RuleAction::refuse || !rule.tcp) continue;
      for (const PortRange& range : rule.ports)
        if ((range.first == range.last) == single)
          for (unsigned port = range.first; port <= range.last && !list.lacks_named; ++port)
            add(static_cast<std::uint16_t>(port));
    }
  };
  // What the policy names one by one comes before all else, and its ranges take what is left.
  add_named(true);
  if (!packed_world.empty()) {
    GYGES_TRY(WorldData world, read_world(packed_world));
    for (const Site& site : world.sites) {
      for (std::uint16_t port : site.http_ports) add(port);
      for (std::uint16_t port : site.https_ports) add(port);
    }
    for (const PortService& service : world.services) add(service.port);
  }
  for (std::uint16_t port : usual_ports)
    if (ports.size() < most_listed_ports)
      ports.insert(port);
    else
      list.lacks_usual |= !ports.contains(port);
  add_named(false);
  list.ports.assign(ports.begin(), ports.end());
  return list;
}

}  // namespace gyges::network
