// One connection to the responder: authentication, then messages. Everything that comes is hostile:
// what is held of it is bounded, and the first byte that is not as the D-Bus specification has it
// ends the connection.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/fd.h"
#include "sandbox/bus/message.h"

namespace gyges::bus {

inline constexpr std::size_t most_message_bytes = 64U << 10U;   // from a client
inline constexpr std::size_t most_waiting_bytes = 256U << 10U;  // for it; it is not heard meanwhile

// Who speaks, as a service sees it.
struct Caller {
  std::string name;  // ":1.204"; empty: it has said no Hello, or need not
  uid_t uid = 0;
  bool direct = false;  // at systemd's own socket, where there is no bus
  bool asked = false;   // there is one that could ask it for a password: polkit
};

class Client {
 public:
  using Clock = std::chrono::steady_clock;
  // Answers one message by send(), or not at all.
  using Answer = std::function<void(DBusMessage&, Client&)>;

  // `server` is what it is told to have reached: 32 hexadecimal digits.
  Client(UniqueFd fd, Caller caller, std::string server);

  [[nodiscard]] int fd() const { return fd_.get(); }
  Caller& caller() { return caller_; }
  [[nodiscard]] bool authenticated() const { return state_ == State::messages; }
  [[nodiscard]] Clock::time_point begun() const { return begun_; }
  // What poll(2) is to wait for.
  [[nodiscard]] short events() const;

  // Reads once and answers what is complete; writes what can be. False: it is over.
  bool serve(short ready, const Answer& answer);
  void send(DBusMessage& message);

 private:
  enum class State { begin, authenticating, authenticated, messages };
  bool read_some();
  bool take(const Answer& answer);
  bool take_line();
  bool take_message(const Answer& answer);
  bool write_some();

  UniqueFd fd_;
  Caller caller_;
  std::string server_;
  State state_ = State::begin;
  bool asked_for_data_ = false;
  Clock::time_point begun_ = Clock::now();
  std::string in_;
  std::string out_;
  std::uint32_t serial_ = 0;
};

}  // namespace gyges::bus
