// A reply as it comes, piece by piece, whatever dialect streams it.
//
// Order: start; for each block (a part or a call) open, text..., close; usage at any time after
// start; stop last. Blocks are numbered from 0 in the order of the reply; they may overlap, because
// some providers stream parallel calls side by side. ping and error may stand anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "agent_runtime/model/conversation.h"
#include "agent_runtime/model/model_request.h"
#include "base/error.h"

namespace gyges::model {

struct Delta {
  enum class Kind { start, open, text, close, usage, stop, ping, error };
  Kind kind = Kind::ping;
  std::size_t block = 0;     // open, text, close
  bool is_call = false;      // open, text, close: the block is a call, otherwise a part
  std::string text{};        // text: the next piece of the words, or of the arguments
  Part part{};               // open: what is known; close: signature, data, id where given only now
  ToolCall call{};           // open: id, name, ...; close: signature, where given only now
  std::string id{};          // start: of the reply
  std::string model{};       // start
  std::int64_t created = 0;  // start; Unix time in seconds, 0: not known
  Usage usage{};             // start, usage, stop: as far as it is known
  StopReason stop_reason = StopReason::end;  // stop
  std::string stop_sequence{};               // stop
  ModelError error{};                        // error
};

// Puts a reply together from its deltas. Not thread-safe.
class ReplyBuilder {
 public:
  static constexpr std::size_t max_blocks = 20'000;

  // Fails on deltas out of order: text of a block that is not open, a second start, more than
  // max_blocks blocks, a delta of kind error.
  Status add(const Delta& delta);
  [[nodiscard]] bool stopped() const { return stopped_; }
  // The reply so far; whole when stopped(). Blocks still open are taken as they are.
  [[nodiscard]] Reply take() &&;

 private:
  struct Open {
    bool is_call = false;
    bool open = true;
    Part part;
    ToolCall call;
  };
  std::vector<Open> blocks_;
  Reply reply_;
  bool started_ = false;
  bool stopped_ = false;
};

// The deltas of a whole reply, for streams made from replies that came in one piece. Texts are cut
// into pieces of at most `piece_bytes` bytes, at limits of characters; 0: one piece.
std::vector<Delta> deltas_of(const Reply& reply, std::size_t piece_bytes = 0);

// Joins what is known of usage: later counts win where they are not 0.
void merge_usage(Usage& usage, const Usage& later);

// Sets arguments of a call; `fault` when the text is no JSON object. Empty text means no arguments.
void set_arguments(ToolCall& call, std::string text);

}  // namespace gyges::model
