#include "sandbox/network/gateway/gateway.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "sandbox/network/topology.h"

namespace gyges::network {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t refusal_memory = 20 * second;  // longer than a SYN is repeated quickly
constexpr std::int64_t peer_silence = 30 * second;

enum Key : std::uint64_t { key_report = 1, key_tap, key_tcp4, key_tcp6, first_free = 16 };

// Passes what opens or carries something: everything but TCP segments that are no SYN, and but
// other protocols than IP.
Status filter_packets(int tap) {
  constexpr std::uint32_t all = 0x40000;
  const std::array<sock_filter, 18> filter{{
      /* 0 */ BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                       static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_PROTOCOL)),
      /* 1 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IPV6, 8, 0),
      /* 2 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 13),
      /* 3 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
      /* 4 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 12),
      /* 5 */ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
      /* 6 */ BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x3fff, 10, 0),
      /* 7 */ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
      /* 8 */ BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13),
      /* 9 */ BPF_STMT(BPF_JMP | BPF_JA, 3),
      /* 10 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
      /* 11 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 5),
      /* 12 */ BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 53),
      /* 13 */ BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
      /* 14 */ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 2, 0),
      /* 15 */ BPF_STMT(BPF_RET | BPF_K, 0),
      /* 16 */ BPF_STMT(BPF_RET | BPF_K, 0),
      /* 17 */ BPF_STMT(BPF_RET | BPF_K, all),
  }};
  sock_fprog attach{static_cast<unsigned short>(filter.size()),
                    const_cast<sock_filter*>(filter.data())};
  if (::setsockopt(tap, SOL_SOCKET, SO_ATTACH_FILTER, &attach, sizeof(attach)) != 0)
    return fail_errno("filter packets", "");
  return ok();
}

// Of the interface in the namespace of `socket`; 0: none.
int index_of(int socket, const char* interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface, sizeof(request.ifr_name) - 1);
  return ::ioctl(socket, SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : 0;
}

}  // namespace

std::int64_t monotonic_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * second + time.tv_nsec;
}

namespace {

bool holds(const std::vector<IpNetwork>& networks, const IpAddress& address) {
  IpAddress meant = unmapped(address);
  return std::any_of(networks.begin(), networks.end(),
                     [&](const IpNetwork& network) { return network.contains(meant); });
}

}  // namespace

bool names_network(const NetworkRule& rule, const IpAddress& address) {
  return holds(rule.networks, address);
}

std::string why_not_dialled(const NetworkRule& rule, const IpAddress& address) {
  if (names_network(rule, address) || holds(rule.within, address)) return {};
  if (!rule.within.empty())
    return fmt::format("{} is in no network of the rule's `within`", to_string(address));
  AddressScope scope = scope_of(address);
  if (scope == AddressScope::global) return {};
  return fmt::format("{} is a {} address and no network of the rule holds it", to_string(address),
                     to_string(scope));
}

Gateway::Gateway(NetworkPolicy policy, GatewayFds fds, std::vector<IpAddress> servers)
    : policy_(std::move(policy)),
      fds_(std::move(fds)),
      resolver_(*this, std::move(servers)),
      buffer_(0x40000),
      now_(monotonic_now()) {}

Gateway::~Gateway() = default;

Status Gateway::watch(int fd, std::uint32_t events, std::uint64_t key, bool is_new) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  if (::epoll_ctl(epoll_.get(), is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0)
    return fail_errno("watch socket", "");
  return ok();
}

