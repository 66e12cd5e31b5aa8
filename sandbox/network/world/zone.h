// The names of a simulated internet: which addresses they have, and whose an address is. Every name
// has a stable address of its own: the one its site gives, or one drawn from the world's pools by
// the seed and the name.
//
// Immutable after construction; thread-safe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/network/dns/message.h"
#include "sandbox/network/world/world_data.h"

namespace gyges::network {

class Zone {
 public:
  // `world` outlives the zone.
  explicit Zone(const WorldData& world);

  // `name` is canonical. Null where no site has it.
  [[nodiscard]] const Site* site_of(std::string_view name) const;
  // Empty for a name that does not exist.
  [[nodiscard]] std::vector<IpAddress> addresses_of(std::string_view name) const;
  // Exact hosts at an address, in the order of the world; names that a wildcard covers are found
  // only by the name table of whoever answered them.
  [[nodiscard]] std::vector<std::string> hosts_at(const IpAddress& address) const;

  // The answer to a question about a name of this world; `exists` is false for one it does not
  // have. Questions are the text form of dns::Question.
  [[nodiscard]] dns::Answer answer(const dns::Question& question, bool& exists) const;

  // A stable address for any name, from the pools.
  [[nodiscard]] IpAddress drawn_address(std::string_view name, bool v6, bool& possible) const;

 private:
  struct Entry {
    const Site* site;
    std::vector<IpAddress> addresses;
  };
  void add_site(const Site& site);
  void add_servers();
  [[nodiscard]] std::vector<IpAddress> draw_own(const std::string& host) const;
  [[nodiscard]] std::vector<IpAddress> draw(std::string_view name) const;
  [[nodiscard]] const Entry* find(std::string_view name, Entry& storage) const;
  void answer_root(const dns::Question& question, dns::Answer& answer) const;
  void answer_reverse(const dns::Question& question, dns::Answer& answer, bool& exists) const;
  [[nodiscard]] bool has_names_in(std::string_view zone) const;
  void add_soa(std::string_view name, dns::Answer& answer) const;

  const WorldData& world_;
  Site server_;  // of a name server: nothing but names
  std::map<std::string, Entry, std::less<>> exact_;
  std::vector<std::pair<std::string, const Site*>> below_;  // ".example.org"
  std::map<IpAddress, std::vector<std::string>> by_address_;
};

}  // namespace gyges::network
