// The supervisor's end of the sockets over which egress gateways hand out HTTP exchanges: reads
// requests, bounded, and gives each whole one to a handler in a thread of its own, so that no
// exchange waits for another. An answer whose client does not read waits alone (answer_window).
//
// What arrives here was written by programs in the sandbox and passed on by a process that is not
// trusted: a frame that is malformed, out of order or past a bound ends the link, and with it the
// open exchanges.
//
// Thread-safety: connect() and stop() by one thread at a time; the handler is called by several.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/network/outlet/frames.h"

namespace gyges::gateway {

struct HttpRequest {
  network::OutletRequest head;
  std::string body;
  // The first field of that name, in any case; empty if there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

// Where the answer of one exchange goes. Used by the handler's thread, during its call.
class Answer {
 public:
  virtual ~Answer() = default;
  // Once, first. Each waits for room; false: nobody listens any more.
  virtual bool head(const network::OutletResponse& response) = 0;
  virtual bool body(std::string_view bytes) = 0;
  // The client has closed, or the server stops.
  [[nodiscard]] virtual bool gone() const = 0;
  // `what` is called as soon as that is so, by another thread or at once; it is quick. See
  // WhenGone.
  virtual void when_gone(std::function<void()> what) = 0;
};

// Has something done once nobody waits for an answer any more, for as long as this lives.
class WhenGone {
 public:
  WhenGone(Answer& answer, std::function<void()> what) : answer_(answer) {
    answer_.when_gone(std::move(what));
  }
  ~WhenGone() { answer_.when_gone({}); }
  WhenGone(const WhenGone&) = delete;
  WhenGone& operator=(const WhenGone&) = delete;

 private:
  Answer& answer_;
};

// Head, body and the end follow from what the handler does: an answer without a head, or one whose
// handler returns false, is broken off.
using ExchangeHandler = std::function<bool(const HttpRequest& request, Answer& answer)>;

class OutletServer {
 public:
  static constexpr std::size_t most_body = 32U << 20U;  // of one request
  // Of all requests of a link, which is one sandbox; what goes past it is refused.
  static constexpr std::size_t most_held = 96U << 20U;
  // Open on one link, each handled in a thread that is started when it is first needed.
  static constexpr std::size_t most_exchanges = 64;

  explicit OutletServer(ExchangeHandler handler);
  ~OutletServer();  // stop()
  OutletServer(const OutletServer&) = delete;
  OutletServer& operator=(const OutletServer&) = delete;

  // A new link; gives the gateway's end of it, non-blocking.
  Result<UniqueFd> connect();
  // Ends all links and waits for the handlers, which see gone().
  void stop();
  // Why a link was ended by this side; empty: none was.
  [[nodiscard]] std::string fault() const;

 private:
  class Link;
  ExchangeHandler handler_;
  mutable std::mutex mutex_;
  std::string fault_;
  std::list<std::unique_ptr<Link>> links_;
};

}  // namespace gyges::gateway
