// One streamed answer on its way to the agent. Words go out as they come; calls, and the end, wait
// until the reply is whole, recorded and reviewed: an agent acts as soon as it has read a call.
//
// Passed through, the bytes are those of the endpoint. Otherwise they are written in the dialect of
// the agent from what was read. Used by one thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent_runtime/gateway/call_review.h"
#include "agent_runtime/gateway/exchange_log.h"
#include "agent_runtime/gateway/outlet_server.h"
#include "agent_runtime/model/delta.h"
#include "agent_runtime/model/dialect/dialect.h"
#include "agent_runtime/model/pass_through.h"

namespace gyges::gateway {

class StreamedAnswer {
 public:
  // Of all answers of an endpoint that are open, kept for the record or held back.
  static constexpr std::size_t most_open_bytes = 256U << 20U;

  // Borrowed: everything but `array` (see PassThrough); `open_bytes` counts for all answers.
  StreamedAnswer(const model::Dialect& dialect, const model::ModelRequest& asked, bool array,
                 Answer& answer, ExchangeRecord& record, std::atomic<std::size_t>& open_bytes);
  ~StreamedAnswer();
  StreamedAnswer(const StreamedAnswer&) = delete;
  StreamedAnswer& operator=(const StreamedAnswer&) = delete;

  // False, of all: nobody listens any more, or there is too much of it.
  bool take(const model::Delta& delta);
  // The same with the bytes as they came, under the endpoint's own head.
  bool pass(const model::PassThrough& raw, std::string_view bytes,
            const std::vector<model::Delta>& deltas);

  // What was held goes out as the review says. With `more` another reply follows in this answer,
  // and its end is left out.
  bool release(const Review& review, bool more);
  // A whole reply, reviewed already, in pieces.
  bool write(const model::Reply& reply, std::size_t piece_bytes, bool more);

  [[nodiscard]] bool headed() const { return headed_; }
  // Something of the reply that is on its way has come.
  [[nodiscard]] bool begun() const { return begun_; }

 private:
  struct Held {
    std::string bytes;
    std::vector<model::Delta> deltas;
  };
  bool count(std::size_t bytes);
  bool put(model::Delta delta);
  bool put_held(const model::Delta& delta, const Review& review, bool more);
  bool send(std::string_view bytes);
  bool send_head(int status, model::HeaderList headers);
  void note(const model::Delta& delta);
  void next_reply(std::size_t gone);

  const model::Dialect& dialect_;
  bool array_;
  Answer& answer_;
  ExchangeRecord& record_;
  std::atomic<std::size_t>& open_bytes_;
  std::size_t counted_ = 0;
  std::unique_ptr<model::StreamWriter> writer_;
  std::vector<Held> held_;
  bool holding_ = false;
  bool headed_ = false;
  bool begun_ = false;
  bool passed_ = false;  // bytes of the endpoint are what goes out
  bool started_ = false;
  std::size_t offset_ = 0;           // of the blocks of this reply, where others went before
  std::size_t blocks_ = 0;           // of this reply
  std::vector<std::size_t> calls_;   // their blocks, in order
  std::vector<std::size_t> opaque_;  // of opaque parts
  std::vector<std::size_t> gone_;    // blocks that are refused, in order
  bool in_array_ = false;            // the first element is out
};

}  // namespace gyges::gateway
