// TLS that is relayed and read: real clients, a real server in the test's own namespace, and
// certificates of two authorities, the persona's inside and the destination's outside.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <optional>

#include "base/fd.h"
#include "gateway_fixture.h"
#include "sandbox/network/address.h"
#include "sandbox/network/tls/certificates.h"
#include "test_servers.h"

namespace gyges::isolation {
namespace {

using network::Flow;
using network::FlowProtocol;
using network::FlowVerdict;

constexpr const char* token = "q7Jd0vXr2mLw9TzA";

// `openssl s_server`, which serves the files of its directory over HTTP/1.0.
class FileServer {
 public:
  FileServer(const std::string& directory, const network::CertificateKey& identity) {
    std::ofstream(directory + "/leaf.pem") << identity.certificate_pem;
    std::ofstream(directory + "/leaf.key") << identity.key_pem;
    // It takes the whole target for a file's name.
    for (const std::string& name : {std::string("/page"), "/page?key=" + std::string(token)})
      std::ofstream(directory + name) << "the page";
    pid_ = ::fork();
    if (pid_ == 0) {
      if (::chdir(directory.c_str()) != 0) ::_exit(1);
      ::execl("/usr/bin/openssl", "openssl", "s_server", "-quiet", "-WWW", "-accept",
              "198.51.100.7:443", "-cert", "leaf.pem", "-key", "leaf.key", nullptr);
      ::_exit(1);
    }
    sockaddr_storage there{};
    unsigned size = network::to_sockaddr({*network::parse_address("198.51.100.7"), 443}, there);
    for (int i = 0; i < 1000 && !listens_; ++i) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      listens_ = ::connect(fd.get(), reinterpret_cast<sockaddr*>(&there), size) == 0;
      if (!listens_) ::usleep(10000);
    }
  }
  [[nodiscard]] bool listens() const { return listens_; }
  ~FileServer() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_ = -1;
  bool listens_ = false;
};

class InterceptTest : public SimulatedTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the namespace of the server is made as root";
    for (const char* program : {"/usr/bin/openssl", "/usr/bin/curl"})
      if (::access(program, X_OK) != 0) GTEST_SKIP() << "this host has no " << program;
    network_.emplace().enter();
    auto authority = network::make_authority(7, std::time(nullptr), "Outside", "Outside Authority");
    ASSERT_TRUE(authority) << authority.error().line();
    outside_ = *authority;
    std::ofstream("/mnt/outside.pem") << outside_.certificate_pem;
    ::setenv("SSL_CERT_FILE", "/mnt/outside.pem", 1);
    dns_.emplace("198.51.100.53", DnsServer::Addresses{{"site.example", {"198.51.100.7"}},
                                                       {"other.example", {"198.51.100.7"}}});
    ASSERT_TRUE(dns_->bound());
  }
  void TearDown() override {
    GatewayTest::TearDown();
    server_.reset();
    dns_.reset();
    network_.reset();
    ::unsetenv("SSL_CERT_FILE");
  }
  void serve(const network::CertificateKey& authority, const std::string& name) {
    auto leaf = network::issue_certificate(authority, 9, std::time(nullptr), name);
    ASSERT_TRUE(leaf) << leaf.error().line();
    server_.emplace("/mnt", *leaf);
    ASSERT_TRUE(server_->listens());
  }
  void start_relay(bool intercept) {
    nlohmann::json rule = {{"name", "site"},
                           {"to", {"site.example"}},
                           {"within", {"198.51.100.0/24"}},
                           {"ports", {443}},
                           {"action", "relay"}};
    if (intercept) rule["intercept"] = true;
    adapt_ = [this](SandboxSpec& spec) {
      SeedFile file;
      file.path = "/tmp/outside.pem";
      file.content = outside_.certificate_pem;
      spec.seed.push_back(file);
    };
    start_world(nlohmann::json::array({rule}), {{{"name", "key"}, {"token", token}}});
  }
  std::string curl(const std::string& authority, const std::string& arguments) {
    return run("curl -sS -m 8 --cacert /tmp/" + authority + " " + arguments + " 2>&1").output;
  }
  // Of the connection that was refused last.
  std::string refusal() {
    std::string reason;
    for (const Flow& flow : flows_to("198.51.100.7", 443))
      if (flow.verdict == FlowVerdict::refused) reason = flow.reason;
    return reason;
  }

  std::optional<OwnNetwork> network_;
  std::optional<DnsServer> dns_;
  std::optional<FileServer> server_;
  network::CertificateKey outside_;
};

