// Relay: the gateway dials for the sandbox. It runs in a network namespace that the test makes, so
// that documentation addresses are local and nothing can leave.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <set>
#include <thread>

#include "base/files.h"
#include "base/hash.h"
#include "base/text.h"
#include "gateway_fixture.h"
#include "test_servers.h"

namespace gyges::isolation {
namespace {

using network::FlowVerdict;

TcpServer::Reply echo(const std::string& received) {
  return {"echo " + received, true};
}

class RelayTest : public GatewayTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the namespaces of the servers are made as root";
    network_.emplace().enter();
  }
  void TearDown() override {
    GatewayTest::TearDown();
    network_.reset();
  }
  // What comes back for `text`, sent as it is, or why nothing does.
  std::string talk_to(const std::string& host, int port, const std::string& text) {
    return run_argv({"/bin/bash", "-c",
                     R"(exec 3<>"/dev/tcp/$1/$2" && printf %b "$3" >&3 && timeout 5 cat <&3)",
                     "talk", host, std::to_string(port), text})
        .output;
  }

  std::optional<OwnNetwork> network_;
};

TEST_F(RelayTest, WhatTheRuleNamesIsDialledAndNothingElse) {
  TcpServer named("198.51.100.7", 7001, echo);
  TcpServer other_port("198.51.100.7", 7002, echo);
  TcpServer private_address("10.9.9.9", 7001, echo);
  TcpServer host_loopback("127.0.0.1", 7001, echo);
  ASSERT_TRUE(named.bound() && other_port.bound() && private_address.bound() &&
              host_loopback.bound());
  start_with({{"mode", "gateway"},
              {"rules",
               {{{"name", "named"},
                 {"to", {"198.51.100.0/24"}},
                 {"ports", {7001}},
                 {"action", "relay"}}}}});
  EXPECT_EQ(talk_to("198.51.100.7", 7001, "hello"), "echo hello");
  EXPECT_NE(talk_to("198.51.100.7", 7002, "hello").find("refused"), std::string::npos);
  EXPECT_NE(talk_to("10.9.9.9", 7001, "hello").find("refused"), std::string::npos);
  EXPECT_NE(talk_to("127.0.0.1", 7001, "hello").find("refused"), std::string::npos);
  // Allowed, but nobody is there: as a reset.
  EXPECT_EQ(talk_to("198.51.100.8", 7001, "hello").find("echo"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(named.accepted(), 1);
  EXPECT_EQ(other_port.accepted() + private_address.accepted() + host_loopback.accepted(), 0);
  auto flows = flows_to("198.51.100.7", 7001);
  ASSERT_EQ(flows.size(), 1U);
  EXPECT_EQ(flows[0].verdict, FlowVerdict::relayed);
  EXPECT_EQ(network::to_string(flows[0].dialled), "198.51.100.7:7001");
  EXPECT_EQ(flows[0].received_bytes, 10U);
}

// Whatever the host's own congestion control does: what the other end of the connection uses.
TEST_F(RelayTest, WhatIsDialledWithinTheHostIsNotPaced) {
  if (::access("/usr/bin/ss", X_OK) != 0) GTEST_SKIP() << "this host has no /usr/bin/ss";
  const std::string known =
      read_file("/proc/sys/net/ipv4/tcp_allowed_congestion_control", 4096).value_or("");
  std::string other;
  for (const std::string& name : split(known.substr(0, known.find('\n')), ' '))
    if (name != "reno") other = name;
  if (other.empty()) GTEST_SKIP() << "this host allows one congestion control";
  ASSERT_EQ(std::system(("echo " + other + " > /proc/sys/net/ipv4/tcp_congestion_control").c_str()),
            0);
  auto sockets = [](const std::string& which) {
    (void)std::system(("/usr/bin/ss -Htin state established " + which + " > /mnt/sockets").c_str());
    return read_file("/mnt/sockets", 65536).value_or("");
  };
  std::string servers, gateways;
  TcpServer server("198.51.100.7", 7001, [&](const std::string& received) {
    servers = sockets("sport = 7001");
    gateways = sockets("dport = 7001");
    return echo(received);
  });
  ASSERT_TRUE(server.bound());
  start_with({{"mode", "gateway"},
              {"rules", {{{"name", "named"}, {"to", {"198.51.100.7"}}, {"action", "relay"}}}}});
  EXPECT_EQ(talk_to("198.51.100.7", 7001, "hello"), "echo hello");
  EXPECT_NE(servers.find(" " + other + " "), std::string::npos) << servers;
  EXPECT_NE(gateways.find(" reno "), std::string::npos) << gateways;
}

// Much, which is moved from socket to socket without being copied, to one who is slow to take it.
TEST_F(RelayTest, ALongAnswerArrivesWholeAndHasItsHash) {
  std::string answer(24U << 20U, '\0');
  unsigned state = 1;
  for (char& byte : answer) byte = static_cast<char>((state = state * 1103515245U + 12345U) >> 16U);
  TcpServer server("198.51.100.7", 7001, [&](const std::string&) {
    return TcpServer::Reply{answer, true};
  });
  ASSERT_TRUE(server.bound());
  start_with({{"mode", "gateway"},
              {"rules", {{{"name", "named"}, {"to", {"198.51.100.7"}}, {"action", "relay"}}}}});
  const std::string hash = to_hex(sha256(answer));
  for (const char* take : {"cat", "{ sleep 0.3; head -c 5000000; sleep 0.3; cat; }"}) {
    const std::string got =
        run_argv({"/bin/bash", "-c",
                  std::string("exec 3<>/dev/tcp/198.51.100.7/7001 && echo >&3 && ") + take +
                      " <&3 | sha256sum"})
            .output;
    EXPECT_EQ(got.substr(0, 64), hash) << take;
  }
  EXPECT_EQ(stop().network_failure, "");
  auto flows = flows_to("198.51.100.7", 7001);
  ASSERT_EQ(flows.size(), 2U);
  for (const network::Flow& flow : flows) {
    EXPECT_EQ(flow.received_bytes, answer.size());
    EXPECT_EQ(flow.received.size, answer.size());
    EXPECT_EQ(flow.received.sha256, hash);
    EXPECT_EQ(flow.received.head, answer.substr(0, flow.received.head.size()));
  }
}

// Where the rule asks for no hash both directions are moved; every byte arrives and is counted.
TEST_F(RelayTest, WithoutAHashAllArrivesAndIsCounted) {
  constexpr std::size_t size = 24U << 20U;
  for (bool hash : {true, false}) {
    TcpServer server("198.51.100.7", 7001, [](const std::string&) {
      return TcpServer::Reply{"", false};
    });
    std::string answer(size, '\0');
    unsigned state = 1;
    for (char& byte : answer)
      byte = static_cast<char>((state = state * 1103515245U + 12345U) >> 16U);
    TcpServer giver("198.51.100.7", 7002, [&](const std::string&) {
      return TcpServer::Reply{answer, true};
    });
    ASSERT_TRUE(server.bound() && giver.bound());
    const std::size_t before = flows().size();
    start_with(
        {{"mode", "gateway"},
         {"rules",
          {{{"name", "named"}, {"to", {"198.51.100.7"}}, {"action", "relay"}, {"hash", hash}}}}});
    const std::string script = "head -c " + std::to_string(size) +
                               " /dev/urandom > /tmp/sent && sha256sum < /tmp/sent && "
                               "cat /tmp/sent > /dev/tcp/198.51.100.7/7001 && "
                               "exec 3<>/dev/tcp/198.51.100.7/7002 && echo >&3 && sha256sum <&3";
    const std::string got = run_argv({"/bin/bash", "-c", script}).output;
    EXPECT_EQ(stop().network_failure, "");
    ASSERT_GE(got.size(), 69U + 64U) << got;
    // All has left the sandbox; the server, a thread of this program, reads at its own pace.
    for (int tries = 0; tries < 200 && server.received().size() < size; ++tries)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(server.received().size(), size);
    EXPECT_EQ(to_hex(sha256(server.received())), got.substr(0, 64));
    EXPECT_EQ(got.substr(68, 64), to_hex(sha256(answer)));
    auto all = flows();
    for (std::size_t i = before; i < all.size(); ++i) {
      const network::FlowBody& body =
          all[i].destination.port == 7001 ? all[i].sent : all[i].received;
      EXPECT_EQ(body.size, size);
      EXPECT_EQ(body.head.size(), 65536U);
      EXPECT_EQ(body.sha256.empty(), !hash);
    }
    EXPECT_EQ(all.size(), before + 2);
    sandbox_.reset();
  }
}

// A flow that cannot be written ends the gateway at once, also while connections are busy.
TEST_F(RelayTest, WithoutARecordNothingGoesOn) {
  TcpServer ends("198.51.100.7", 7001, [](const std::string&) {
    return TcpServer::Reply{"", true};
  });
  TcpServer stays("198.51.100.7", 7002, [](const std::string&) {
    return TcpServer::Reply{"", false};
  });
  ASSERT_TRUE(ends.bound() && stays.bound());
  const std::string script =
      "exec 3<>/dev/tcp/198.51.100.7/7002; "
      "exec 4<>/dev/tcp/198.51.100.7/7001; echo end >&4; read -rt 5 -u 4; exec 4>&-; "
      "for i in {1..40}; do echo x >&3 || break; sleep 0.1; done";
  for (const bool written : {true, false}) {
    SandboxSpec spec = spec_with(
        {{"mode", "gateway"},
         {"rules", {{{"name", "named"}, {"to", {"198.51.100.7"}}, {"action", "relay"}}}}});
    if (!written)
      spec.flows = [](const network::Flow&) { return fail("write flow", "", "no room"); };
    start(spec);
    const std::size_t before = stays.received().size();
    run_argv({"/bin/bash", "-c", script});
    const std::string failure = stop().network_failure;
    EXPECT_EQ(failure.find("no room") == std::string::npos, written) << failure;
    const std::size_t lines = (stays.received().size() - before) / 2;
    if (written)
      EXPECT_GE(lines, 39U);
    else
      EXPECT_LT(lines, 15U);
    sandbox_.reset();
  }
}

// 0.0.0.0/0 is no way to say 10.9.9.9: what is special must be named as such.
TEST_F(RelayTest, AWideNetworkNamesNoSpecialAddress) {
  TcpServer private_address("10.9.9.9", 7001, echo);
  TcpServer documentation("198.51.100.7", 7001, echo);
  ASSERT_TRUE(private_address.bound() && documentation.bound());
  start_with({{"mode", "gateway"},
              {"refuse", "reset"},
              {"rules",
               {{{"name", "named"}, {"to", {"198.51.100.0/24"}}, {"action", "relay"}},
                {{"name", "wide"}, {"to", {"0.0.0.0/0", "::/0"}}, {"action", "relay"}}}}});
  EXPECT_EQ(talk_to("198.51.100.7", 7001, "hello"), "echo hello");
  // The last are addresses of IPv4 inside IPv6: NAT64, 6to4, Teredo, translated, compatible.
  for (const char* address :
       {"10.9.9.9", "169.254.169.254", "fd00:ec2::254", "64:ff9b::a09:909", "64:ff9b:1::a09:909",
        "2002:a09:909::1", "2001:0:a09:909::1", "::ffff:0:a09:909", "::a09:909"})
    EXPECT_NE(talk_to(address, 7001, "hello").find("refused"), std::string::npos) << address;
  (void)run_argv({"/bin/bash", "-c", "printf hello > /dev/udp/10.9.9.9/7002"});
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(private_address.accepted(), 0);
  for (std::uint16_t port : {7001, 7002}) {
    auto flows = flows_to("10.9.9.9", port);
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].verdict, FlowVerdict::refused);
    EXPECT_EQ(flows[0].rule, "wide");
    EXPECT_NE(flows[0].reason.find("no network of the rule"), std::string::npos);
  }
}