Status Gateway::prepare() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return fail_errno("make epoll", "");
  int on = 1;
  int room = 8 << 20;
  int tap = fds_.tap.get();
  (void)::setsockopt(tap, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
  GYGES_CHECK(filter_packets(tap));
  if (::setsockopt(tap, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0)
    return fail_errno("watch packets", "", errno, "use Linux 4.20 or later");
  sockaddr_ll link{};
  link.sll_family = AF_PACKET;
  link.sll_protocol = htons(ETH_P_ALL);
  link.sll_ifindex = index_of(tap, gateway_link);
  if (link.sll_ifindex == 0 || ::bind(tap, reinterpret_cast<sockaddr*>(&link), sizeof(link)) != 0)
    return fail_errno("watch packets", "");
  GYGES_CHECK(watch(fds_.report.get(), EPOLLIN, key_report, true));
  GYGES_CHECK(watch(tap, EPOLLIN, key_tap, true));
  GYGES_CHECK(watch(fds_.tcp4.get(), EPOLLIN, key_tcp4, true));
  if (policy_.interface.has_v6) GYGES_CHECK(watch(fds_.tcp6.get(), EPOLLIN, key_tcp6, true));
  return ok();
}

Status Gateway::open(std::string_view packed_world) {
  GYGES_TRY(world_, open_world(packed_world, {policy_, names_, resolver_}));
  return ok();
}

void Gateway::run() {
  std::array<epoll_event, 256> events{};
  std::int64_t next_look = now_ + second;
  bool stop = false;
  std::int64_t stop_by = 0;
  while (!supervisor_gone_) {
    std::int64_t until = timers_.empty() ? next_look : std::min(next_look, timers_.begin()->first);
    auto wait =
        static_cast<int>(std::clamp<std::int64_t>((until - now_ + 999'999) / 1'000'000, 0, 1000));
    // The sandbox is gone by then; what it had sent is still read, and stands in the record. What
    // is on its way to a destination still goes there.
    bool carrying = stop && carries();
    if (stop) wait = std::min(wait, carrying ? 50 : 1);
    int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), wait);
    now_ = monotonic_now();
    if (stop && ((count <= 0 && !carrying) || now_ > stop_by)) break;
    for (int i = 0; i < count; ++i) {
      std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
      std::uint32_t what = events[static_cast<std::size_t>(i)].events;
      if (key == key_report) {
        char byte = 0;
        if (::recv(fds_.report.get(), &byte, 1, MSG_DONTWAIT) != 0) continue;
        stop = true;
        stop_by = now_ + 2 * second;
        unwatch(fds_.report.get());
      } else if (key == key_tap) {
        read_packets();
      } else if (key == key_tcp4) {
        accept_from(fds_.tcp4.get());
      } else if (key == key_tcp6) {
        accept_from(fds_.tcp6.get());
      } else if (auto found = connections_.find(key & ~1ULL); found != connections_.end()) {
        if ((key & 1U) == 0)
          found->second->client_event(what);
        else
          found->second->upstream_event(what);
      } else if (!resolver_.readable(key)) {
        read_upstream(key);
      }
    }
    while (!timers_.empty() && timers_.begin()->first <= now_) {
      auto action = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      action();
    }
    for (std::uint64_t id : dying_) connections_.erase(id);
    dying_.clear();
    if (now_ >= next_look) {
      expire(false);
      next_look = now_ + second;
    }
    flush();
  }
  for (auto& [id, connection] : connections_) connection->report();
  expire(true);
  count_lost_packets();
  reports_.append(sizeof(std::uint32_t), '\0');  // an empty report: nothing more comes
  flush();
}

bool Gateway::carries() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& entry) { return entry.second->carries(); });
}

void Gateway::report(const Flow& flow) {
  std::string bytes = encode_flow(flow);
  auto size = static_cast<std::uint32_t>(bytes.size());
  reports_.append(reinterpret_cast<const char*>(&size), sizeof(size));
  reports_ += bytes;
  if (reports_.size() > 1U << 20U) flush();
}

void Gateway::flush() {
  std::string_view rest = reports_;
  while (!rest.empty() && !supervisor_gone_) {
    ssize_t n = ::send(fds_.report.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0)
      supervisor_gone_ = true;
    else
      rest.remove_prefix(static_cast<std::size_t>(n));
  }
  reports_.clear();
}

void Gateway::at(std::int64_t time_ns, std::function<void()> action) {
  timers_.emplace(time_ns, std::move(action));
}

