// Conversations and replies drawn from a seed, for properties that must hold for all of them.
#pragma once

#include <random>
#include <string>

#include "agent_runtime/model/model_request.h"

namespace gyges::testing {

class RandomConversation {
 public:
  // `origin`: dialect whose signatures reasoning carries.
  RandomConversation(std::uint64_t seed, std::string origin)
      : random_(seed), origin_(std::move(origin)) {}

  model::ModelRequest request();
  model::Reply reply();
  std::size_t below(std::size_t bound) { return random_() % bound; }
  std::string text();       // not empty; any characters
  std::string arguments();  // a JSON object, as nlohmann writes it

 private:
  bool one_in(std::size_t n) { return below(n) == 0; }
  std::string word();
  model::Message assistant(bool with_calls);

  std::mt19937_64 random_;
  std::string origin_;
  std::size_t calls_ = 0;
};

// What no dialect may lose: who said what, which calls with which arguments, which results, which
// tools. One line each, comparable and printable.
std::string core_of(const std::vector<model::Message>& messages);
std::string core_of(const model::ModelRequest& request);

}  // namespace gyges::testing