// A site of two names on one address, a third on a private one.
class RelayByNameTest : public RelayTest {
 protected:
  void SetUp() override {
    RelayTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    // Here and not before: the addresses are those of the test's namespace.
    dns_.emplace("198.51.100.53",
                 DnsServer::Addresses{{"web.example", {"198.51.100.7"}},
                                      {"a.web.example", {"198.51.100.7"}},
                                      {"moves.web.example", {"198.51.100.7", "10.9.9.9"}},
                                      {"other.example", {"198.51.100.7"}}});
    web_.emplace("198.51.100.7", 80, reply);
    tls_.emplace("198.51.100.7", 443, echo);
    private_.emplace("10.9.9.9", 80, reply);
    ASSERT_TRUE(dns_->bound() && web_->bound() && tls_->bound() && private_->bound());
    SeedFile resolver;
    resolver.path = "/etc/resolv.conf";
    resolver.content = "nameserver 192.0.2.53\n";
    start_with({{"mode", "gateway"},
                {"rules",
                 {{{"name", "site"},
                   {"to", {"web.example", "*.web.example"}},
                   {"within", {"198.51.100.0/24"}},
                   {"ports", {80, 443}},
                   {"hash", hash_},
                   {"action", "relay"}}}}},
               "", {resolver});
  }
  bool hash_ = true;  // before SetUp()
  static TcpServer::Reply reply(const std::string& received) {
    return {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            received.find("Connection: close") != std::string::npos};
  }
  static std::string get(const std::string& host) {
    return "GET / HTTP/1.1\\r\\nHost: " + host + "\\r\\nConnection: close\\r\\n\\r\\n";
  }
  // A request with a body, in one piece: the server answers the first.
  std::string post() {
    return run_argv({"/bin/bash", "-c",
                     "printf 'POST / HTTP/1.1\\r\\nHost: web.example\\r\\nConnection: close\\r\\n"
                     "Content-Length: 5\\r\\n\\r\\nabcde' > /tmp/said; "
                     "exec 3<>/dev/tcp/web.example/80; cat /tmp/said >&3; timeout 5 cat <&3"})
        .output;
  }
  // The reason of the flow to port `port` that was refused last.
  std::string refusal(std::uint16_t port) {
    std::string reason;
    for (const network::Flow& flow : flows())
      if (flow.protocol == network::FlowProtocol::tcp && flow.destination.port == port &&
          flow.verdict == FlowVerdict::refused)
        reason = flow.reason;
    return reason;
  }

