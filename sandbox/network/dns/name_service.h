// The resolver of the sandbox: answers for the simulated internet, asks the host for names that a
// policy relays, and says of all others that they do not exist. Over UDP and TCP, for whatever
// resolver address the sandbox chose. Every question becomes a flow.
//
// One thread, as all services.
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>

#include "sandbox/network/dns/message.h"
#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/service.h"
#include "sandbox/network/world.h"
#include "sandbox/network/world/zone.h"

namespace gyges::network {

class NameService : public DatagramService {
 public:
  // All borrowed; they outlive the service.
  NameService(const Zone& zone, const WorldData& world, const WorldContext& context,
              const CanarySet& canaries);

  void received(const Connection& peer, std::string_view bytes, DatagramPort& port) override;

  // DNS over one TCP connection.
  std::unique_ptr<StreamService> open_stream(StreamPort& port);

  // What becomes of the answer to one question. `now` is called before resolve() returns, or else
  // `defer` is, and what it gave is called later; `unanswered` for what must not be answered.
  using Done = std::function<void(std::string_view response, Flow flow)>;
  struct Reply {
    Done now;
    std::function<Done()> defer;
    std::function<void(Flow)> unanswered;
  };
  // A limit of 0 is that of UDP.
  void resolve(std::string_view packet, std::size_t limit, const Reply& reply);

  // The record of bytes that ask nothing.
  [[nodiscard]] Flow no_question(std::string_view bytes, std::string reason) const;

 private:
  // A message as the policy keeps it: whole, or where it is longer not at all.
  void keep(std::string& kept, std::string_view message) const;
  void finish(const dns::Query& query, const dns::Answer& answer, std::size_t limit, Flow flow,
              const Done& done);
  [[nodiscard]] dns::Answer simulated(const dns::Question& question) const;
  void ask_host(const dns::Query& query, std::string name, std::size_t limit, Flow flow, Done done);

  const Zone& zone_;
  const WorldData& world_;
  WorldContext context_;
  const CanarySet& canaries_;
  DnsNameCanaries canary_names_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
};

}  // namespace gyges::network
