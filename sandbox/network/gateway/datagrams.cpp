// The gateway's share of what is no TCP: datagrams, echo, and what is sent back without a socket.
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sandbox/network/gateway/gateway.h"

namespace gyges::network {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t peer_silence = 30 * second;

class PeerPort final : public DatagramPort {
 public:
  PeerPort(Gateway& gateway, const Flow& flow) : gateway_(gateway), flow_(flow) {}

  void reply(std::string_view bytes, std::int64_t delay_ns) override {
    if (delay_ns <= 0) return gateway_.send_datagram(flow_.destination, flow_.source, bytes);
    gateway_.at(gateway_.now() + std::min(delay_ns, 60 * second),
                [gateway = &gateway_, from = flow_.destination, to = flow_.source,
                 text = std::string(bytes)] { gateway->send_datagram(from, to, text); });
  }
  std::function<void(std::string_view, Flow)> defer() override {
    auto used = std::make_shared<bool>(false);
    return [gateway = &gateway_, flow = flow_, asked = now_ns(), used](std::string_view bytes,
                                                                       Flow exchange) {
      if (*used || gateway->now() > asked + peer_silence) return;
      *used = true;
      exchange.time_ns = asked;
      exchange.duration_ns = gateway->now() - asked;
      gateway->send_datagram(flow.destination, flow.source, bytes);
      PeerPort(*gateway, flow).record(std::move(exchange));
    };
  }
  [[nodiscard]] std::int64_t now_ns() const override { return gateway_.now(); }
  void record(Flow flow) override {
    if (flow.time_ns == 0) flow.time_ns = gateway_.now();
    flow.connection = flow_.connection;
    flow.socket = flow_.socket;
    flow.source = flow_.source;
    flow.destination = flow_.destination;
    if (flow.name.empty()) flow.name = flow_.name;
    if (flow.rule.empty()) flow.rule = flow_.rule;
    if (flow.verdict == FlowVerdict::refused && flow.reason.empty())
      flow.verdict = FlowVerdict::simulated;
    gateway_.report(flow);
  }

 private:
  Gateway& gateway_;
  const Flow flow_;
};

}  // namespace

void Gateway::on_datagram(const Packet& packet, std::string_view original) {
  if (exhausted()) {
    Decision silence;
    silence.style = RefuseStyle::timeout;
    return refuse(packet, original, silence, out_of_memory);
  }
  auto names = names_.names_of(packet.destination.address);
  Decision decision = decide(policy_, Transport::udp, packet.destination, names);
  bool dns = packet.destination.port == 53 &&
             (decision.rule == nullptr || decision.action == RuleAction::simulate);
  if (decision.action == RuleAction::refuse && !dns)
    return refuse(packet, original, decision, "no rule allows it");
  if (decision.action == RuleAction::relay) {
    std::string reason = why_not_dialled(*decision.rule, packet.destination.address);
    if (!names_network(*decision.rule, packet.destination.address) && reason.empty())
      reason = "a rule that names a domain relays TCP alone";
    if (!reason.empty()) return refuse(packet, original, decision, reason);
  }
  DatagramService* service = dns ? &world_->dns() : nullptr;
  Connection connection;
  connection.source = packet.source;
  connection.destination = packet.destination;
  if (!names.empty()) connection.name = names.front();
  if (!dns && decision.action == RuleAction::simulate) {
    service = world_->open_datagram(connection);
    if (service == nullptr) {
      decision.style = RefuseStyle::reset;
      return refuse(packet, original, decision, "nothing listens there");
    }
  }
  bool is_new = false;
  Peer& peer = attempt(packet, FlowProtocol::udp, is_new);
  Flow& flow = peer.flow;
  if (is_new) {
    if (decision.rule != nullptr) flow.rule = decision.rule->name;
    flow.verdict = service != nullptr                     ? FlowVerdict::simulated
                   : decision.action == RuleAction::relay ? FlowVerdict::relayed
                                                          : FlowVerdict::sunk;
    peer.decision = decision;
  }
  if (service == nullptr && !dns)
    keep_sent(peer, packet.payload, "udp datagrams");
  else
    flow.sent_bytes += packet.payload.size();
  connection.id = flow.connection;
  if (service != nullptr) {
    PeerPort port(*this, flow);
    service->received(connection, packet.payload, port);
  } else if (decision.action == RuleAction::relay) {
    relay_datagram(peer, packet);
  }
}

void Gateway::keep_sent(Peer& peer, std::string_view bytes, const char* place) {
  peer.flow.sent_bytes += bytes.size();
  if (!peer.sent) peer.sent.emplace(policy_.body_bytes, &world_->canaries(), place);
  peer.sent->feed(bytes, peer.flow.canaries);
}

