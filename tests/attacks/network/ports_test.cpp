// Hosts without packet rules: connections are let in on listed ports alone, everything else is as
// it is with packet rules, and what is missing is said.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>

#include "base/fd.h"
#include "refusal_fixture.h"
#include "sandbox/isolation/facilities.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowProtocol;
using network::FlowVerdict;

class ListedPortsTest : public RefusalTest {
 protected:
  static nlohmann::json on_ports(nlohmann::json section) {
    section["capture"] = "ports";
    return section;
  }
  // The first of the flows to a destination.
  Flow one(const char* address, std::uint16_t port) {
    auto found = flows_to(address, port);
    EXPECT_FALSE(found.empty()) << address << " " << port;
    return found.empty() ? Flow{} : found.front();
  }
  std::string connect_to(const std::string& address, int port) {
    return run_argv({"/bin/bash", "-c",
                     "exec 3<>/dev/tcp/" + address + "/" + std::to_string(port) +
                         " && echo hello >&3 && echo connected"})
        .output;
  }
};

TEST_F(ListedPortsTest, WhatThePolicyDoesNotNameIsRefusedInTheSameWay) {
  start_with(on_ports(refusing));
  auto outcomes = attempt("ECONNREFUSED");
  for (const Expected& row : expectations) EXPECT_EQ(outcomes[row.name], row.refused) << row.name;
  EXPECT_NE(sandbox_->enforcement().network.find("the policy says so"), std::string::npos)
      << sandbox_->enforcement().network;
  SandboxEnd end = stop();
  EXPECT_EQ(end.network_failure, "");
  EXPECT_EQ(one("192.0.2.1", 443).verdict, FlowVerdict::refused);
  EXPECT_EQ(one("2001:db8::1", 443).verdict, FlowVerdict::refused);
  EXPECT_EQ(one("198.51.100.1", 80).rule, "silence");
  EXPECT_EQ(one("198.51.100.2", 80).rule, "no way");
  EXPECT_EQ(one("203.0.113.9", 54321).reason, "no rule allows it");
  EXPECT_EQ(one("10.0.2.2", 15001).verdict, FlowVerdict::refused);
  EXPECT_EQ(one("192.0.2.1", 9999).protocol, FlowProtocol::udp);
  EXPECT_EQ(one("224.0.0.251", 5353).verdict, FlowVerdict::refused);
  std::uint32_t storm = 0;
  for (const Flow& flow : flows_to("192.0.2.3", 1)) storm += flow.attempts;
  EXPECT_EQ(storm, 2000U);
  EXPECT_EQ(one("203.0.113.80", 8081).sent.head, "gyges-network-attempt");
  EXPECT_EQ(one("203.0.113.80", 8082).sent_bytes, 48U << 20U);
  EXPECT_EQ(flows_to("203.0.113.80", 8083).size(), 2000U);
}

TEST_F(ListedPortsTest, TheSameAttemptsArriveWhereARuleNamesTheirPorts) {
  start_with(
      on_ports({{"mode", "gateway"},
                {"rules",
                 {{{"name", "named"}, {"ports", {1, 8083, 54321, port_}}, {"action", "sink"}},
                  {{"name", "all"}, {"action", "sink"}}}}}));
  auto outcomes = attempt("worked");
  for (const Expected& row : expectations) EXPECT_EQ(outcomes[row.name], row.allowed) << row.name;
  EXPECT_EQ(stop().network_failure, "");
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    EXPECT_EQ(one(address, 443).verdict, FlowVerdict::sunk);
    EXPECT_EQ(one(address, 443).sent.head, "gyges-network-attempt");
  }
}

TEST_F(ListedPortsTest, OtherPortsAreRefusedAndRecorded) {
  start_with(on_ports({{"mode", "gateway"}, {"rules", {{{"name", "all"}, {"action", "sink"}}}}}));
  EXPECT_EQ(connect_to("192.0.2.1", 443), "connected\n");
  EXPECT_NE(connect_to("192.0.2.1", 54321).find("refused"), std::string::npos);
  EXPECT_NE(connect_to("2001:db8::1", 54321).find("refused"), std::string::npos);
  (void)run_argv({"/bin/bash", "-c", "echo hello > /dev/udp/192.0.2.1/54322"});
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(one("192.0.2.1", 443).verdict, FlowVerdict::sunk);
  for (const char* address : {"192.0.2.1", "2001:db8::1"}) {
    Flow flow = one(address, 54321);
    EXPECT_EQ(flow.verdict, FlowVerdict::refused);
    EXPECT_EQ(flow.rule, "all");
    EXPECT_EQ(flow.reason, "without packet rules connections are let in on listed ports alone");
  }
  // Datagrams need nobody who listens.
  EXPECT_EQ(one("192.0.2.1", 54322).verdict, FlowVerdict::sunk);
}

