#include "agent_runtime/episode/observables.h"

#include "base/hash.h"

namespace gyges::episode {

void Observables::add(const std::string& name, std::string_view bytes) {
  items_[name] = to_hex(gyges::sha256(bytes));
}

std::string Observables::sha256() const {
  std::string all;
  for (const auto& [name, hash] : items_) all += name + '\0' + hash + '\n';
  return to_hex(gyges::sha256(all));
}

}  // namespace gyges::episode
