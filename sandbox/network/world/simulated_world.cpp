#include <algorithm>

#include "sandbox/network/dns/name_service.h"
#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/http/handed_out_http1.h"
#include "sandbox/network/http/handed_out_http2.h"
#include "sandbox/network/http/http1_service.h"
#include "sandbox/network/http/http2_service.h"
#include "sandbox/network/services/mail_service.h"
#include "sandbox/network/services/plain_services.h"
#include "sandbox/network/tls/tls_service.h"
#include "sandbox/network/world.h"
#include "sandbox/network/world/world_data.h"
#include "sandbox/network/world/zone.h"

namespace gyges::network {
namespace {

constexpr std::uint16_t dns_port = 53;

bool has(const std::vector<std::uint16_t>& ports, std::uint16_t port) {
  return std::find(ports.begin(), ports.end(), port) != ports.end();
}

class SimulatedWorld final : public World {
 public:
  SimulatedWorld(WorldData data, CanarySet canaries, const WorldContext& context)
      : data_(std::move(data)),
        canaries_(std::move(canaries)),
        context_(context),
        zone_(data_),
        names_(zone_, data_, context, canaries_),
        web_(zone_, data_, context.names),
        split_(canaries_) {}

  Status start() {
    if (data_.authority.certificate_pem.empty()) return ok();
    GYGES_TRY(tls_, Tls::create(data_, zone_, &canaries_));
    return ok();
  }

  [[nodiscard]] const CanarySet& canaries() const override { return canaries_; }
  SplitCanaries& split_canaries() override { return split_; }

  DatagramService& dns() override { return names_; }

  bool listens(const Endpoint& destination, const std::string& name) override {
    return kind_at(destination, name).kind != Kind::nothing;
  }

  std::unique_ptr<StreamService> open_stream(const Connection& connection,
                                             StreamPort& port) override {
    return open_stream(connection, port, false);
  }

  // `tunnelled`: inside a connection to a proxy, which opens no further one.
  std::unique_ptr<StreamService> open_stream(const Connection& connection, StreamPort& port,
                                             bool tunnelled) {
    Listener found = kind_at(connection.destination, connection.name);
    if (found.handed_out)
      return open_handed_out(found.kind == Kind::http, connection, port, tunnelled);
    switch (found.kind) {
      case Kind::nothing:
        return nullptr;
      case Kind::dns:
        return names_.open_stream(port);
      case Kind::http:
        return make_http1(shared_, connection, nullptr, port);
      case Kind::https:
        return tls_->open_stream(
            connection, port,
            [this](const Connection& inner, const TlsFacts& facts, StreamPort& inner_port) {
              return facts.alpn == "h2" ? make_http2(shared_, inner, facts, inner_port)
                                        : make_http1(shared_, inner, &facts, inner_port);
            });
      case Kind::service:
        if (found.service->kind == ServiceKind::smtp)
          return make_smtp(*found.service, host_of(connection), canaries_,
                           context_.policy.body_bytes, port);
        return make_banner(*found.service, canaries_, context_.policy.body_bytes, port);
    }
    return nullptr;
  }

  std::unique_ptr<StreamService> intercept(const Connection& connection, StreamPort& port,
                                           OpenInside open_inside) override {
    if (!tls_) return nullptr;
    return tls_->open_stream(
        connection, port,
        [open = std::move(open_inside)](const Connection&, const TlsFacts& facts,
                                        StreamPort& inner) { return open(facts, inner); },
        Tls::Protocols::http1);
  }

  std::unique_ptr<StreamService> open_handed_out(bool plain, const Connection& connection,
                                                 StreamPort& port, bool tunnelled) {
    auto tunnel = [this, connection, tunnelled](const std::string& name, std::uint16_t number,
                                                StreamPort& inner) {
      return tunnelled ? nullptr : open_tunnel(connection, name, number, inner);
    };
    if (plain)
      return make_handed_out_http1(unsearched_, connection, nullptr, port, *context_.outlet,
                                   tunnel);
    return tls_->open_stream(
        connection, port,
        [this, tunnel](const Connection& inner, const TlsFacts& facts, StreamPort& inner_port) {
          return facts.alpn == "h2" ? make_handed_out_http2(unsearched_, inner, facts, inner_port,
                                                            *context_.outlet)
                                    : make_handed_out_http1(unsearched_, inner, &facts, inner_port,
                                                            *context_.outlet, tunnel);
        });
  }