TEST_F(ListedPortsTest, WithoutItsGatewayTheSandboxIsClosed) {
  start_with(on_ports({{"mode", "gateway"}, {"rules", {{{"name", "all"}, {"action", "sink"}}}}}));
  EXPECT_EQ(connect_to("192.0.2.1", 443), "connected\n");
  ASSERT_EQ(::kill(gateway_pid(), SIGKILL), 0);
  std::string output;
  for (int i = 0; i < 50 && output.find("unreachable") == std::string::npos; ++i)
    output = run_argv({"/usr/bin/timeout", "2", "/bin/bash", "-c",
                       "exec 3<>/dev/tcp/192.0.2.1/443 && echo connected"})
                 .output;
  EXPECT_EQ(output.find("connected"), std::string::npos) << output;
  EXPECT_NE(stop().network_failure.find("ended by signal 9"), std::string::npos);
}

// From now on this thread and what it starts finds a kernel without netfilter, as
// CONFIG_NETFILTER_NETLINK=n would have it.
bool lose_netfilter() {
  const auto argument = [](int index) {
    return static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8UL * index);
  };
  const std::array<sock_filter, 8> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument(0)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument(2)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NETLINK_NETFILTER, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{static_cast<unsigned short>(filter.size()),
                           const_cast<sock_filter*>(filter.data())};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
         ::socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) < 0 && errno == EPROTONOSUPPORT;
}

class NoNetfilterTest : public ListedPortsTest {
 protected:
  // What a process of its own says, on such a kernel or, as a control, on this one.
  static std::string on_kernel(bool without, const std::function<std::string()>& act) {
    int ends[2] = {-1, -1};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      const std::string line = !without || lose_netfilter() ? act() : "the filter fails";
      (void)!::write(ends[1], line.data(), line.size());
      ::_exit(0);
    }
    ::close(ends[1]);
    UniqueFd from(ends[0]);
    std::string line = read_all(from.get(), 65536).value_or("");
    ::waitpid(child, nullptr, 0);
    return line;
  }
  // What a start comes to under the demand, and what a sink on a listed port and another takes.
  std::string started(const char* demand, const std::vector<std::string>& accepted = {}) {
    nlohmann::json section = {{"mode", "gateway"},
                              {"rules", {{{"name", "all"}, {"action", "sink"}}}}};
    section["capture"] = demand;
    SandboxSpec spec = spec_with(section);
    spec.allow_degraded = accepted;
    auto sandbox = Sandbox::start(spec);
    if (!sandbox) return sandbox.error().line();
    sandbox_ = std::move(*sandbox);
    std::string said = sandbox_->enforcement().network + ";";
    for (const std::string& name : sandbox_->enforcement().degraded) said += " degraded " + name;
    for (int port : {443, 54321})
      said += connect_to("192.0.2.1", port) == "connected\n" ? " in" : " out";
    const SandboxEnd end = stop();
    said += end.network_failure;
    said += end.network_ports.empty() ? " unsaid" : " said";
    return said;
  }
};

TEST_F(NoNetfilterTest, ListedPortsTakeThePlaceOfPacketRulesAndAreSaid) {
  const std::string whole = on_kernel(false, [&] { return started("best"); });
  EXPECT_EQ(whole, "all ports; in in unsaid");
  EXPECT_EQ(on_kernel(false, [&] { return started("all"); }), whole);
  const std::string listed = on_kernel(true, [&] { return started("best"); });
  EXPECT_NE(listed.find("this host has no packet rules"), std::string::npos) << listed;
  EXPECT_NE(listed.find("; in out said"), std::string::npos) << listed;
}

TEST_F(NoNetfilterTest, WhoDemandsAllPortsIsToldWhatToDo) {
  const std::string refused = on_kernel(true, [&] { return started("all"); });
  for (const char* words : {"no netfilter", "nft_tproxy", "network.capture", "packet_rules"})
    EXPECT_NE(refused.find(words), std::string::npos) << refused;
  const std::string accepted = on_kernel(true, [&] { return started("all", {"packet_rules"}); });
  EXPECT_NE(accepted.find("; degraded packet_rules in out said"), std::string::npos) << accepted;
}

TEST_F(NoNetfilterTest, DoctorSaysIt) {
  const auto doctor = []() -> std::string {
    for (const Facility& facility : probe_facilities())
      if (facility.name == "network")
        return (facility.available ? "available: " : "no: ") + facility.reason + facility.cure;
    return "";
  };
  EXPECT_EQ(on_kernel(false, doctor).find("listed ports"), std::string::npos);
  const std::string said = on_kernel(true, doctor);
  EXPECT_TRUE(said.starts_with("available: TCP connections are let in on ")) << said;
  EXPECT_NE(said.find("nft_tproxy"), std::string::npos) << said;
}

}  // namespace
}  // namespace gyges::isolation
