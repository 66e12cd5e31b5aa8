// Where the gateway hands HTTP exchanges out, for sites that the supervisor answers.
//
// One owner, one thread. Callbacks come later than the call that causes them, never inside it.
#pragma once

#include <cstdint>
#include <string_view>

#include "sandbox/network/outlet/frames.h"

namespace gyges::network {

// Who waits for the answer of one exchange.
class OutletListener {
 public:
  virtual ~OutletListener() = default;
  virtual void answered(OutletResponse&& response) = 0;  // once, first
  virtual void answer_body(std::string_view bytes) = 0;
  virtual void answer_ended() = 0;
  virtual void answer_failed() = 0;  // the supervisor broke off or is gone; nothing more comes
  virtual void outlet_ready() = 0;   // what body() said no to can go on
};

class Outlet {
 public:
  virtual ~Outlet() = default;
  // 0: as many exchanges are open as may be, or the supervisor is gone.
  virtual std::uint64_t open(const OutletRequest& request, OutletListener& listener) = 0;
  // Always taken. False: much waits to be sent; give no more before outlet_ready().
  virtual bool body(std::uint64_t exchange, std::string_view bytes) = 0;
  virtual void end(std::uint64_t exchange) = 0;
  // The client is gone or said something that is no HTTP. The listener hears no more. Also after
  // the answer's end: always called once for every exchange that was opened.
  virtual void close(std::uint64_t exchange) = 0;
  // The client has taken so many bytes of the answer's body, and there is room for as many again;
  // see answer_window. Memory does not grow with those who read slowly.
  virtual void took(std::uint64_t exchange, std::size_t bytes) = 0;
};

}  // namespace gyges::network
