// The gateway's end of the socket over which exchanges are handed out; see outlet/outlet.h.
//
// Bounds: most_exchanges open at one time, most_waiting bytes not yet sent before clients are
// paused (each may add what one read of a connection holds), and answer_window bytes of each answer
// that its client has not taken.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/fd.h"
#include "sandbox/network/outlet/outlet.h"

namespace gyges::network {

class OutletLink final : public Outlet {
 public:
  static constexpr std::size_t most_exchanges = 64;
  static constexpr std::size_t most_waiting = 512U << 10U;

  // `watch` is told which events of epoll are wanted from now on. The socket is non-blocking.
  OutletLink(UniqueFd socket, std::function<void(std::uint32_t)> watch);

  std::uint64_t open(const OutletRequest& request, OutletListener& listener) override;
  bool body(std::uint64_t exchange, std::string_view bytes) override;
  void end(std::uint64_t exchange) override;
  void close(std::uint64_t exchange) override;
  void took(std::uint64_t exchange, std::size_t bytes) override;

  [[nodiscard]] int socket() const { return socket_.get(); }
  // False: the supervisor is gone, and the socket need not be watched any more.
  bool events(std::uint32_t events);

 private:
  void send(FrameKind kind, std::uint64_t exchange, std::string_view bytes);
  void flush();
  void read();
  void take(const Frame& frame);
  void fail_all();
  void update();

  struct Exchange {
    OutletListener* listener = nullptr;
    bool headed = false;
    bool over = false;  // the supervisor has said its last word
  };

  UniqueFd socket_;
  std::function<void(std::uint32_t)> watch_;
  FrameReader reader_;
  std::string out_;
  std::size_t sent_ = 0;
  std::map<std::uint64_t, Exchange> exchanges_;
  std::set<std::uint64_t> paused_;  // were told to wait
  std::uint64_t next_ = 0;
  std::uint32_t watched_ = 0;
  bool gone_ = false;
};

}  // namespace gyges::network
