// The egress gateway: decides every attempt of the sandbox, answers, sinks, relays or refuses it,
// and reports each one as a flow. One thread, one epoll loop, no file system, no privileges.
//
// Bounds: connections by the policy's max_flows, datagram peers and remembered refusals by
// `most_peers`, queued bytes of a connection by `most_unsent` and of all by `most_queued`, kept
// bodies by BodyRecord::most_in_memory. Reports are written with a blocking send: while the
// supervisor does not keep up the gateway reads nothing from the sandbox, and no flow is lost.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/network/gateway/host_resolver.h"
#include "sandbox/network/gateway/outlet_link.h"
#include "sandbox/network/gateway/packet.h"
#include "sandbox/network/gateway/tcp_connection.h"
#include "sandbox/network/http/body_record.h"
#include "sandbox/network/name_table.h"
#include "sandbox/network/network_policy.h"
#include "sandbox/network/port_listeners.h"
#include "sandbox/network/tls/tls_client.h"
#include "sandbox/network/world.h"

namespace gyges::network {

struct GatewayFds {
  UniqueFd report;  // stream socket to the supervisor: flows go out, an end of file means stop
  UniqueFd tcp4, tcp6, tap, raw4, raw6, diag;
  UniqueFd outlet;  // stream socket for exchanges that the supervisor answers; may be none
  // Without packet rules: beside tcp4 and tcp6, which are at init::gateway_port, the only ones.
  std::vector<PortListener> listeners;
};

class Gateway {
 public:
  static constexpr std::size_t most_peers = 4096;
  static constexpr std::size_t most_queued = 8U << 20U;
  static constexpr std::size_t most_memory = 256U << 20U;

  // `servers`: the host's name servers, asked for names that a rule relays.
  Gateway(NetworkPolicy policy, GatewayFds fds, std::vector<IpAddress> servers);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Watches the sockets; before the process gives up what this needs.
  Status prepare();
  // `authorities`: what the host trusts, in PEM, where a rule intercepts.
  Status open(std::string_view packed_world, std::string authorities);

  // Until the supervisor says stop or is gone. Open connections are reported then.
  void run();

  // For connections and datagram services.
  [[nodiscard]] const NetworkPolicy& policy() const { return policy_; }
  [[nodiscard]] std::int64_t now() const { return now_; }
  void report(const Flow& flow);
  using Timers = std::multimap<std::int64_t, std::function<void()>>;
  Timers::iterator at(std::int64_t time_ns, std::function<void()> action);
  // Of an action that has not begun.
  void cancel(Timers::iterator timer) { timers_.erase(timer); }
  Status watch(int fd, std::uint32_t events, std::uint64_t key, bool is_new);
  void unwatch(int fd) { ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }
  void forget(std::uint64_t connection) { dying_.insert(connection); }
  void send_datagram(const Endpoint& from, const Endpoint& to, std::string_view payload);
  // Bytes that wait in queues of connections. While there are many, a connection takes more only
  // once its own are gone, and little at a time: memory does not grow with the number of those who
  // read slowly.
  void count_queued(std::size_t before, std::size_t now) { queued_ += now - before; }
  // What the stop waits for: connections that carry bytes of the sandbox, and such that are open.
  void count_busy(TcpConnection::Busy before, TcpConnection::Busy now) {
    carrying_ += static_cast<std::size_t>(now.carries) - static_cast<std::size_t>(before.carries);
    open_ += static_cast<std::size_t>(now.is_open) - static_cast<std::size_t>(before.is_open);
  }
  [[nodiscard]] bool scarce() const { return queued_ > most_queued; }
  // More than most_memory is in use: what asks for more is turned away, so that hostile traffic
  // (10,000 heads that do not end) costs the host no more than that.
  [[nodiscard]] bool exhausted();
  // Made when it is first needed; null: the list cannot be read.
  const TlsTrust* trust();
  World& world() { return *world_; }
  [[nodiscard]] std::vector<std::string> names_of(const IpAddress& address) const {
    return names_.names_of(address);
  }
  // Names sockets in watch(); even, and the next number is the owner's too.
  std::uint64_t new_key() { return next_ += 2; }