void Gateway::read_packets() {
  for (int i = 0; i < 256; ++i) {
    ssize_t n = ::recv(fds_.tap.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (n <= 0) return;
    // Not that of the turn: the call that sent the packet may have come after its begin.
    now_ = monotonic_now();
    on_packet({buffer_.data(), static_cast<std::size_t>(n)});
  }
}

void Gateway::on_packet(std::string_view bytes) {
  auto packet = read_packet(bytes);
  if (!packet) return;
  switch (packet->kind) {
    case Packet::Kind::tcp_syn:
      return on_syn(*packet, bytes);
    case Packet::Kind::udp:
      return on_datagram(*packet, bytes);
    case Packet::Kind::echo_request:
      return on_echo(*packet);
    case Packet::Kind::fragment:
    case Packet::Kind::other:
      break;
  }
  bool is_new = false;
  Peer& peer =
      attempt(*packet, packet->protocol == 17 ? FlowProtocol::udp : FlowProtocol::other, is_new);
  peer.flow.reason = packet->kind == Packet::Kind::fragment
                         ? "fragments are not put together"
                         : fmt::format("IP protocol {} is not carried", packet->protocol);
}

Gateway::Peer& Gateway::attempt(const Packet& packet, FlowProtocol protocol, bool& is_new) {
  auto& peers = peers_[protocol == FlowProtocol::tcp ? 0 : protocol == FlowProtocol::udp ? 1 : 2];
  if (peers.size() >= most_peers) expire(true);
  auto [found, added] = peers.try_emplace({packet.source, packet.destination});
  is_new = added;
  Peer& peer = found->second;
  peer.last = now_;
  Flow& flow = peer.flow;
  if (!added) {
    ++flow.attempts;
    return peer;
  }
  flow.time_ns = now_;
  flow.connection = next_ += 2;
  flow.protocol = protocol;
  flow.source = packet.source;
  flow.destination = packet.destination;
  auto names = names_.names_of(packet.destination.address);
  if (!names.empty()) flow.name = names.front();
  flow.rule = "default";
  return peer;
}

void Gateway::refuse(const Packet& packet, std::string_view original, const Decision& decision,
                     std::string_view reason) {
  bool syn = packet.kind == Packet::Kind::tcp_syn;
  bool is_new = false;
  Peer& peer = attempt(packet, syn ? FlowProtocol::tcp : FlowProtocol::udp, is_new);
  peer.flow.verdict = FlowVerdict::refused;
  peer.flow.reason = reason;
  if (decision.rule != nullptr) peer.flow.rule = decision.rule->name;
  switch (decision.style) {
    case RefuseStyle::timeout:
      return;
    case RefuseStyle::reset:
      send_raw(syn ? make_reset(packet) : make_unreachable(packet, original, true),
               packet.source.address);
      return;
    case RefuseStyle::unreachable:
      send_raw(make_unreachable(packet, original, false), packet.source.address);
      return;
  }
}

void Gateway::on_syn(const Packet& packet, std::string_view original) {
  auto names = names_.names_of(packet.destination.address);
  Decision decision = decide(policy_, Transport::tcp, packet.destination, names);
  bool dns = packet.destination.port == 53 && decision.rule == nullptr;
  if (decision.action == RuleAction::refuse && !dns)
    return refuse(packet, original, decision, "no rule allows it");
  if (decision.action == RuleAction::simulate || dns) {
    std::string name = names.empty() ? std::string() : names.front();
    if (packet.destination.port != 53 && !world_->listens(packet.destination, name)) {
      decision.style = RefuseStyle::reset;
      return refuse(packet, original, decision, "nothing listens there");
    }
  }
  if (connections_.size() >= policy_.max_flows) {
    decision.style = RefuseStyle::timeout;
    return refuse(packet, original, decision, "as many connections are open as the policy allows");
  }
  send_raw(make_approved(packet), packet.destination.address);
}

void Gateway::accept_from(int listener) {
  for (int i = 0; i < 256; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    UniqueFd fd(::accept4(listener, reinterpret_cast<sockaddr*>(&from), &size,
                          SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    sockaddr_storage to{};
    size = sizeof(to);
    if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&to), &size) != 0) continue;
    Connection connection;
    connection.id = next_ += 2;
    connection.source = endpoint_from(from);
    connection.destination = endpoint_from(to);
    auto names = names_.names_of(connection.destination.address);
    if (!names.empty()) connection.name = names.front();
    Decision decision = decide(policy_, Transport::tcp, connection.destination, names);
    bool world = decision.action == RuleAction::simulate ||
                 (connection.destination.port == 53 && decision.rule == nullptr);
    std::uint64_t id = connection.id;
    auto& made = connections_[id] = std::make_unique<TcpConnection>(
        *this, std::move(fd), std::move(connection), decision, world);
    made->open(id);
  }
}

