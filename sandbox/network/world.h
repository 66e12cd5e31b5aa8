// The simulated internet as the gateway sees it: who resolves names and who answers at an address.
// One World per gateway process; it owns everything it hands out except the stream services, which
// belong to their connections.
//
// The supervisor packs a world (it reads the files that sites name), the gateway, which has no file
// system, opens it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/name_table.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/service.h"

namespace gyges::network {

class Outlet;
struct TlsFacts;

// Real names, for rules with action relay: asks the host's resolvers, without blocking.
class Resolver {
 public:
  struct Answer {
    std::vector<IpAddress> addresses;  // empty: none of this family
    std::uint32_t ttl_seconds = 0;
    std::string code;  // "NOERROR", "NXDOMAIN", "SERVFAIL", "TIMEOUT"
  };
  virtual ~Resolver() = default;
  // `name` is canonical. `done` is called once, later, by the same thread.
  virtual void resolve(std::string_view name, bool v6, std::function<void(const Answer&)> done) = 0;
};

// What a world is given. Borrowed; all outlive it.
struct WorldContext {
  const NetworkPolicy& policy;
  NameTable& names;
  Resolver& resolver;
  Outlet* outlet = nullptr;  // null: nothing listens where the supervisor should answer
};

class World {
 public:
  virtual ~World() = default;

  // Tokens to look for in what leaves. Lives as long as the world.
  virtual const CanarySet& canaries() const = 0;
  // The same for what leaves in pieces, over all HTTP of the world.
  virtual SplitCanaries& split_canaries() = 0;

  // DNS over UDP, for any address at port 53. Notes its answers in the name table.
  virtual DatagramService& dns() = 0;

  // The service for a connection that policy lets through as `simulate`, and for every TCP
  // connection to port 53. Null: nothing listens there, and the connection is refused.
  virtual std::unique_ptr<StreamService> open_stream(const Connection& connection,
                                                     StreamPort& port) = 0;

  // TLS with a client whose connection is relayed and read, under a certificate for the name that
  // it says; `open_inside` gives the service for what is in it. Null: the world has no authority.
  using OpenInside =
      std::function<std::unique_ptr<StreamService>(const TlsFacts& facts, StreamPort& port)>;
  virtual std::unique_ptr<StreamService> intercept(const Connection& connection, StreamPort& port,
                                                   OpenInside open_inside) = 0;

  // Whether open_stream() would find something; asked before the handshake, so that a refusal looks
  // like one.
  virtual bool listens(const Endpoint& destination, const std::string& name) = 0;

  // The service for datagrams that policy lets through as `simulate`; null: nothing listens.
  virtual DatagramService* open_datagram(const Connection& peer) = 0;
};

// `packed` comes from pack_world(); empty: a world in which names do not exist and nothing answers.
Result<std::unique_ptr<World>> open_world(std::string_view packed, const WorldContext& context);

}  // namespace gyges::network
