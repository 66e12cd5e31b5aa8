// Calls of the scenario's command tools that were handed to a third-party agent and that it has not
// made yet. The agent's request to the tools' server does not say for sure which call of its model
// it is: it is the one that says the same. Anything else was never declared.
//
// Bounded; past most_open the oldest are forgotten. Not thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <string>

namespace gyges::gateway {

struct HandedCall {
  std::uint32_t call = 0;
  std::string name;       // the agent's, with its namespace
  std::string arguments;  // JSON text
  std::string id;         // of the call in the conversation
};

class HandedCalls {
 public:
  static constexpr std::size_t most_open = 4096;

  void add(HandedCall call);
  // The call with that name and the same arguments, that with `id` where there is one, which counts
  // as made then; 0: none. `arguments` is JSON text.
  std::uint32_t take(const std::string& name, const std::string& arguments, const std::string& id);
  // Its result has come back.
  void forget(std::uint32_t call);

 private:
  std::list<HandedCall> open_;
};

}  // namespace gyges::gateway