namespace {

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
    return [gateway = &gateway_, flow = flow_, used](std::string_view bytes, Flow exchange) {
      if (*used || gateway->now() > flow.time_ns + peer_silence) return;
      *used = true;
      gateway->send_datagram(flow.destination, flow.source, bytes);
      PeerPort(*gateway, flow).record(std::move(exchange));
    };
  }
  [[nodiscard]] std::int64_t now_ns() const override { return gateway_.now(); }
  void record(Flow flow) override {
    if (flow.time_ns == 0) flow.time_ns = gateway_.now();
    flow.connection = flow_.connection;
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
  auto names = names_.names_of(packet.destination.address);
  Decision decision = decide(policy_, Transport::udp, packet.destination, names);
  bool dns = packet.destination.port == 53 &&
             (decision.rule == nullptr || decision.action == RuleAction::simulate);
  if (decision.action == RuleAction::refuse && !dns)
    return refuse(packet, original, decision, "no rule allows it");
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
  flow.sent_bytes += packet.payload.size();
  if (service == nullptr && !dns) {
    if (is_new && !world_->canaries().empty())
      peer.search.emplace(world_->canaries(), "udp datagrams");
    if (peer.search) peer.search->feed(packet.payload, flow.canaries);
    flow.sent.size += packet.payload.size();
    flow.sent.head += packet.payload.substr(
        0, policy_.body_bytes - std::min<std::size_t>(policy_.body_bytes, flow.sent.head.size()));
  }
  connection.id = flow.connection;
  if (service != nullptr) {
    PeerPort port(*this, flow);
    service->received(connection, packet.payload, port);
  } else if (decision.action == RuleAction::relay) {
    relay_datagram(peer, packet);
  }
}

void Gateway::relay_datagram(Peer& peer, const Packet& packet) {
  if (!peer.upstream) {
    IpAddress target = unmapped(packet.destination.address);
    peer.flow.reason = names_network(*peer.decision.rule, target)
                           ? std::string()
                           : "a rule that names a domain relays TCP alone";
    if (!peer.flow.reason.empty()) {
      peer.flow.verdict = FlowVerdict::refused;
      return;
    }
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
    ssize_t n = ::recv(peer->second.upstream.get(), buffer_.data(), buffer_.size(), 0);
    if (n < 0) return;
    Flow& flow = peer->second.flow;
    peer->second.last = now_;
    flow.received_bytes += static_cast<std::uint64_t>(n);
    send_datagram(flow.destination, flow.source, {buffer_.data(), static_cast<std::size_t>(n)});
  }
}

void Gateway::on_echo(const Packet& packet) {
  bool is_new = false;
  Peer& peer = attempt(packet, FlowProtocol::icmp, is_new);
  peer.flow.sent_bytes += packet.transport.size();
  if (!policy_.answer_echo) {
    peer.flow.reason = "the policy answers no ping";
    return;
  }
  peer.flow.verdict = FlowVerdict::simulated;
  peer.flow.received_bytes += packet.transport.size();
  send_raw(make_echo_reply(packet), packet.source.address);
}

void Gateway::send_datagram(const Endpoint& from, const Endpoint& to, std::string_view payload) {
  if (auto found = peers_[1].find({to, from});
      found != peers_[1].end() && found->second.flow.verdict != FlowVerdict::relayed)
    found->second.flow.received_bytes += payload.size();
  send_raw(make_datagram(from, to, payload), to.address);
}

void Gateway::send_raw(const std::string& packet, const IpAddress& to) {
  sockaddr_storage address{};
  unsigned length = to_sockaddr({to, 0}, address);
  (void)::sendto((to.v6 ? fds_.raw6 : fds_.raw4).get(), packet.data(), packet.size(), MSG_DONTWAIT,
                 reinterpret_cast<sockaddr*>(&address), length);
}

void Gateway::expire(bool all) {
  for (auto& peers : peers_)
    for (auto at = peers.begin(); at != peers.end();) {
      Peer& peer = at->second;
      bool refused = peer.flow.verdict == FlowVerdict::refused;
      if (!all && now_ - peer.last < (refused ? refusal_memory : peer_silence)) {
        ++at;
        continue;
      }
      peer.flow.duration_ns = peer.last - peer.flow.time_ns;
      report(peer.flow);
      upstreams_.erase(peer.flow.connection);
      at = peers.erase(at);
    }
}

// Packets that the kernel could not queue for us were dropped with everything else: nothing passed,
// but they stand in no flow of their own.
void Gateway::count_lost_packets() {
  tpacket_stats statistics{};
  socklen_t size = sizeof(statistics);
  if (::getsockopt(fds_.tap.get(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size) == 0)
    lost_packets_ += statistics.tp_drops;
  if (lost_packets_ == 0) return;
  Flow flow;
  flow.time_ns = now_;
  flow.protocol = FlowProtocol::other;
  flow.rule = "default";
  flow.attempts = static_cast<std::uint32_t>(std::min<std::uint64_t>(lost_packets_, ~0U));
  flow.reason = "packets came faster than they could be listed; all were dropped";
  report(flow);
}

}  // namespace gyges::network
