// Which name the sandbox means by an address. The resolver inside the gateway notes every answer it
// gives; decisions about connections look the address up again.
//
// Bounded: past `max_entries` addresses the oldest is forgotten. One thread.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/network/address.h"

namespace gyges::network {

class NameTable {
 public:
  static constexpr std::size_t max_entries = 65536;
  static constexpr std::size_t max_names = 32;  // of one address; the oldest is forgotten

  // `name` is canonical.
  void note(std::string_view name, const IpAddress& address);

  // Names that were answered with this address, most recent first.
  [[nodiscard]] std::vector<std::string> names_of(const IpAddress& address) const;

  [[nodiscard]] std::size_t size() const { return by_address_.size(); }

  // Counts up with every change: who derives something from the table can tell that it is stale.
  [[nodiscard]] std::uint64_t version() const { return version_; }

  // Every address with its names.
  template <class Visit>
  void visit(Visit&& each) const {
    for (const auto& [address, entry] : by_address_) each(address, entry.names);
  }

 private:
  struct Entry {
    std::vector<std::string> names;
    std::list<IpAddress>::iterator age;
  };
  std::map<IpAddress, Entry> by_address_;
  std::list<IpAddress> ages_;  // oldest first
  std::uint64_t version_ = 0;
};

}  // namespace gyges::network
