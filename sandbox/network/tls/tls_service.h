// TLS of simulated hosts, by OpenSSL over memory: certificates by server name, ALPN, and the
// service for what is inside. One Tls object for a world; one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/http/http1_service.h"
#include "sandbox/network/service.h"
#include "sandbox/network/world/zone.h"

namespace gyges::network {

// The service inside a TLS connection, once the handshake is done.
using OpenInner =
    std::function<std::unique_ptr<StreamService>(const Connection&, const TlsFacts&, StreamPort&)>;

class Tls {
 public:
  static constexpr std::size_t most_certificates = 4096;  // cached; the cache starts anew past that

  // Borrowed; all outlive the object. `canaries` are searched for in what handshakes say; null:
  // nothing is.
  static Result<std::unique_ptr<Tls>> create(const WorldData& world, const Zone& zone,
                                             const CanarySet* canaries = nullptr);
  ~Tls();

  enum class Protocols { all, http1 };  // agreed on by ALPN
  std::unique_ptr<StreamService> open_stream(const Connection& connection, StreamPort& port,
                                             OpenInner open_inner,
                                             Protocols protocols = Protocols::all);

  struct State;

 private:
  explicit Tls(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace gyges::network
