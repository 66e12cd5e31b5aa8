#include "agent_runtime/gateway/handed_calls.h"

#include <algorithm>

#include "base/json.h"

namespace gyges::gateway {
namespace {

using nlohmann::json;

// Order of keys and white space do not count; no arguments are the empty object.
json as_value(const std::string& arguments) {
  if (arguments.empty()) return json::object();
  json value = json::parse(arguments, nullptr, false);
  return value.is_null() ? json::object() : value;
}

}  // namespace

void HandedCalls::add(HandedCall call) {
  if (open_.size() == most_open) open_.pop_front();
  open_.push_back(std::move(call));
}

std::uint32_t HandedCalls::take(const std::string& name, const std::string& arguments,
                                const std::string& id) {
  const json wanted = as_value(arguments);
  if (wanted.is_discarded()) return 0;
  auto best = open_.end();
  for (auto one = open_.begin(); one != open_.end(); ++one) {
    if (one->name != name || as_value(one->arguments) != wanted) continue;
    if (best == open_.end()) best = one;
    if (!id.empty() && one->id == id) {
      best = one;
      break;
    }
  }
  if (best == open_.end()) return 0;
  std::uint32_t call = best->call;
  open_.erase(best);
  return call;
}

void HandedCalls::forget(std::uint32_t call) {
  open_.remove_if([call](const HandedCall& one) { return one.call == call; });
}

}  // namespace gyges::gateway