 private:
  struct Peer {
    Flow flow;
    std::int64_t last = 0;
    Decision decision;
    UniqueFd upstream;
    std::optional<BodyRecord> sent, received;  // what nobody here reads
  };
  using PeerKey = std::pair<Endpoint, Endpoint>;

  void read_packets();
  void on_packet(std::string_view bytes);
  void on_syn(const Packet& packet, std::string_view original);
  void on_datagram(const Packet& packet, std::string_view original);
  void on_echo(const Packet& packet);
  void refuse(const Packet& packet, std::string_view original, const Decision& decision,
              std::string_view reason);
  void drop(const Packet& packet, std::string reason);
  [[nodiscard]] bool is_own(const IpAddress& address) const;
  [[nodiscard]] bool is_neighbour(const IpAddress& address) const;
  void end_at_router(const Packet& packet, std::string_view original);
  Peer& attempt(const Packet& packet, FlowProtocol protocol, bool& is_new);
  void keep_sent(Peer& peer, std::string_view bytes, const char* place);
  void relay_datagram(Peer& peer, const Packet& packet);
  void read_upstream(std::uint64_t connection);
  [[nodiscard]] bool lets_in(std::uint16_t port) const;
  void accept_from(int listener);
  void turn_away(int listener);
  void refuse_accepted(int fd, const Connection& connection, const Decision& decision);
  void expire(bool all);
  void send_raw(std::string packet, const IpAddress& to);
  void answer(const Packet& packet, std::string reply);
  void flush_packets();
  void flush();
  void count_lost_packets();
  std::uint32_t take_approved(const PeerKey& key);
  void report_given_up(std::int64_t before);

  NetworkPolicy policy_;
  GatewayFds fds_;
  UniqueFd epoll_, spare_;
  std::set<std::uint16_t> ports_;  // on which connections can be let in; empty: on all
  NameTable names_;
  HostResolver resolver_;
  std::unique_ptr<OutletLink> outlet_;  // outlives the connections
  std::unique_ptr<World> world_;
  std::string authorities_;
  std::unique_ptr<TlsTrust> trust_;
  Timers timers_;  // before their owners, who cancel them
  std::size_t queued_ = 0;
  std::size_t carrying_ = 0;
  std::size_t open_ = 0;
  std::map<std::uint64_t, std::unique_ptr<TcpConnection>> connections_;
  std::set<std::uint64_t> dying_;
  std::map<PeerKey, Peer> peers_[3];  // refused SYNs; datagrams; echo and everything else
  std::map<std::uint64_t, PeerKey> upstreams_;
  // Of SYNs whose connections are to come. One that never does is an attempt all the same.
  std::map<PeerKey, Flow> approved_;
  std::string reports_;
  std::int64_t flush_by_ = 0;
  // Not filled with zeros, which would make the kernel find all of their pages at every start.
  static constexpr std::size_t buffer_bytes = 0x40000;
  std::unique_ptr<char[]> buffer_ = std::make_unique_for_overwrite<char[]>(buffer_bytes);
  std::unique_ptr<char[]> packets_;                             // of one read
  std::vector<std::pair<std::string, IpAddress>> outgoing_[2];  // of IPv4 and of IPv6
  std::int64_t now_ = 0;
  std::uint64_t next_ = 16;  // keys below are the gateway's own sockets
  std::uint64_t lost_packets_ = 0;
  std::int64_t memory_looked_at_ = 0;
  bool exhausted_ = false;
  bool supervisor_gone_ = false;
};

inline constexpr const char* out_of_memory = "the gateway's memory is in use";
inline constexpr const char* out_of_ports =
    "without packet rules connections are let in on listed ports alone";
inline constexpr const char* out_of_connections =
    "as many connections are open as the policy or the user's open files allow";

// Whether the rule names the address itself, so that no name is asked for.
bool names_network(const NetworkRule& rule, const IpAddress& address);
// What is checked before an address is dialled: the rule names a network that holds it or, for one
// of the rule's domains, it lies in the networks that the rule gives for them; without such
// networks it is a global address. Empty: fine; otherwise why not.
std::string why_not_dialled(const NetworkRule& rule, const IpAddress& address);
// Whether it lies in the network namespace that the gateway dials from.
bool is_on_this_host(const Endpoint& endpoint);

std::int64_t monotonic_now();

}  // namespace gyges::network