  void TearDown() override {
    GatewayTest::TearDown();
    dns_.reset();
    web_.reset();
    tls_.reset();
    private_.reset();
    RelayTest::TearDown();
  }

  std::optional<DnsServer> dns_;
  std::optional<TcpServer> web_, tls_, private_;
};

TEST_F(RelayByNameTest, RequestsForTheNameArrive) {
  std::string two = get("web.example") + get("web.example");
  std::string output = talk_to("web.example", 80, two);
  EXPECT_NE(output.find("hello"), std::string::npos) << output;
  // In pieces, and with a body in chunks.
  output = run_argv({"/bin/bash", "-c",
                     "exec 3<>/dev/tcp/web.example/80; printf 'POST /a HTTP/1.1\\r\\nHo' >&3; "
                     "sleep 0.1; printf 'st: WEB.example.:80\\r\\nTransfer-Encoding: "
                     "chunked\\r\\n\\r\\n3\\r' >&3; sleep 0.1; printf '\\nabc\\r\\n0\\r\\n\\r\\n' "
                     ">&3; timeout 5 head -n 1 <&3"})
               .output;
  EXPECT_NE(output.find("200 OK"), std::string::npos) << output;
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_NE(web_->received().find("\nabc\r\n0\r\n\r\n"), std::string::npos) << web_->received();
  int exchanges = 0;
  for (const network::Flow& flow : flows()) {
    if (flow.protocol == network::FlowProtocol::dns && flow.dns->name == "web.example" &&
        flow.dns->type == "A") {
      EXPECT_EQ(flow.verdict, FlowVerdict::relayed);
    }
    if (flow.protocol != network::FlowProtocol::http) continue;
    ++exchanges;
    EXPECT_EQ(flow.verdict, FlowVerdict::relayed);
    EXPECT_EQ(flow.rule, "site");
    EXPECT_EQ(flow.http->url.substr(0, 18), "http://web.example");
  }
  EXPECT_EQ(exchanges, 3);
  auto connections = flows_to("198.51.100.7", 80);
  EXPECT_TRUE(std::any_of(connections.begin(), connections.end(), [](const auto& flow) {
    return flow.protocol == network::FlowProtocol::tcp && flow.name == "web.example" &&
           network::to_string(flow.dialled) == "198.51.100.7:80";
  }));
  auto asked = dns_->asked();
  EXPECT_EQ(std::count(asked.begin(), asked.end(), "other.example"), 0);
}

