// What a connection does when its rule reads TLS.
#include <sys/socket.h>

#include "sandbox/network/gateway/gateway.h"
#include "sandbox/network/gateway/tcp_connection.h"
#include "sandbox/network/tls/client_hello.h"

namespace gyges::network {

// TLS or not: a rule that names networks lets both through.
void TcpConnection::sniff(std::string_view bytes) {
  hello_ += bytes;
  ClientHello hello;
  HelloState state = read_client_hello(hello_, hello);
  if (state == HelloState::need_more && hello_.size() <= 2 * most_hello_bytes) return;
  sniffing_ = false;
  std::string first = std::move(hello_);
  hello_.clear();
  if (state == HelloState::whole) return intercept(first);
  if (looks_like_tls(first)) {
    sent_body_->feed(first, flow_.canaries);
    return refuse("a ClientHello that cannot be read is not let past an interception");
  }
  sent_body_->feed(first, flow_.canaries);
  pass_on(first);
}

void TcpConnection::intercept(std::string_view first) {
  if (gateway_.trust() == nullptr)
    return refuse("the authorities that this host trusts cannot be read");
  sent_body_.emplace(gateway_.policy().body_bytes, &gateway_.world().canaries(), "tls stream");
  guard_.reset();
  service_ = gateway_.world().intercept(
      connection_, *this,
      [this](const TlsFacts& facts, StreamPort& port) { return read_inside(facts, port); });
  if (!service_) return refuse("the persona has no authority for certificates");
  service_->received(first);
}

std::unique_ptr<StreamService> TcpConnection::read_inside(const TlsFacts& facts, StreamPort& port) {
  // After a HelloRetryRequest a client says it all once more.
  if (!flow_.sni.empty() && flow_.sni != facts.sni) {
    refuse("the second ClientHello names another server than the first");
    return nullptr;
  }
  flow_.sni = facts.sni;
  flow_.alpn = facts.alpn;
  flow_.tls = facts.version;
  const NetworkRule& rule = *decision_.rule;
  bool any = names_network(rule, connection_.destination.address);
  auto inside = std::make_unique<NameGuard>(
      rule, connection_.destination.port,
      [this] { return gateway_.names_of(connection_.destination.address); },
      watch_http(&facts, !any), any);
  std::string host = facts.sni;
  if (host.empty()) host = connection_.name;
  if (host.empty()) host = to_string(unmapped(connection_.destination.address));
  Interception::Outside outside;
  outside.dial = [this] {
    if (!upstream_ && !upstream_ended_) dial();
  };
  outside.to_server = [this](std::string_view bytes) {
    if (!over_) pass_on(bytes);
    if (!over_) update();
  };
  outside.end_server = [this] {
    if (upstream_ && to_upstream_.empty() && !connecting_) ::shutdown(upstream_.get(), SHUT_WR);
  };
  outside.refuse = [this](std::string reason) {
    if (!over_) refuse(std::move(reason));
  };
  outside.sent = [this](std::string_view bytes) {
    if (over_) return left(bytes, true);  // decrypted with what was refused
    sent_body_->feed(bytes, flow_.canaries);
  };
  outside.received = [this](std::string_view bytes) {
    std::vector<CanaryHit> none;
    received_body_.feed(bytes, none);
  };
  outside.is = [this](Interception* self) { interception_ = self; };
  return std::make_unique<Interception>(port, *gateway_.trust(), host, !any, std::move(inside),
                                        *http_, std::move(outside));
}

}  // namespace gyges::network
