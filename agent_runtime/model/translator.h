// Any dialect in front, any behind: what stands between an agent that speaks one and a model that
// speaks another, for one session.
//
// The conversation form carries texts, calls, results and images. The translator adds what needs
// memory: proofs of reasoning that the model behind demands back and the agent's dialect cannot
// hold (they are kept here, by the ids of the calls they led to), and tools with namespaces or free
// text, which dialects without them see as plain functions and the agent sees as it declared them.
//
// What stands outside the request, at a provider (an earlier response by its id, cached content),
// cannot be translated and is an error. What a dialect cannot say is in the losses of its
// write_request().
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/dialect/dialect.h"

namespace gyges::model {

// Not thread-safe.
class Translator {
 public:
  // Replies that are remembered; the oldest are forgotten.
  static constexpr std::size_t max_remembered = 10'000;

  Translator(const Dialect& front, const Dialect& behind) : front_(front), behind_(behind) {}

  // The request for the model behind. Its stream flags are those of the agent's.
  Result<ModelRequest> request(const ModelRequest& asked);

  // The reply as the agent is to see it; remembers its proofs.
  Reply reply(Reply reply);

  // The same for a reply that streams: the deltas to hand on for each that comes. Input of
  // free-text tools comes whole, at the end of its block.
  std::vector<Delta> delta(Delta delta);

 private:
  struct Tool {
    std::string space;
    std::string name;
    bool custom = false;
  };

  void restore(ToolCall& call) const;
  void remember(const Message& message);
  [[nodiscard]] bool same() const { return &front_ == &behind_; }

  const Dialect& front_;
  const Dialect& behind_;
  std::map<std::string, Tool> tools_;  // of the last request, by the name that the model sees
  std::map<std::string, Message> remembered_;
  std::deque<std::string> order_;  // keys of remembered_, oldest first
  // The reply that streams now.
  ReplyBuilder builder_;
  std::map<std::size_t, ToolCall> held_;  // calls whose input waits for its end
};

}  // namespace gyges::model