TEST_F(InterceptTest, WhatIsInsideIsReadAndRecorded) {
  serve(outside_, "site.example");
  start_relay(true);
  EXPECT_EQ(curl("authority.pem", "'https://site.example/page?key=" + std::string(token) + "'"),
            "the page");
  // The client sees the persona's authority and not the destination's.
  EXPECT_NE(curl("outside.pem", "https://site.example/page").find("certificate"),
            std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  int exchanges = 0;
  for (const Flow& flow : flows()) {
    if (!flow.http) continue;
    ++exchanges;
    EXPECT_EQ(flow.verdict, FlowVerdict::relayed);
    EXPECT_EQ(flow.http->url, "https://site.example/page?key=" + std::string(token));
    EXPECT_EQ(flow.http->status, 200);
    EXPECT_EQ(flow.http->response_body.head, "the page");
    EXPECT_EQ(flow.sni, "site.example");
  }
  EXPECT_EQ(exchanges, 1);
  std::size_t hits = 0;
  for (const Flow& flow : flows()) hits += flow.canaries.size();
  EXPECT_GE(hits, 1U);
}

TEST_F(InterceptTest, WithoutItServerNameAndSizesAreRecorded) {
  serve(outside_, "site.example");
  start_relay(false);
  EXPECT_EQ(curl("outside.pem", "'https://site.example/page?key=" + std::string(token) + "'"),
            "the page");
  EXPECT_EQ(stop().network_failure, "");
  bool seen = false;
  for (const Flow& flow : flows()) {
    EXPECT_FALSE(flow.http);
    EXPECT_TRUE(flow.canaries.empty());
    seen |= flow.sni == "site.example" && flow.verdict == FlowVerdict::relayed &&
            flow.received_bytes > 0;
  }
  EXPECT_TRUE(seen);
}

TEST_F(InterceptTest, ADestinationThatIsNotWhoItSaysIsRefused) {
  serve(outside_, "other.example");
  start_relay(true);
  EXPECT_EQ(curl("authority.pem", "https://site.example/page").find("the page"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_NE(refusal().find("ostname mismatch"), std::string::npos) << refusal();
}

TEST_F(InterceptTest, AnAuthorityThatTheHostDoesNotTrustIsRefused) {
  auto stranger = network::make_authority(11, std::time(nullptr), "Nobody", "Nobody's Authority");
  ASSERT_TRUE(stranger);
  serve(*stranger, "site.example");
  start_relay(true);
  EXPECT_EQ(curl("authority.pem", "https://site.example/page").find("the page"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_NE(refusal().find("certificate"), std::string::npos) << refusal();
}

// HTTP/2 is not read: a client that can speak HTTP/1.1 does, and one that cannot is told in its
// handshake.
TEST_F(InterceptTest, ClientsAgreeOnHttp1OrAreRefused) {
  serve(outside_, "site.example");
  start_relay(true);
  EXPECT_EQ(curl("authority.pem", "--http2 https://site.example/page"), "the page");
  EXPECT_EQ(curl("authority.pem", "--http2-prior-knowledge https://site.example/page"), "the page");
  auto hello = [this](const std::string& protocols) {
    return run("echo | timeout 5 openssl s_client -connect site.example:443 -servername "
               "site.example -alpn " +
               protocols + " 2>&1")
        .output;
  };
  EXPECT_NE(hello("h2,http/1.1").find("ALPN protocol: http/1.1"), std::string::npos);
  EXPECT_NE(hello("h2").find("no application protocol"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  // Of the handshake and of its connection, which was not dialled.
  int told = 0;
  for (const Flow& flow : flows())
    told += flow.verdict == FlowVerdict::refused &&
                    flow.reason.find("HTTP/2 alone") != std::string::npos
                ? 1
                : 0;
  EXPECT_EQ(told, 2);
}

// What a server may take for TLS and this reader does not is no way past the interception.
TEST_F(InterceptTest, AClientHelloThatCannotBeReadDoesNotPassUnread) {
  TcpServer server("198.51.100.7", 443, [](const std::string&) {
    return TcpServer::Reply{"arrived", true};
  });
  ASSERT_TRUE(server.bound());
  start_world(nlohmann::json::array({{{"name", "site"},
                                      {"to", {"198.51.100.7"}},
                                      {"ports", {443}},
                                      {"action", "relay"},
                                      {"intercept", true}}}));
  auto say = [this](const std::string& bytes) {
    return run_argv({"/bin/bash", "-c",
                     "exec 3<>/dev/tcp/198.51.100.7/443 && printf '" + bytes +
                         "' >&3 && timeout 5 cat <&3"})
        .output;
  };
  const std::string huge = "\\x16\\x03\\x01\\x00\\x06\\x01\\x01\\x00\\x00\\x03\\x03";
  const std::string of_ssl2 = "\\x80\\x2e\\x01\\x03\\x03\\x00\\x15\\x00\\x00\\x00\\x10";
  EXPECT_EQ(say(huge).find("arrived"), std::string::npos);
  EXPECT_EQ(say(of_ssl2).find("arrived"), std::string::npos);
  EXPECT_EQ(server.received(), "");
  // Positive control: what is no TLS passes, for the rule names the network.
  EXPECT_EQ(say("hello"), "arrived");
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_NE(refusal().find("cannot be read"), std::string::npos) << refusal();
}

TEST_F(InterceptTest, AHostInsideThatTheRuleDoesNotNameIsRefused) {
  serve(outside_, "site.example");
  start_relay(true);
  EXPECT_EQ(curl("authority.pem", "https://site.example/page"), "the page");
  EXPECT_EQ(
      curl("authority.pem", "-H 'Host: other.example' https://site.example/page").find("the page"),
      std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_NE(refusal().find("Host is no name of the rule"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace gyges::isolation