class RelayByNameUnhashedTest : public RelayByNameTest {
 protected:
  RelayByNameUnhashedTest() { hash_ = false; }
};

// Nothing of it is hashed, and beside it everything of the same under a rule that hashes.
void expect_bodies(const std::vector<network::Flow>& flows, bool hashed) {
  int bodies = 0;
  auto expect = [&](const network::FlowBody& body) {
    if (body.size > 0) {
      EXPECT_EQ(body.sha256.empty(), !hashed) << body.head;
    }
  };
  for (const network::Flow& flow : flows) {
    if (flow.protocol == network::FlowProtocol::dns) continue;
    expect(flow.sent);
    expect(flow.received);
    if (!flow.http) continue;
    expect(flow.http->request_body);
    expect(flow.http->response_body);
    EXPECT_EQ(flow.http->request_body.head, "abcde");
    EXPECT_EQ(flow.http->response_body.size, 5U);
    ++bodies;
  }
  EXPECT_EQ(bodies, 1);
}

TEST_F(RelayByNameTest, BodiesOfRequestsAreHashed) {
  EXPECT_NE(post().find("hello"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  expect_bodies(flows(), true);
}

TEST_F(RelayByNameUnhashedTest, NoBodyIsHashedWhereTheRuleSaysSo) {
  EXPECT_NE(post().find("hello"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  expect_bodies(flows(), false);
}

struct Trick {
  const char* what;
  const char* bytes;  // with escapes of printf %b
  const char* reason;
};

// Each on a connection to the address of web.example, which was looked up.
constexpr Trick tricks[] = {
    {"another Host", "GET / HTTP/1.1\\r\\nHost: other.example\\r\\n\\r\\n", "no name of the rule"},
    {"a name of the rule that was not looked up",
     "GET / HTTP/1.1\\r\\nHost: a.web.example\\r\\n\\r\\n", "no name that was looked up"},
    {"another target", "GET http://other.example/ HTTP/1.1\\r\\nHost: web.example\\r\\n\\r\\n",
     "another host"},
    {"two Hosts", "GET / HTTP/1.1\\r\\nHost: web.example\\r\\nHost: other.example\\r\\n\\r\\n",
     "twice"},
    {"no Host", "GET / HTTP/1.0\\r\\n\\r\\n", "names no host"},
    {"an address", "GET / HTTP/1.1\\r\\nHost: 198.51.100.7\\r\\n\\r\\n", "names no host"},
    {"another port in the target",
     "GET http://web.example:8080/ HTTP/1.1\\r\\nHost: web.example\\r\\n\\r\\n", "another port"},
    {"another port", "GET / HTTP/1.1\\r\\nHost: web.example:8080\\r\\n\\r\\n", "another port"},
    {"NUL in Host", "GET / HTTP/1.1\\r\\nHost: web.example\\x00.other\\r\\n\\r\\n", "control byte"},
    {"CONNECT", "CONNECT web.example:80 HTTP/1.1\\r\\nHost: web.example\\r\\n\\r\\n", "CONNECT"},
    {"upgrade", "GET / HTTP/1.1\\r\\nHost: web.example\\r\\nUpgrade: h2c\\r\\n\\r\\n", "upgrade"},
    {"two lengths",
     "POST / HTTP/1.1\\r\\nHost: web.example\\r\\nContent-Length: 5\\r\\nTransfer-Encoding: "
     "chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET / HTTP/1.1\\r\\nHost: other.example\\r\\n\\r\\n",
     "both Content-Length and Transfer-Encoding"},
    {"an odd coding",
     "POST / HTTP/1.1\\r\\nHost: web.example\\r\\nTransfer-Encoding: xchunked\\r\\n\\r\\n",
     "coding"},
    {"folding", "GET / HTTP/1.1\\r\\nHost: web.example\\r\\n .other\\r\\n\\r\\n", "folded"},
    {"bare LF", "GET / HTTP/1.1\\nHost: web.example\\n\\n", "LF alone"},
    {"a name that looks alike",  // the Cyrillic letter for e
     "GET / HTTP/1.1\\r\\nHost: xn--wb-nlc.example\\r\\n\\r\\n", "no name of the rule"},
    {"a name that looks alike in UTF-8",
     "GET / HTTP/1.1\\r\\nHost: w\\xd0\\xb5b.example\\r\\n\\r\\n", "Host is no host"},
    {"plain ASCII as if it were none", "GET / HTTP/1.1\\r\\nHost: xn--web-.example\\r\\n\\r\\n",
     "Host is no host"},
    {"an ideographic full stop", "GET / HTTP/1.1\\r\\nHost: web\\xe3\\x80\\x82example\\r\\n\\r\\n",
     "Host is no host"},
    {"letters of full width", "GET / HTTP/1.1\\r\\nHost: \\xef\\xbd\\x97eb.example\\r\\n\\r\\n",
     "Host is no host"},
    {"percent signs", "GET / HTTP/1.1\\r\\nHost: %77eb.example\\r\\n\\r\\n", "Host is no host"},
    {"two dots at the end", "GET / HTTP/1.1\\r\\nHost: web.example..\\r\\n\\r\\n",
     "Host is no host"},
    {"user information", "GET / HTTP/1.1\\r\\nHost: web.example@other.example\\r\\n\\r\\n",
     "Host is no host"},
    {"two lengths that are alike",
     "POST / HTTP/1.1\\r\\nHost: web.example\\r\\nContent-Length: 5\\r\\nContent-Length: "
     "5\\r\\n\\r\\nhello",
     "Content-Length is there twice"},
    {"a list of lengths",
     "POST / HTTP/1.1\\r\\nHost: web.example\\r\\nContent-Length: 5, 5\\r\\n\\r\\nhello",
     "Content-Length is no number"},
    {"a length with a sign",
     "POST / HTTP/1.1\\r\\nHost: web.example\\r\\nContent-Length: +5\\r\\n\\r\\nhello",
     "Content-Length is no number"},
    {"chunks in HTTP/1.0",
     "POST / HTTP/1.0\\r\\nHost: web.example\\r\\nConnection: keep-alive\\r\\n"
     "Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
     "HTTP/1.0 has no transfer coding"},
    {"WebSocket",
     "GET / HTTP/1.1\\r\\nHost: web.example\\r\\nConnection: Upgrade\\r\\nUpgrade: "
     "websocket\\r\\n\\r\\n",
     "upgrade"},
    {"HTTP/0.9", "GET /\\r\\n\\r\\n", "three parts"},
    {"HTTP/2", "PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n", "version"},
    {"another protocol", "SSH-2.0-OpenSSH_9.2\\r\\n", "neither TLS nor HTTP"},
};

TEST_F(RelayByNameTest, NoTrickReachesTheServer) {
  for (const Trick& trick : tricks) {
    std::string output = talk_to("web.example", 80, trick.bytes);
    EXPECT_EQ(output.find("hello"), std::string::npos) << trick.what << output;
  }
  // The second request is another's: it does not arrive, whatever came before.
  (void)talk_to("web.example", 80, get("web.example") + get("other.example"));
  EXPECT_EQ(talk_to("198.51.100.8", 80, get("web.example")).find("hello"), std::string::npos);
  EXPECT_NE(talk_to("other.example", 80, get("other.example")).find("not known"),
            std::string::npos);
  // Positive control: nothing but the names was in the way.
  EXPECT_NE(talk_to("web.example", 80, get("web.example")).find("hello"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(web_->received().find("other"), std::string::npos) << web_->received();
  EXPECT_LE(web_->accepted(), 2);  // the control, and the first of two requests if it came alone
  std::vector<std::string> reasons;
  for (const network::Flow& flow : flows_to("198.51.100.7", 80))
    if (flow.protocol == network::FlowProtocol::tcp && flow.verdict == FlowVerdict::refused)
      reasons.push_back(flow.reason);
  ASSERT_EQ(reasons.size(), std::size(tricks) + 1);
  for (std::size_t i = 0; i < std::size(tricks); ++i)
    EXPECT_NE(reasons[i].find(tricks[i].reason), std::string::npos)
        << tricks[i].what << ": " << reasons[i];
}

TEST_F(RelayByNameTest, ANameThatMovesToAPrivateAddressIsNotFollowed) {
  EXPECT_NE(talk_to("moves.web.example", 80, get("moves.web.example")).find("hello"),
            std::string::npos);
  std::string output = talk_to("moves.web.example", 80, get("moves.web.example"));
  EXPECT_EQ(output.find("hello"), std::string::npos) << output;
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(web_->accepted(), 1);
  EXPECT_EQ(private_->accepted(), 0);
  EXPECT_NE(refusal(80).find("10.9.9.9"), std::string::npos) << refusal(80);
  // The request that stayed here is not among those that were relayed.
  for (const network::Flow& flow : flows())
    if (flow.http && network::to_string(flow.destination.address) == "10.9.9.9") {
      EXPECT_EQ(flow.verdict, FlowVerdict::refused);
    }
}

TEST_F(RelayByNameTest, TlsMustNameTheSite) {
  if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "this host has no /usr/bin/curl";
  auto ask = [&](const std::string& host) {
    (void)run("getent ahostsv4 web.example; curl -sk -m 5 --resolve " + host +
              ":443:198.51.100.7 https://" + host + "/");
  };
  ask("other.example");
  ask("a.web.example");
  (void)run("curl -sk -m 5 https://198.51.100.7/");
  EXPECT_EQ(tls_->accepted(), 0);
  ask("web.example");
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_EQ(tls_->accepted(), 1);
  EXPECT_NE(tls_->received().find("web.example"), std::string::npos);
  std::vector<std::string> names;
  for (const network::Flow& flow : flows_to("198.51.100.7", 443))
    names.push_back(flow.sni + " " + std::string(network::to_string(flow.verdict)));
  EXPECT_EQ(names, (std::vector<std::string>{"other.example refused", "a.web.example refused",
                                             " refused", "web.example relayed"}));
}

// Whatever two programs may read differently in a ClientHello does not arrive; its pieces may come
// as they like.
TEST_F(RelayByNameTest, OddClientHellosDoNotPass) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "this host has no /usr/bin/python3";
  auto script =
      read_file(std::string(GYGES_SOURCE_DIR) + "/tests/end_to_end/clients/tls_hellos.py");
  ASSERT_TRUE(script);
  Ran ran = run_argv({"/usr/bin/python3", "-c", *script, "web.example"});
  EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
  EXPECT_EQ(stop().network_failure, "");
  // HTTP in the clear names the site in its Host.
  const std::set<std::string> passing = {
      "honest",       "upper_case",          "trailing_dot",         "other_kind_first",
      "honest_again", "records_of_one_byte", "records_of_100_bytes", "segments_of_one_byte",
      "large",        "plain_http"};
  std::size_t rows = 0;
  for (const std::string& line : split(ran.output, '\n')) {
    const std::size_t space = line.find(' ');
    if (space == std::string::npos) continue;
    ++rows;
    const std::string outcome = line.substr(space + 1);
    const bool passed = outcome == "answered" || outcome.starts_with("failed_");
    EXPECT_EQ(passed, passing.contains(line.substr(0, space))) << line;
  }
  EXPECT_EQ(rows, 27U) << ran.output;
  EXPECT_EQ(tls_->accepted(), static_cast<int>(passing.size()));
}

}  // namespace
}  // namespace gyges::isolation
