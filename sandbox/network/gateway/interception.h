// A connection that is relayed and read: TLS with the client under a certificate of the persona's
// authority, TLS with the destination under its own, which is checked; between them, in the clear,
// what is recorded and searched. Inside it must be HTTP/1.x for the names of the rule where the
// rule names domains; where it names networks anything may pass, and HTTP is recorded as such.
//
// One owner, the TLS service with the client; one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sandbox/network/gateway/name_guard.h"
#include "sandbox/network/gateway/relayed_http.h"
#include "sandbox/network/http/body_record.h"
#include "sandbox/network/service.h"
#include "sandbox/network/tls/tls_client.h"

namespace gyges::network {

class Interception final : public StreamService {
 public:
  // What it asks of its connection, which outlives it.
  struct Outside {
    std::function<void()> dial;
    std::function<void(std::string_view)> to_server;  // bytes of TLS
    std::function<void()> end_server;
    std::function<void(std::string)> refuse;
    std::function<void(std::string_view)> sent, received;  // in the clear, for the record
    std::function<void(Interception*)> is;                 // itself, and null when it goes
  };

  // `port` is that of what the client says inside TLS. `guard` judges it; null: anything passes.
  Interception(StreamPort& port, const TlsTrust& trust, const std::string& host, bool strict,
               std::unique_ptr<NameGuard> guard, RelayedHttp& http, Outside outside);
  ~Interception() override;

  void received(std::string_view bytes) override;
  void ended() override;

  // From the destination.
  void from_server(std::string_view bytes) { client_->received(bytes); }
  void server_ended() { client_->server_ended(); }

 private:
  StreamPort& port_;
  bool strict_;
  std::unique_ptr<NameGuard> guard_;
  RelayedHttp& http_;
  Outside outside_;
  std::unique_ptr<TlsClient> client_;
  std::string held_;  // of the client, until the destination has shown who it is
  bool ended_ = false;
};

}  // namespace gyges::network
