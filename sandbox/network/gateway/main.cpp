// The egress gateway's program: embedded into gyges and executed from a sealed memory file.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/fd_message.h"
#include "base/json.h"
#include "sandbox/network/gateway/confinement.h"
#include "sandbox/network/gateway/gateway.h"
#include "sandbox/network/gateway_process.h"
#include "sandbox/network/http/aside_hashing.h"
#include "sandbox/network/http/body_record.h"
#include "sandbox/network/http/moved_pages.h"
#include "sandbox/network/port_list.h"

namespace gyges::network {
namespace {

// One message of `size` bytes into `bytes`, with `count` descriptors; empty: it is another one.
std::vector<UniqueFd> receive(int from, void* bytes, std::size_t size, std::size_t count) {
  FdMessage message = receive_with_fds(from, {static_cast<char*>(bytes), size});
  if (message.size != static_cast<ssize_t>(size) || message.fds.size() != count)
    message.fds.clear();
  return std::move(message.fds);
}

// The sockets that pid 1 made, sent by the supervisor once the link is there.
Result<GatewayFds> receive_sockets(UniqueFd report) {
  using namespace gateway_process;
  std::uint32_t left = 0;
  const int from = report.get();
  auto fds = receive(from, &left, sizeof(left), handed_sockets);
  if (fds.empty() || left > 2 * most_listed_ports)
    return fail("receive sockets", "gateway", "the supervisor sent none");
  GatewayFds all{std::move(report), std::move(fds[0]), std::move(fds[1]),
                 std::move(fds[2]), std::move(fds[3]), std::move(fds[4]),
                 std::move(fds[5]), UniqueFd(),        {}};
  while (left > 0) {
    std::vector<std::uint16_t> ports(std::min<std::size_t>(left, most_listeners_at_once));
    auto some = receive(from, ports.data(), ports.size() * 2, ports.size());
    if (some.empty())
      return fail("receive sockets", "gateway", "listeners on ports are missing",
                  "raise the hard limit of open files (ulimit -Hn)");
    for (std::size_t i = 0; i < some.size(); ++i)
      all.listeners.push_back({ports[i], std::move(some[i])});
    left -= static_cast<std::uint32_t>(ports.size());
  }
  return all;
}

// Our own, and one of each connection. Where something is relayed also those towards the
// destinations of connections and datagrams, and of questions to name servers.
std::uint64_t files_for(std::uint64_t connections, bool relays) {
  constexpr std::uint64_t own = 64;
  std::uint64_t outside = connections + Gateway::most_peers + HostResolver::most_pending;
  return own + connections + (relays ? outside : 0);
}

// An ordinary user may not go past his hard limit: fewer connections are open at one time then.
Status fit_open_files(NetworkPolicy& policy, bool relays, std::size_t listeners) {
  rlimit now{};
  ::getrlimit(RLIMIT_NOFILE, &now);
  now.rlim_cur -= std::min<rlim_t>(now.rlim_cur, listeners);
  if (now.rlim_cur >= files_for(policy.max_flows, relays)) return ok();
  constexpr std::uint64_t least = 64;
  if (now.rlim_cur < files_for(least, false))
    return fail("start gateway", "",
                "this user may have only " + std::to_string(now.rlim_cur) +
                    " files open at one time, and the gateway needs at least " +
                    std::to_string(files_for(least, false)),
                "raise the hard limit (ulimit -Hn)");
  const std::uint64_t left = now.rlim_cur - files_for(0, false);
  policy.max_flows = static_cast<decltype(policy.max_flows)>(
      std::min<std::uint64_t>(policy.max_flows, relays ? left / 3 : left));
  return ok();
}

Status serve() {
  using namespace gateway_process;
  UniqueFd report(report_fd);
  UniqueFd config(config_fd);
  UniqueFd packed(world_fd);
  GYGES_TRY(std::string text, read_all(config.get(), most_config_bytes));
  GYGES_TRY(std::string world, read_all(packed.get(), most_world_bytes));
  auto document = nlohmann::json::parse(text);
  GYGES_TRY(NetworkPolicy policy, network_policy_from_json(document, "policy"));
  std::vector<IpAddress> servers;
  for (const auto& written : document.at("name_servers")) {
    GYGES_TRY(IpAddress server, parse_address(written.get<std::string>()));
    servers.push_back(server);
  }
  bool relays = false;
  for (const NetworkRule& rule : policy.rules) relays |= rule.action == RuleAction::relay;
  // Both directions of each connection and of each datagram peer.
  std::uint64_t records = policy.max_flows * 2UL + 2 * Gateway::most_peers;
  // Pipes of the size are not to be had for ever many sandboxes of one user: then bytes are copied,
  // which is said below.
  if (relays) (void)MovedPages::instance().open();
  const std::size_t listeners = policy.capture == CaptureDemand::all ? 0 : 2 * most_listed_ports;
  GYGES_CHECK(give_up_surroundings(relays, files_for(policy.max_flows, relays) + listeners,
                                   records * policy.body_bytes));
  BodyRecord::spill_to(UniqueFd(spill_fd), policy.body_bytes, static_cast<std::uint32_t>(records));
  GYGES_TRY(GatewayFds fds, receive_sockets(std::move(report)));
  // Now the supervisor waits for a word.
  GYGES_CHECK(fit_open_files(policy, relays, fds.listeners.size()));
  int supervisor = fds.report.get();
  if (document.value("outlet", false)) fds.outlet.reset(outlet_fd);
  Gateway gateway(std::move(policy), std::move(fds), std::move(servers));
  GYGES_CHECK(gateway.prepare());
  GYGES_CHECK(gateway.open(world, document.value("authorities", std::string())));
  world.clear();
  if (relays) AsideHashing::instance().start();
  GYGES_CHECK(filter_own_calls());
  const bool copies = AsideHashing::instance().runs() && !MovedPages::instance().ready(true);
  const std::uint32_t ready = copies ? gateway_process::ready_but_copying : 0;
  if (::send(supervisor, &ready, sizeof(ready), MSG_NOSIGNAL) != sizeof(ready))
    return fail_errno("answer supervisor", "gateway");
  gateway.run();
  return ok();
}

}  // namespace
}  // namespace gyges::network

int main(int argc, char**) {
  using namespace gyges::network;
  if (argc != 1) return 2;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  ::signal(SIGPIPE, SIG_IGN);
  // serve() closes its own when it fails.
  const int word = ::fcntl(gateway_process::report_fd, F_DUPFD_CLOEXEC, 3);
  auto done = serve();
  if (done) return 0;
  std::string line = done.error().line();
  auto size = static_cast<std::uint32_t>(line.size());
  line.insert(0, reinterpret_cast<const char*>(&size), sizeof(size));
  ssize_t ignored = ::write(word, line.data(), line.size());
  (void)ignored;
  return 1;
}
