// The services without a conversation: a banner before a sink, and the time.
#pragma once

#include <memory>

#include "sandbox/network/exfiltration/canary_search.h"
#include "sandbox/network/service.h"
#include "sandbox/network/world/world_data.h"

namespace gyges::network {

// Sends the banner, takes everything, answers nothing. Borrowed arguments.
std::unique_ptr<StreamService> make_banner(const PortService& service, const CanarySet& canaries,
                                           std::uint64_t body_bytes, StreamPort& port);

// NTP version 3 and 4, stratum 2, with the host's time.
class NtpService : public DatagramService {
 public:
  explicit NtpService(const CanarySet& canaries) : canaries_(canaries) {}
  void received(const Connection& peer, std::string_view bytes, DatagramPort& port) override;

 private:
  const CanarySet& canaries_;
};

}  // namespace gyges::network
