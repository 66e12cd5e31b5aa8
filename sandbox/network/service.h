// A simulated service: a state machine that is handed bytes and says what to answer. It knows
// nothing of sockets, threads or clocks; the gateway drives it over real connections, tests and
// fuzzers over strings.
//
// Thread-safety: all objects of one gateway are used by one thread. A service must bound what it
// keeps: whatever it is sent comes from the sandbox.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sandbox/network/flow.h"

namespace gyges::network {

// What is known of a connection when it opens.
struct Connection {
  std::uint64_t id = 0;      // Flow::connection
  std::uint32_t socket = 0;  // Flow::socket
  Endpoint source;
  Endpoint destination;
  std::string name;  // the name under which the sandbox knows the destination; may be empty
};

// What a service may do to its connection. Owned by the gateway; outlives the service.
class StreamPort {
 public:
  virtual ~StreamPort() = default;
  // Queued in order; the bytes are copied. A service that produces much looks at unsent() first.
  virtual void send(std::string_view bytes) = 0;
  [[nodiscard]] virtual std::size_t unsent() const = 0;
  // While unsent() is below this a service may queue as much; then it waits for drained().
  [[nodiscard]] virtual std::size_t step() const { return 262144; }
  // Stops or resumes reading from the client; nothing is lost meanwhile.
  virtual void pause(bool paused) = 0;
  // Ends the connection once everything queued is sent.
  virtual void close() = 0;
  // Ends it now, with a reset.
  virtual void reset() = 0;
  // Calls woken() at this time, once; a second call replaces the first. CLOCK_MONOTONIC.
  virtual void wake_at(std::int64_t time_ns) = 0;
  [[nodiscard]] virtual std::int64_t now_ns() const = 0;
  // Records an exchange. What the service leaves at its default (time, connection, endpoints, name,
  // verdict, rule) is filled in.
  virtual void record(Flow flow) = 0;
  // Bytes of the client that the service will never read, for it has closed or is about to.
  // `searched`: for canaries, as StreamService::is_searched() says; a service may say it for the
  // last time while it is destroyed.
  virtual void left(std::string_view bytes, bool searched) = 0;
};

class StreamService {
 public:
  virtual ~StreamService() = default;
  // Bytes from the client, at most 64 KiB at a time. Not called while paused.
  virtual void received(std::string_view bytes) = 0;
  // What the client says with bytes that came after the service had closed its port. Not called
  // together with received().
  virtual std::string meaning(std::string_view bytes) { return std::string(bytes); }
  // Whether what the client says is searched for canaries.
  [[nodiscard]] virtual bool is_searched() const { return true; }
  // Some of what was unsent is gone: less than 64 KiB is left, and nothing where step() is small.
  virtual void drained() {}
  // The client will send no more. The service closes in the end; the gateway does after 60 s.
  virtual void ended() = 0;
  // The time of wake_at() is there.
  virtual void woken() {}
};

// What a datagram service may do. Valid during received() only, but for the callable that defer()
// returns.
class DatagramPort {
 public:
  virtual ~DatagramPort() = default;
  // Sent after `delay_ns`, at most 60 s.
  virtual void reply(std::string_view bytes, std::int64_t delay_ns = 0) = 0;
  // A way to answer later, at most once, within 30 s; after that it does nothing. The flow is
  // recorded with the answer.
  virtual std::function<void(std::string_view reply, Flow flow)> defer() = 0;
  [[nodiscard]] virtual std::int64_t now_ns() const = 0;
  virtual void record(Flow flow) = 0;
};

class DatagramService {
 public:
  virtual ~DatagramService() = default;
  virtual void received(const Connection& peer, std::string_view bytes, DatagramPort& port) = 0;
};

}  // namespace gyges::network
