// Keeps a conversation within the number of tokens that a request may have.
//
// Policy: nothing is summarised and nothing that the agent said is changed. The outputs of tools
// are replaced by a note, the oldest first, until the estimate is at four fifths of the limit; the
// prompts, the agent's own messages and the latest output always stay. The estimate is what the
// endpoint counted for the request before, plus a token for every four bytes that came since.
#pragma once

#include <cstdint>
#include <vector>

#include "agent_runtime/model/conversation.h"

namespace gyges::episode {

class ContextWindow {
 public:
  // `limit` in tokens; 0: none.
  ContextWindow(std::uint64_t limit, const std::vector<model::ToolDeclaration>& tools);

  // Tells what the endpoint counted for a request and its reply, which is the last of `messages`.
  void counted(const model::Usage& usage, const std::vector<model::Message>& messages);

  struct Cut {
    std::uint64_t estimated_tokens = 0;  // before
    std::vector<std::uint32_t> calls;    // whose outputs were left out; empty: nothing was
    bool fits = true;                    // false: what must stay is larger than the limit
  };
  // Makes room in `messages` where it is needed.
  Cut fit(std::vector<model::Message>& messages);

  // The endpoint has refused the conversation as too long: makes room, and keeps within three
  // quarters of what it refused from now on. The Cut is empty where there is nothing to leave out.
  Cut refused(std::vector<model::Message>& messages);
  [[nodiscard]] std::uint64_t limit() const { return limit_; }  // in tokens; 0: none

 private:
  [[nodiscard]] std::uint64_t estimate(const std::vector<model::Message>& messages) const;

  std::uint64_t limit_;
  std::uint64_t tools_bytes_ = 0;
  std::uint64_t known_tokens_ = 0;  // of the first known_bytes_ bytes
  std::uint64_t known_bytes_ = 0;
};

}  // namespace gyges::episode
