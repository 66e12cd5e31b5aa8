#include "sandbox/network/gateway/gateway.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_packet.h>
#include <malloc.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "sandbox/init/protocol.h"
#include "sandbox/network/gateway/packet_tap.h"
#include "sandbox/network/gateway/socket_identity.h"

namespace gyges::network {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t refusal_memory = 20 * second;  // longer than a SYN is repeated quickly
constexpr std::int64_t peer_silence = 30 * second;
constexpr std::int64_t connect_memory = 30 * second;  // longer than it takes under any load

// At the stop: how long the next piece of an open connection may take (a lost one is sent again
// after 200 ms), a destination that takes nothing, and all of it, below the supervisor's 10 s.
constexpr std::int64_t patience_at_stop = second / 2;
constexpr std::int64_t longest_standstill = 2 * second;
constexpr std::int64_t longest_stop = 8 * second;

// Each flow alone would cost more calls and more waking up than what it reports.
constexpr std::int64_t report_delay = 2'000'000;
constexpr std::size_t most_unreported = 64U << 10U;

enum Key : std::uint64_t {
  key_report = 1,
  key_tap,
  key_tcp4,
  key_tcp6,
  key_outlet,
  first_free = 16,
  key_listener = 1ULL << 63U,  // and the place of one on a single port
};

}  // namespace

std::int64_t monotonic_now() {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * second + time.tv_nsec;
}

Gateway::Gateway(NetworkPolicy policy, GatewayFds fds, std::vector<IpAddress> servers)
    : policy_(std::move(policy)),
      fds_(std::move(fds)),
      resolver_(*this, std::move(servers)),
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
  spare_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!epoll_) return fail_errno("make epoll", "");
  int tap = fds_.tap.get();
  GYGES_CHECK(open_tap(tap));
  GYGES_CHECK(watch(fds_.report.get(), EPOLLIN, key_report, true));
  GYGES_CHECK(watch(tap, EPOLLIN, key_tap, true));
  GYGES_CHECK(watch(fds_.tcp4.get(), EPOLLIN, key_tcp4, true));
  if (policy_.interface.has_v6) GYGES_CHECK(watch(fds_.tcp6.get(), EPOLLIN, key_tcp6, true));
  for (std::size_t i = 0; i < fds_.listeners.size(); ++i) {
    GYGES_CHECK(watch(fds_.listeners[i].socket.get(), EPOLLIN, key_listener | i, true));
    ports_.insert(fds_.listeners[i].port);
  }
  if (!ports_.empty()) ports_.insert(init::gateway_port);
  return ok();
}

const TlsTrust* Gateway::trust() {
  if (!trust_)
    if (auto made = TlsTrust::create(authorities_)) trust_ = std::move(*made);
  return trust_.get();
}

Status Gateway::open(std::string_view packed_world, std::string authorities) {
  authorities_ = std::move(authorities);
  if (fds_.outlet) {
    int socket = fds_.outlet.get();
    GYGES_CHECK(watch(socket, 0, key_outlet, true));
    outlet_ = std::make_unique<OutletLink>(
        std::move(fds_.outlet),
        [this, socket](std::uint32_t events) { (void)watch(socket, events, key_outlet, false); });
  }
  GYGES_TRY(world_, open_world(packed_world, {policy_, names_, resolver_, outlet_.get()}));
  return ok();
}

