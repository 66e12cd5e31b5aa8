// What a model said and was told that its agent never saw: calls that a gate refused. The agent
// sends its conversation without them; here they are put back in, so that the model knows what it
// did.
//
// A reply is found again by the id of its first call, or by its words. Not thread-safe.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "agent_runtime/model/model_request.h"

namespace gyges::gateway {

class Refusals {
 public:
  // Replies that are remembered; later ones are not.
  static constexpr std::size_t most_remembered = 10'000;

  // `shown`: the reply as the agent got it. `said`: what takes its place in what the model gets.
  void remember(const model::Message& shown, std::vector<model::Message> said);
  // Whether anything was put back.
  bool put_back(model::ModelRequest& request) const;

 private:
  std::map<std::string, std::vector<model::Message>> said_;
};

// The results that tell a model what was refused.
model::Message refusal_of(const model::ToolCall& call, const std::string& told);

}  // namespace gyges::gateway
