// TLS that is relayed and read: real clients, a real server in the test's own namespace, and
// certificates of two authorities, the persona's inside and the destination's outside.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>

#include "base/fd.h"
#include "base/hash.h"
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
// With another `mode` it answers as that says: "-rev" with each line reversed. "python" is a server
// of files that knows what is not there, by Python's library.
class FileServer {
 public:
  FileServer(const std::string& directory, const network::CertificateKey& identity,
             const char* mode = "-WWW") {
    std::ofstream(directory + "/leaf.pem") << identity.certificate_pem;
    std::ofstream(directory + "/leaf.key") << identity.key_pem;
    // It takes the whole target for a file's name.
    for (const std::string& name : {std::string("/page"), "/page?key=" + std::string(token)})
      std::ofstream(directory + name) << "the page";
    pid_ = ::fork();
    if (pid_ == 0) {
      if (::chdir(directory.c_str()) != 0) ::_exit(1);
      if (std::string_view(mode) == "python")
        ::execl("/usr/bin/python3", "python3", "-c",
                "import http.server as h, ssl\n"
                "s = h.ThreadingHTTPServer(('198.51.100.7', 443), h.SimpleHTTPRequestHandler)\n"
                "c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
                "c.load_cert_chain('leaf.pem', 'leaf.key')\n"
                "s.socket = c.wrap_socket(s.socket, server_side=True,"
                " do_handshake_on_connect=False)\n"
                "h.SimpleHTTPRequestHandler.log_message = lambda *a: None\n"
                "s.handle_error = lambda *a: None\n"
                "s.serve_forever()",
                nullptr);
      ::execl("/usr/bin/openssl", "openssl", "s_server", "-quiet", mode, "-accept",
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

bool full_load() {
  const char* load = std::getenv("GYGES_LOAD");
  return load != nullptr && std::string_view(load) == "full";
}

std::string hash_of_zeros(std::uint64_t mib) {
  Sha256Hasher hasher;
  const std::string block(1U << 20U, '\0');
  for (std::uint64_t i = 0; i < mib; ++i) hasher.update(block);
  return to_hex(hasher.finish());
}

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
  void serve(const network::CertificateKey& authority, const std::string& name,
             const char* mode = "-WWW") {
    auto leaf = network::issue_certificate(authority, 9, std::time(nullptr), name);
    ASSERT_TRUE(leaf) << leaf.error().line();
    server_.emplace("/mnt", *leaf, mode);
    ASSERT_TRUE(server_->listens());
  }
  void start_relay(bool intercept) {
    nlohmann::json rule = {{"name", "site"}, {"ports", {443}}, {"action", "relay"}};
    if (by_network_) {
      rule["to"] = {"198.51.100.7"};
    } else {
      rule["to"] = {"site.example"};
      rule["within"] = {"198.51.100.0/24"};
    }
    if (intercept) rule["intercept"] = true;
    adapt_ = [this](SandboxSpec& spec) {
      if (wall_seconds_ > 0) spec.policy.limits.wall_seconds = wall_seconds_;
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
  // Of the connection that was refused last. What came when it had ended is a flow of its own.
  std::string refusal() {
    std::string reason;
    for (const Flow& flow : flows_to("198.51.100.7", 443))
      if (flow.verdict == FlowVerdict::refused && flow.protocol != FlowProtocol::other)
        reason = flow.reason;
    return reason;
  }

  bool by_network_ = false;  // before start_relay()
  std::uint32_t wall_seconds_ = 0;
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

// Each client with its own way to trust an authority.
TEST_F(InterceptTest, CommonClientsPass) {
  for (const char* file : {"/mnt/debian/Packages", "/mnt/debian/Release", "/mnt/tool"})
    std::filesystem::create_directories(std::filesystem::path(file).parent_path());
  std::ofstream("/mnt/debian/Packages")
      << "Package: tool\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@site.example>\n"
         "Filename: ./tool.deb\nSize: 5\nSHA256: "
      << std::string(64, '0') << "\nDescription: a tool\n\n";
  std::ofstream("/mnt/debian/Release") << "Origin: Example\nDate: Sat, 01 Jan 2022 00:00:00 UTC\n";
  std::ofstream("/mnt/tool")
      << R"({"name": "tool", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3": {"name":
          "tool", "version": "1.2.3", "dist": {"tarball": "https://site.example/tool.tgz",
          "shasum": "0000000000000000000000000000000000000000"}}}})";
  if (::access("/usr/bin/python3", X_OK) != 0)
    GTEST_SKIP() << "this host has no /usr/bin/python3 to serve files";
  ASSERT_EQ(std::system("cd /mnt && mkdir -p simple/tool && /usr/bin/python3 -c '\n"
                        "import zipfile\n"
                        "z = zipfile.ZipFile(\"simple/tool/tool-1.0-py3-none-any.whl\", \"w\")\n"
                        "d = \"tool-1.0.dist-info/\"\n"
                        "z.writestr(d + \"METADATA\", \"Metadata-Version: 2.1\\nName: tool\\n"
                        "Version: 1.0\\n\")\n"
                        "z.writestr(d + \"WHEEL\", \"Wheel-Version: 1.0\\nRoot-Is-Purelib: true"
                        "\\nTag: py3-none-any\\n\")\n"
                        "z.writestr(d + \"RECORD\", \"\")\n"
                        "z.close()\n'"),
            0);
  std::ofstream("/mnt/simple/tool/index.html")
      << "<a href=\"tool-1.0-py3-none-any.whl\">tool-1.0-py3-none-any.whl</a>";
  if (::access("/usr/bin/git", X_OK) == 0) {
    // Nothing of this host's own settings: hooks and signatures are none of the test's.
    ASSERT_EQ(std::system("cd /mnt && export HOME=/mnt GIT_CONFIG_NOSYSTEM=1 && "
                          "git init -q work && git -C work -c user.name=a -c user.email=a@b "
                          "commit -q --allow-empty -m 'the first commit' && "
                          "git clone -q --bare work tool.git && git -C tool.git "
                          "update-server-info"),
              0);
  }
  serve(outside_, "site.example", "python");
  start_relay(true);
  struct Client {
    const char* program;
    const char* command;
    const char* answer;
  };
  constexpr Client clients[] = {
      {"/usr/bin/wget", "wget -qO- --ca-certificate /tmp/authority.pem https://site.example/page",
       "the page"},
      {"/usr/bin/python3",
       "/usr/bin/python3 -c 'import ssl, urllib.request as r; "
       "print(r.urlopen(\"https://site.example/"
       "page\", context=ssl.create_default_context(cafile=\"/tmp/authority.pem\")).read())'",
       "the page"},
      {"/usr/bin/node",
       "NODE_EXTRA_CA_CERTS=/tmp/authority.pem node -e "
       "'fetch(\"https://site.example/page\").then(r => r.text()).then(console.log)'",
       "the page"},
      {"/usr/bin/npm",
       "cd /tmp && HOME=/tmp npm view tool version --registry https://site.example/ --cafile "
       "/tmp/authority.pem --no-update-notifier",
       "1.2.3"},
      {"/usr/bin/git",
       "git -c http.sslCAInfo=/tmp/authority.pem clone -q https://site.example/tool.git /tmp/tool "
       "&& git -C /tmp/tool log --format=%s",
       "the first commit"},
      {"/usr/bin/pip3",
       "cd /tmp && HOME=/tmp /usr/bin/python3 -m pip -q download --no-deps --no-cache-dir "
       "--disable-pip-version-check --index-url https://site.example/simple "
       "--cert /tmp/authority.pem -d /tmp/wheels tool && ls /tmp/wheels",
       "tool-1.0-py3-none-any.whl"},
      {"/usr/bin/apt-get",
       "mkdir -p /tmp/a/lists/partial /tmp/a/cache/archives/partial && cd /tmp/a && : > status && "
       "echo 'deb [trusted=yes] https://site.example/debian ./' > list && "
       "o='-o Dir::Etc=/tmp/a -o Dir::Etc::sourcelist=/tmp/a/list -o Dir::Etc::sourceparts=- "
       "-o Dir::State=/tmp/a -o Dir::State::status=/tmp/a/status -o Dir::Cache=/tmp/a/cache "
       "-o APT::Sandbox::User= -o Acquire::Languages=none "
       "-o Acquire::https::CAInfo=/tmp/authority.pem' && "
       "apt-get $o update && apt-cache $o policy tool",
       "Candidate: 1.0"}};
  std::size_t tried = 0;
  for (const Client& client : clients) {
    if (::access(client.program, X_OK) != 0) continue;
    ++tried;
    const std::string output = run(std::string(client.command) + " 2>&1").output;
    EXPECT_NE(output.find(client.answer), std::string::npos) << client.program << ": " << output;
  }
  EXPECT_EQ(stop().network_failure, "");
  std::size_t read = 0;
  for (const Flow& flow : flows())
    read += flow.http && flow.http->status == 200 && flow.verdict == FlowVerdict::relayed ? 1 : 0;
  EXPECT_GE(read, tried);
}

// A session of TLS 1.2 that is taken up again, by its own name and by another.
TEST_F(InterceptTest, SessionsAreTakenUpAgainUnderTheirOwnNameAlone) {
  serve(outside_, "site.example");
  start_relay(true);
  auto ask = [this](const std::string& name, const std::string& session) {
    return run("(printf 'GET /page HTTP/1.0\\r\\nHost: " + name +
               "\\r\\n\\r\\n'; sleep 0.3) | timeout 5 openssl s_client -tls1_2 -connect "
               "site.example:443 -servername " +
               name + " -ign_eof " + session + " /tmp/session 2>&1")
        .output;
  };
  EXPECT_NE(ask("site.example", "-sess_out").find("the page"), std::string::npos);
  const std::string again = ask("site.example", "-sess_in");
  EXPECT_NE(again.find("Reused, TLSv1.2"), std::string::npos) << again;
  EXPECT_NE(again.find("the page"), std::string::npos) << again;
  EXPECT_EQ(ask("other.example", "-sess_in").find("the page"), std::string::npos);
  EXPECT_EQ(stop().network_failure, "");
  EXPECT_NE(refusal().find("no name of the rule"), std::string::npos) << refusal();
}

// What follows an upgrade (WebSocket) is not read. It is refused by name, and passes as bytes where
// the rule names a network.
TEST_F(InterceptTest, UpgradesAreRefusedByNameAndPassAsBytesByNetwork) {
  const std::string upgrade =
      "(printf 'GET / HTTP/1.1\\r\\nHost: site.example\\r\\nConnection: Upgrade\\r\\n"
      "Upgrade: websocket\\r\\n\\r\\n" +
      std::string(token) +
      "\\n'; sleep 1) | timeout 5 openssl s_client -quiet -connect 198.51.100.7:443 "
      "-servername site.example 2>/dev/null";
  const std::string reversed(std::string_view(token).rbegin(), std::string_view(token).rend());
  serve(outside_, "site.example", "-rev");
  for (bool by_network : {false, true}) {
    by_network_ = by_network;
    const std::size_t before = flows().size();
    start_relay(true);
    const std::string output = run("getent ahostsv4 site.example >/dev/null; " + upgrade).output;
    EXPECT_EQ(output.find(reversed) != std::string::npos, by_network) << output;
    EXPECT_EQ(stop().network_failure, "");
    auto all = flows();
    std::size_t hits = 0;
    for (std::size_t i = before; i < all.size(); ++i) hits += all[i].canaries.size();
    EXPECT_GE(hits, 1U);
    if (!by_network) {
      EXPECT_NE(refusal().find("upgrade"), std::string::npos) << refusal();
    }
    sandbox_.reset();
  }
}

// One upload, and handshakes one after the other. GYGES_LOAD=full: 1 GiB, and half a minute of
// them.
TEST_F(InterceptTest, MuchAndManyAreRead) {
  const bool full = full_load();
  by_network_ = true;
  if (full) wall_seconds_ = 170;
  serve(outside_, "site.example");
  start_relay(true);
  // No line is whole until it is too long for the server, which reads on all the same.
  const std::uint64_t mib = full ? 1024 : 64;
  (void)run("head -c " + std::to_string(mib) +
            "M /dev/zero | timeout 100 openssl s_client -quiet -no_ign_eof -connect "
            "198.51.100.7:443 -servername site.example >/dev/null 2>&1");
  const std::string many =
      run("timeout 100 openssl s_time -new -time " + std::string(full ? "30" : "2") +
          " -connect 198.51.100.7:443 2>&1 | grep real")
          .output;
  EXPECT_NE(many.find("connections in"), std::string::npos) << many;
  const std::uint64_t peak = gateway_peak_kib();
  EXPECT_EQ(curl("authority.pem",
                 "--resolve site.example:443:198.51.100.7 "
                 "https://site.example/page"),
            "the page");
  if (full) std::cout << many << "the gateway's peak: " << peak << " KiB" << std::endl;
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LE(peak, 64U << 10U);
#endif
  EXPECT_EQ(stop().network_failure, "");
  std::uint64_t longest = 0;
  std::string hash;  // of the longest
  std::size_t connections = 0;
  for (const Flow& flow : flows_to("198.51.100.7", 443)) {
    if (flow.protocol != FlowProtocol::tcp) continue;
    ++connections;
    if (flow.sent.size > longest) hash = flow.sent.sha256;
    longest = std::max(longest, flow.sent.size);
  }
  EXPECT_EQ(longest, mib << 20U);
  EXPECT_EQ(hash, hash_of_zeros(mib));
  EXPECT_GT(connections, 20U);
}

// GYGES_LOAD=full: 1 GiB.
TEST_F(InterceptTest, ALargeAnswerIsReadAndHashed) {
  const std::uint64_t mib = full_load() ? 1024 : 64;
  if (full_load()) wall_seconds_ = 170;
  serve(outside_, "site.example");
  ASSERT_EQ(std::system(("head -c " + std::to_string(mib) + "M /dev/zero > /mnt/big").c_str()), 0);
  start_relay(true);
  EXPECT_EQ(run("curl -sS -m 160 --cacert /tmp/authority.pem https://site.example/big | sha256sum")
                .output.substr(0, 64),
            hash_of_zeros(mib));
  [[maybe_unused]] const std::uint64_t peak = gateway_peak_kib();
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LE(peak, 64U << 10U);
#endif
  EXPECT_EQ(stop().network_failure, "");
  int answers = 0;
  for (const Flow& flow : flows()) {
    if (!flow.http) continue;
    ++answers;
    EXPECT_EQ(flow.http->response_body.size, mib << 20U);
    EXPECT_EQ(flow.http->response_body.sha256, hash_of_zeros(mib));
  }
  EXPECT_EQ(answers, 1);
}

// Each with a handshake on both sides, a request and its answer; one after the other in each of
// four clients. GYGES_LOAD=full: 100,000.
TEST_F(InterceptTest, ManyConnectionsAreRead) {
  if (::access("/usr/bin/python3", X_OK) != 0) GTEST_SKIP() << "this host has no /usr/bin/python3";
  const std::size_t turns = full_load() ? 100 : 1;  // each in less than its minute
  const std::size_t clients = 4;
  const std::size_t of_client = full_load() ? 250 : 25;
  const std::size_t number = turns * clients * of_client;
  if (full_load()) wall_seconds_ = 1800;
  serve(outside_, "site.example");
  start_relay(true);
  const std::string client =
      "/usr/bin/python3 -c '\n"
      "import socket, ssl\n"
      "c = ssl.create_default_context(cafile=\"/tmp/authority.pem\")\n"
      "done = 0\n"
      "for i in range(" +
      std::to_string(of_client) +
      "):\n"
      "    s = c.wrap_socket(socket.create_connection((\"site.example\", 443), 20),\n"
      "                      server_hostname=\"site.example\")\n"
      "    s.sendall(b\"GET /page HTTP/1.0\\r\\nHost: site.example\\r\\n\\r\\n\")\n"
      "    answer = b\"\"\n"
      "    while part := s.recv(4096): answer += part\n"
      "    done += answer.endswith(b\"the page\")\n"
      "    s.close()\n"
      "print(done)' 2>&1";
  std::string all, expected;
  for (std::size_t i = 0; i < clients; ++i) {
    all += client + " & ";
    expected += std::to_string(of_client) + "\n";
  }
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t turn = 0; turn < turns; ++turn) ASSERT_EQ(run(all + "wait").output, expected);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  if (full_load()) std::cout << number << " connections in " << took.count() << " s" << std::endl;
  const std::uint64_t peak = gateway_peak_kib();
  if (full_load()) std::cout << "the gateway's peak: " << peak << " KiB" << std::endl;
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LE(peak, 64U << 10U);
#endif
  EXPECT_EQ(stop().network_failure, "");
  std::size_t exchanges = 0;
  for (const Flow& flow : flows()) exchanges += flow.http && flow.http->status == 200 ? 1U : 0U;
  EXPECT_EQ(exchanges, number);
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