  // What policy decides of the destination holds for a tunnel to it as well.
  std::unique_ptr<StreamService> open_tunnel(Connection connection, const std::string& name,
                                             std::uint16_t number, StreamPort& port) {
    auto addresses = zone_.addresses_of(name);
    if (addresses.empty()) return nullptr;
    connection.destination = {addresses.front(), number};
    connection.name = name;
    Decision decision =
        decide(context_.policy, Transport::tcp, connection.destination, {connection.name});
    if (decision.action != RuleAction::simulate) return nullptr;
    return open_stream(connection, port, true);
  }

  DatagramService* open_datagram(const Connection& peer) override {
    const PortService* service = service_at(peer.destination, true);
    return service == nullptr ? nullptr : &ntp_;
  }

 private:
  enum class Kind { nothing, dns, http, https, service };
  struct Listener {
    Kind kind = Kind::nothing;
    const PortService* service = nullptr;
    bool handed_out = false;
  };

  std::string host_of(const Connection& connection) const {
    if (!connection.name.empty()) return connection.name;
    auto hosts = zone_.hosts_at(unmapped(connection.destination.address));
    return hosts.empty() ? "mail" : hosts.front();
  }

  // Every site that has this address, or the name under which it is known.
  template <class F>
  void sites_at(const Endpoint& destination, const std::string& name, F&& visit) const {
    if (!name.empty())
      if (const Site* site = zone_.site_of(name)) visit(*site);
    for (const std::string& host : zone_.hosts_at(unmapped(destination.address)))
      if (const Site* site = zone_.site_of(host)) visit(*site);
  }

  const PortService* service_at(const Endpoint& destination, bool datagram) const {
    const IpAddress address = unmapped(destination.address);
    for (const PortService& service : data_.services) {
      if (service.port != destination.port || (service.kind == ServiceKind::ntp) != datagram)
        continue;
      if (service.hosts.empty()) return &service;
      for (const std::string& host : service.hosts) {
        auto addresses = zone_.addresses_of(host);
        if (to_string(address) == host ||
            std::find(addresses.begin(), addresses.end(), address) != addresses.end())
          return &service;
      }
    }
    return nullptr;
  }

  Listener kind_at(const Endpoint& destination, const std::string& name) const {
    if (destination.port == dns_port) return {Kind::dns, nullptr};
    if (const PortService* service = service_at(destination, false))
      return {Kind::service, service};
    if (data_.metadata && destination.port == 80 &&
        to_string(unmapped(destination.address)) == metadata_address)
      return {Kind::http, nullptr};
    Listener found;
    sites_at(destination, name, [&](const Site& site) {
      if (found.kind != Kind::nothing || (site.handed_out && context_.outlet == nullptr)) return;
      if (has(site.http_ports, destination.port))
        found.kind = Kind::http;
      else if (tls_ && has(site.https_ports, destination.port))
        found.kind = Kind::https;
      found.handed_out = site.handed_out;
    });
    return found;
  }

  WorldData data_;
  CanarySet canaries_;
  WorldContext context_;
  Zone zone_;
  NameService names_;
  WebServer web_;
  SplitCanaries split_;
  WebShared shared_{web_, canaries_, split_, context_.policy.body_bytes};
  // What an agent tells its model is no secret that leaves: it is not searched for canaries.
  CanarySet no_canaries_ = CanarySet::compile({}).value();
  SplitCanaries no_split_{no_canaries_};
  WebShared unsearched_{web_, no_canaries_, no_split_, context_.policy.body_bytes};
  std::unique_ptr<Tls> tls_;
  NtpService ntp_{canaries_};
};

}  // namespace

Result<std::unique_ptr<World>> open_world(std::string_view packed, const WorldContext& context) {
  WorldData data;
  if (!packed.empty()) {
    GYGES_TRY(data, read_world(packed));
  }
  GYGES_TRY(CanarySet canaries, CanarySet::compile(data.canaries));
  auto world = std::make_unique<SimulatedWorld>(std::move(data), std::move(canaries), context);
  GYGES_CHECK(world->start());
  return world;
}

}  // namespace gyges::network
