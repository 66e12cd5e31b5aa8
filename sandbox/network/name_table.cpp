#include "sandbox/network/name_table.h"

#include <algorithm>

namespace gyges::network {

void NameTable::note(std::string_view name, const IpAddress& address) {
  auto [found, is_new] = by_address_.try_emplace(address);
  Entry& entry = found->second;
  if (is_new) {
    entry.age = ages_.insert(ages_.end(), address);
    if (ages_.size() > max_entries) {
      by_address_.erase(ages_.front());
      ages_.pop_front();
    }
  } else {
    ages_.splice(ages_.end(), ages_, entry.age);
    if (!entry.names.empty() && entry.names.front() == name) return;
  }
  auto known = std::find(entry.names.begin(), entry.names.end(), name);
  if (known != entry.names.end()) {
    std::rotate(entry.names.begin(), known, known + 1);
    return;  // the set of names is the same, and with it every decision
  }
  entry.names.emplace(entry.names.begin(), name);
  if (entry.names.size() > max_names) entry.names.pop_back();
  ++version_;
}

std::vector<std::string> NameTable::names_of(const IpAddress& address) const {
  auto found = by_address_.find(address);
  return found == by_address_.end() ? std::vector<std::string>() : found->second.names;
}

}  // namespace gyges::network
