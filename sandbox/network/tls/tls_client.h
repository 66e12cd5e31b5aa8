// TLS towards a real server, by OpenSSL over memory, for connections that are intercepted: the
// server's certificate is checked against the authorities that the host trusts, and against the
// name. Only HTTP/1.1 is offered, which the record can read.
//
// One thread; one owner. What an event does may end the connection, not destroy the object.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::network {

// The authorities of the host, as one text in PEM.
class TlsTrust {
 public:
  // Fails where the text holds no certificate that can be read.
  static Result<std::unique_ptr<TlsTrust>> create(std::string_view bundle);
  ~TlsTrust();

  struct State;
  [[nodiscard]] State& state() const { return *state_; }

 private:
  explicit TlsTrust(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class TlsClient {
 public:
  struct Events {
    std::function<void(std::string_view)> to_server;  // bytes of TLS
    std::function<void(std::string_view)> plain;      // what the server says
    std::function<void()> opened;                     // the handshake is done, send() may begin
    std::function<void()> ended;                      // the server will say no more
    std::function<void(std::string)> failed;          // why; nothing comes after it
  };

  // `host`: canonical name or address, which the certificate must be for. `trust` outlives it.
  TlsClient(const TlsTrust& trust, const std::string& host, Events events);
  ~TlsClient();

  void start();
  // Bytes of TLS from the server, and their end.
  void received(std::string_view bytes);
  void server_ended();
  // After opened().
  void send(std::string_view plain);
  // Nothing more will be sent.
  void end();
  [[nodiscard]] bool is_open() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gyges::network