void Gateway::run() {
  std::array<epoll_event, 256> events{};
  std::int64_t next_look = now_ + second;
  bool stop = false;
  std::int64_t stop_by = 0;
  std::int64_t stop_end = 0;
  std::int64_t last_event = 0;
  while (!supervisor_gone_) {
    std::int64_t until = timers_.empty() ? next_look : std::min(next_look, timers_.begin()->first);
    if (!reports_.empty()) until = std::min(until, flush_by_);
    auto wait =
        static_cast<int>(std::clamp<std::int64_t>((until - now_ + 999'999) / 1'000'000, 0, 1000));
    // The sandbox's processes are gone by then. The kernel still sends what they had written, and
    // after it the end of each connection: all is read, stands in the record, and goes on to its
    // destination, until nothing moves any more.
    const bool carrying = carrying_ > 0;
    const std::int64_t patience = open_ > 0 ? patience_at_stop : 0;
    if (stop) wait = std::min(wait, carrying || patience > 0 ? 50 : 1);
    int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), wait);
    now_ = monotonic_now();
    if (count > 0) {
      last_event = now_;
      stop_by = std::min(now_ + longest_standstill, stop_end);
    }
    if (stop && ((count <= 0 && !carrying && now_ - last_event >= patience) || now_ > stop_by))
      break;
    bool packets = false;
    for (int i = 0; i < count; ++i) {
      std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
      std::uint32_t what = events[static_cast<std::size_t>(i)].events;
      if (key == key_report) {
        // Closed in both directions: nobody takes down any more what goes on here.
        if ((what & EPOLLHUP) != 0) {
          supervisor_gone_ = true;
          break;
        }
        char byte = 0;
        if (::recv(fds_.report.get(), &byte, 1, MSG_DONTWAIT) != 0) continue;
        stop = true;
        stop_end = now_ + longest_stop;
        stop_by = now_ + longest_standstill;
        unwatch(fds_.report.get());
      } else if (key == key_tap) {
        packets = true;
      } else if (key == key_outlet) {
        if (!outlet_->events(what)) unwatch(outlet_->socket());
      } else if (key == key_tcp4) {
        accept_from(fds_.tcp4.get());
      } else if (key == key_tcp6) {
        accept_from(fds_.tcp6.get());
      } else if ((key & key_listener) != 0) {
        accept_from(fds_.listeners[key & ~key_listener].socket.get());
      } else if (auto found = connections_.find(key & ~1ULL); found != connections_.end()) {
        if ((key & 1U) == 0)
          found->second->client_event(what);
        else
          found->second->upstream_event(what);
      } else if (!resolver_.readable(key)) {
        read_upstream(key);
      }
    }
    // After the connections that came before them, which take their room first.
    if (packets && !supervisor_gone_) read_packets();
    while (!timers_.empty() && timers_.begin()->first <= now_) {
      auto action = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      action();
    }
    flush_packets();
    for (std::uint64_t id : dying_) connections_.erase(id);
    dying_.clear();
    if (now_ >= next_look) {
      expire(false);
      next_look = now_ + second;
    }
    if (!reports_.empty() && (now_ >= flush_by_ || reports_.size() > most_unreported)) flush();
  }
  for (auto& [id, connection] : connections_) connection->report();
  connections_.clear();  // what is cut short inside them is reported as well
  expire(true);
  count_lost_packets();
  reports_.append(sizeof(std::uint32_t), '\0');  // an empty report: nothing more comes
  flush();
}

void Gateway::report(const Flow& flow) {
  if (reports_.empty()) flush_by_ = now_ + report_delay;
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

Gateway::Timers::iterator Gateway::at(std::int64_t time_ns, std::function<void()> action) {
  return timers_.emplace(time_ns, std::move(action));
}

bool Gateway::exhausted() {
  constexpr std::int64_t look_every = 1'000'000;
  if (now_ - memory_looked_at_ < look_every) return exhausted_;
  memory_looked_at_ = now_;
  struct mallinfo2 now = ::mallinfo2();
  exhausted_ = now.uordblks + now.hblkhd > most_memory;
  return exhausted_;
}

// Many at a time: at the rate of a name server calls to the kernel are what costs.
void Gateway::read_packets() {
  constexpr std::size_t most = 64;
  constexpr std::size_t room = 65600;  // the longest packet; mostly one page of it is touched
  if (!packets_) packets_ = std::make_unique_for_overwrite<char[]>(most * room);
  std::array<mmsghdr, most> messages{};
  std::array<iovec, most> parts{};
  for (std::size_t i = 0; i < most; ++i) {
    parts[i] = {packets_.get() + i * room, room};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  for (int turn = 0; turn < 4; ++turn) {
    int count = ::recvmmsg(fds_.tap.get(), messages.data(), most, MSG_DONTWAIT, nullptr);
    if (count <= 0) return;
    // Not that of the turn: the call that sent the packet may have come after its begin.
    now_ = monotonic_now();
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
      on_packet({packets_.get() + i * room, messages[i].msg_len});
    flush_packets();
    if (static_cast<std::size_t>(count) < most) return;
  }
}

void Gateway::on_packet(std::string_view bytes) {
  auto packet = read_packet(bytes);
  if (!packet) return;
  if (!is_own(packet->source.address))
    return drop(*packet, "the packet names another sender than the sandbox");
  const IpAddress& to = packet->destination.address;
  if (packet->hops <= 1 && !is_neighbour(to) && scope_of(to) != AddressScope::multicast)
    return end_at_router(*packet, bytes);
  switch (packet->kind) {
    case Packet::Kind::tcp_syn:
      return on_syn(*packet, bytes);
    case Packet::Kind::udp:
      return on_datagram(*packet, bytes);
    case Packet::Kind::echo_request:
      return on_echo(*packet);
    case Packet::Kind::fragment:
      return drop(*packet, "fragments are not put together");
    case Packet::Kind::routed:
      return drop(*packet, "a packet that names its own route is not carried");
    case Packet::Kind::other:
      return drop(*packet, fmt::format("IP protocol {} is not carried", packet->protocol));
  }
}

// As on any network, where traceroute(8) learns its first router by it.
void Gateway::end_at_router(const Packet& packet, std::string_view original) {
  bool is_new = false;
  Peer& peer = attempt(packet, FlowProtocol::other, is_new);
  const bool echo = packet.kind == Packet::Kind::echo_request;
  if (is_new) {
    peer.flow.verdict = FlowVerdict::refused;
    peer.flow.reason = "its hops end at the first router";
    if (packet.kind == Packet::Kind::udp) peer.flow.protocol = FlowProtocol::udp;
    if (packet.kind == Packet::Kind::tcp_syn) peer.flow.protocol = FlowProtocol::tcp;
    if (echo) peer.flow.protocol = FlowProtocol::icmp;
  }
  keep_sent(peer, echo ? packet.transport.substr(echo_head) : packet.payload, "ip packets");
  if (!packet.answerable) return;
  const NetworkInterface& interface = policy_.interface;
  const bool v6 = packet.source.address.v6;
  send_raw(make_time_exceeded(packet, original, v6 ? interface.gateway6 : interface.gateway),
           packet.source.address);
}

// Nothing of it goes anywhere; what it held stands in the record.
void Gateway::drop(const Packet& packet, std::string reason) {
  bool is_new = false;
  Peer& peer =
      attempt(packet, packet.protocol == 17 ? FlowProtocol::udp : FlowProtocol::other, is_new);
  peer.flow.verdict = FlowVerdict::refused;
  peer.flow.reason = std::move(reason);
  keep_sent(peer, packet.payload, "ip packets");
}

// An unprivileged program may send IPv6 packets under any address (IPV6_FREEBIND).
bool Gateway::is_own(const IpAddress& address) const {
  const NetworkInterface& interface = policy_.interface;
  if (!address.v6) return address == interface.address;
  const bool link_local = address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0U) == 0x80;
  return address == interface.address6 || link_local;
}

// Reached without a router, as far as the sandbox can tell.
bool Gateway::is_neighbour(const IpAddress& address) const {
  const NetworkInterface& interface = policy_.interface;
  const IpNetwork& subnet = address.v6 ? interface.subnet6 : interface.subnet;
  return subnet.contains(address) || scope_of(address) == AddressScope::link_local;
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
  if (protocol == FlowProtocol::tcp || packet.kind == Packet::Kind::udp)
    flow.socket = socket_inode(fds_.diag.get(), packet.protocol, packet.source, packet.destination);
  return peer;
}

void Gateway::refuse(const Packet& packet, std::string_view original, const Decision& decision,
                     std::string_view reason) {
  bool syn = packet.kind == Packet::Kind::tcp_syn;
  bool is_new = false;
  Peer& peer = attempt(packet, syn ? FlowProtocol::tcp : FlowProtocol::udp, is_new);
  peer.flow.verdict = FlowVerdict::refused;
  peer.flow.reason = reason;
  // A fast open has data in its SYN.
  if (!packet.payload.empty())
    keep_sent(peer, packet.payload, syn ? "tcp stream" : "udp datagrams");
  if (decision.rule != nullptr) peer.flow.rule = decision.rule->name;
  switch (decision.style) {
    case RefuseStyle::timeout:
      return;
    case RefuseStyle::reset:
      answer(packet, syn ? make_reset(packet) : make_unreachable(packet, original, true));
      return;
    case RefuseStyle::unreachable:
      answer(packet, make_unreachable(packet, original, false));
      return;
  }
}

void Gateway::on_syn(const Packet& packet, std::string_view original) {
  auto names = names_.names_of(packet.destination.address);
  Decision decision = decide(policy_, Transport::tcp, packet.destination, names);
  bool dns = packet.destination.port == 53 && decision.rule == nullptr;
  if (decision.action == RuleAction::refuse && !dns)
    return refuse(packet, original, decision, "no rule allows it");
  // By name it is known only later what is meant.
  if (decision.action == RuleAction::relay && decision.rule->domains.empty())
    if (std::string reason = why_not_dialled(*decision.rule, packet.destination.address);
        !reason.empty())
      return refuse(packet, original, decision, reason);
  if (decision.action == RuleAction::simulate || dns) {
    std::string name = names.empty() ? std::string() : names.front();
    if (packet.destination.port != 53 && !world_->listens(packet.destination, name)) {
      decision.style = RefuseStyle::reset;
      return refuse(packet, original, decision, "nothing listens there");
    }
  }
  if (!lets_in(packet.destination.port)) {
    decision.style = RefuseStyle::reset;
    return refuse(packet, original, decision, out_of_ports);
  }
  if (connections_.size() >= policy_.max_flows || exhausted()) {
    decision.style = RefuseStyle::timeout;
    return refuse(packet, original, decision, exhausted() ? out_of_memory : out_of_connections);
  }
  if (approved_.size() >= most_peers) report_given_up(now_ + 1);
  auto [found, is_new] = approved_.try_emplace({packet.source, packet.destination});
  Flow& flow = found->second;
  if (is_new) {
    flow.time_ns = now_;
    flow.connection = next_ += 2;
    flow.protocol = FlowProtocol::tcp;
    flow.source = packet.source;
    flow.destination = packet.destination;
    if (!names.empty()) flow.name = names.front();
    flow.rule = decision.rule != nullptr ? decision.rule->name : "default";
    flow.verdict = decision.action == RuleAction::relay  ? FlowVerdict::relayed
                   : decision.action == RuleAction::sink ? FlowVerdict::sunk
                                                         : FlowVerdict::simulated;
  } else {
    ++flow.attempts;
  }
  flow.socket = socket_inode(fds_.diag.get(), packet.protocol, packet.source, packet.destination);
  send_raw(make_approved(packet), packet.destination.address);
}

bool Gateway::lets_in(std::uint16_t port) const {
  return ports_.empty() || ports_.contains(port);
}

// Attempts from before that time whose sockets were closed before they were connected.
void Gateway::report_given_up(std::int64_t before) {
  std::set<PeerKey> open;
  bool looked = false;
  for (auto at = approved_.begin(); at != approved_.end();) {
    Flow& flow = at->second;
    if (flow.time_ns >= before) {
      ++at;
      continue;
    }
    if (!looked)
      for (const auto& [id, connection] : connections_) open.insert(connection->ends());
    looked = true;
    // A SYN that was repeated and read after its connection was there is none.
    if (!open.contains(at->first)) {
      flow.reason = "the sandbox closed the socket before it was connected";
      report(flow);
    }
    at = approved_.erase(at);
  }
}

std::uint32_t Gateway::take_approved(const PeerKey& key) {
  auto found = approved_.find(key);
  if (found == approved_.end()) return 0;
  std::uint32_t socket = found->second.socket;
  approved_.erase(found);
  return socket;
}

void Gateway::refuse_accepted(int fd, const Connection& connection, const Decision& decision) {
  linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  Flow flow;
  flow.time_ns = now_;
  flow.connection = connection.id;
  flow.socket = connection.socket;
  flow.protocol = FlowProtocol::tcp;
  flow.source = connection.source;
  flow.destination = connection.destination;
  flow.name = connection.name;
  flow.verdict = FlowVerdict::refused;
  flow.rule = decision.rule != nullptr ? decision.rule->name : "default";
  flow.reason = out_of_connections;
  report(flow);
}

// Without a descriptor to spare the listener would stay readable for ever.
void Gateway::turn_away(int listener) {
  spare_.reset();
  UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)).reset();
  spare_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

void Gateway::accept_from(int listener) {
  for (int i = 0; i < 256; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof(from);
    UniqueFd fd(::accept4(listener, reinterpret_cast<sockaddr*>(&from), &size,
                          SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      if (errno == EMFILE || errno == ENFILE) turn_away(listener);
      return;
    }
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
    connection.socket = take_approved({connection.source, connection.destination});
    // Approved when there was room, which others have taken since.
    if (connections_.size() >= policy_.max_flows) {
      refuse_accepted(fd.get(), connection, decision);
      continue;
    }
    auto& made = connections_[id] = std::make_unique<TcpConnection>(
        *this, std::move(fd), std::move(connection), decision, world);
    made->open(id);
  }
}

void Gateway::expire(bool all) {
  report_given_up(all ? now_ + 1 : now_ - connect_memory);
  for (auto& peers : peers_)
    for (auto at = peers.begin(); at != peers.end();) {
      Peer& peer = at->second;
      bool refused = peer.flow.verdict == FlowVerdict::refused;
      if (!all && now_ - peer.last < (refused ? refusal_memory : peer_silence)) {
        ++at;
        continue;
      }
      peer.flow.duration_ns = peer.last - peer.flow.time_ns;
      if (peer.sent) peer.flow.sent = peer.sent->finish(true);
      if (peer.received) peer.flow.received = peer.received->finish(true);
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