void Gateway::relay_datagram(Peer& peer, const Packet& packet) {
  if (!peer.upstream) {
    IpAddress target = unmapped(packet.destination.address);
    sockaddr_storage address{};
    unsigned length = to_sockaddr({target, packet.destination.port}, address);
    peer.upstream.reset(::socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!peer.upstream ||
        ::connect(peer.upstream.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        !watch(peer.upstream.get(), EPOLLIN, peer.flow.connection | 1U, true)) {
      peer.flow.reason = std::strerror(errno);
      return;
    }
    peer.flow.dialled = {target, packet.destination.port};
    upstreams_[peer.flow.connection] = {packet.source, packet.destination};
  }
  if (::send(peer.upstream.get(), packet.payload.data(), packet.payload.size(), MSG_NOSIGNAL) < 0)
    peer.flow.reason = std::strerror(errno);
}

void Gateway::read_upstream(std::uint64_t key) {
  auto found = upstreams_.find(key & ~1ULL);
  if (found == upstreams_.end()) return;
  auto peer = peers_[1].find(found->second);
  if (peer == peers_[1].end()) return;
  for (int i = 0; i < 64; ++i) {
    ssize_t n = ::recv(peer->second.upstream.get(), buffer_.get(), buffer_bytes, 0);
    if (n < 0) return;
    Flow& flow = peer->second.flow;
    peer->second.last = now_;
    flow.received_bytes += static_cast<std::uint64_t>(n);
    if (!peer->second.received) peer->second.received.emplace(policy_.body_bytes, nullptr, "");
    std::vector<CanaryHit> none;
    peer->second.received->feed({buffer_.get(), static_cast<std::size_t>(n)}, none);
    send_datagram(flow.destination, flow.source, {buffer_.get(), static_cast<std::size_t>(n)});
  }
}

void Gateway::on_echo(const Packet& packet) {
  bool is_new = false;
  Peer& peer = attempt(packet, FlowProtocol::icmp, is_new);
  keep_sent(peer, packet.transport.substr(echo_head), "ping");
  if (!policy_.answer_echo) {
    peer.flow.reason = "the policy answers no ping";
    return;
  }
  peer.flow.verdict = FlowVerdict::simulated;
  peer.flow.reason.clear();
  peer.flow.received_bytes += packet.transport.size() - echo_head;
  answer(packet, make_echo_reply(packet));
}

// In the name of the packet's destination, by way of the router if that is none of the neighbours.
void Gateway::answer(const Packet& packet, std::string reply) {
  if (!is_neighbour(packet.destination.address)) take_hop(reply);
  send_raw(std::move(reply), packet.source.address);
}

void Gateway::send_datagram(const Endpoint& from, const Endpoint& to, std::string_view payload) {
  if (auto found = peers_[1].find({to, from});
      found != peers_[1].end() && found->second.flow.verdict != FlowVerdict::relayed)
    found->second.flow.received_bytes += payload.size();
  std::string packet = make_datagram(from, to, payload);
  if (!is_neighbour(from.address)) take_hop(packet);
  send_raw(std::move(packet), to.address);
}

void Gateway::send_raw(std::string packet, const IpAddress& to) {
  auto& queue = outgoing_[to.v6 ? 1 : 0];
  queue.emplace_back(std::move(packet), to);
  if (queue.size() >= 64) flush_packets();
}

// What the kernel does not take is lost, as on any network.
void Gateway::flush_packets() {
  for (auto& queue : outgoing_) {
    if (queue.empty()) continue;
    std::vector<mmsghdr> messages(queue.size());
    std::vector<iovec> parts(queue.size());
    std::vector<sockaddr_storage> addresses(queue.size());
    for (std::size_t i = 0; i < queue.size(); ++i) {
      auto& [packet, to] = queue[i];
      parts[i] = {packet.data(), packet.size()};
      msghdr& head = messages[i].msg_hdr;
      head.msg_namelen = to_sockaddr({to, 0}, addresses[i]);
      head.msg_name = &addresses[i];
      head.msg_iov = &parts[i];
      head.msg_iovlen = 1;
    }
    int socket = (&queue == &outgoing_[1] ? fds_.raw6 : fds_.raw4).get();
    for (std::size_t done = 0; done < messages.size();) {
      int n = ::sendmmsg(socket, messages.data() + done,
                         static_cast<unsigned>(messages.size() - done), MSG_DONTWAIT);
      done += n > 0 ? static_cast<std::size_t>(n) : 1;  // one that cannot be sent is passed over
    }
    queue.clear();
  }
}

}  // namespace gyges::network
