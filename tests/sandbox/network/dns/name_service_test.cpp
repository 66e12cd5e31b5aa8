#include "sandbox/network/dns/name_service.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "tests/sandbox/network/scripted_ports.h"

namespace gyges::network {
namespace {

using dns::Type;

class NoHost : public Resolver {
 public:
  std::vector<std::string> asked;
  std::function<void(const Answer&)> done;
  void resolve(std::string_view name, bool v6,
               std::function<void(const Answer&)> callback) override {
    asked.push_back(std::string(name) + (v6 ? " AAAA" : " A"));
    done = std::move(callback);
  }
};

class NameServiceTest : public ::testing::Test {
 protected:
  static WorldData world() {
    auto json = nlohmann::json::parse(R"({
      "address_pools": ["203.0.113.0/24", "2001:db8:1::/48"],
      "sites": [
        {"host": ["example.org", "www.example.org"], "mx": [{"preference": 5, "host": "mx.example.org"}],
         "txt": ["v=spf1 -all"], "ttl": 120},
        {"host": "mx.example.org"},
        {"host": "alias.example", "cname": "www.example.org"},
        {"host": "*.cdn.example"},
        {"host": "fixed.example", "addresses": ["198.51.100.9"]},
        {"host": "looped.example", "cname": "looped.example"}]})");
    auto data = world_from_json(json, {}, "test");
    EXPECT_TRUE(data) << data.error().line();
    data->seed = 11;
    return std::move(*data);
  }

  dns::Message ask(std::string_view name, Type type) {
    port = {};
    auto packet = dns::write_query(99, name, type);
    EXPECT_TRUE(packet);
    service.received({}, *packet, port);
    if (port.replies.empty()) return {};
    auto message = dns::parse_message(port.replies.at(0));
    EXPECT_TRUE(message);
    return message.value_or(dns::Message{});
  }
  std::vector<std::string> texts(std::string_view name, Type type) {
    std::vector<std::string> list;
    for (const auto& record : ask(name, type).answers) list.push_back(record.text());
    return list;
  }

  WorldData data = world();
  Zone zone{data};
  NetworkPolicy policy;
  NameTable names;
  NoHost host;
  CanarySet canaries = CanarySet::compile({{"key", "s3cr3tTokenValue42"}}).value();
  NameService service{zone, data, {policy, names, host}, canaries};
  testing::ScriptedDatagramPort port;
};

TEST_F(NameServiceTest, EveryNameHasAStableAddressOfItsOwn) {
  std::set<std::string> seen;
  for (const char* name : {"example.org", "www.example.org", "mx.example.org", "a.cdn.example",
                           "b.cdn.example", "fixed.example"}) {
    auto first = texts(name, Type::a);
    ASSERT_EQ(first.size(), 1U) << name;
    EXPECT_EQ(texts(name, Type::a), first);
    EXPECT_TRUE(seen.insert(first[0]).second) << name << " shares " << first[0];
    auto address = parse_address(first[0]).value();
    EXPECT_THAT(names.names_of(address), ::testing::ElementsAre(name));
  }
  EXPECT_TRUE(seen.contains("198.51.100.9"));
  EXPECT_EQ(texts("example.org", Type::aaaa).at(0).substr(0, 11), "2001:db8:1:");
  EXPECT_TRUE(texts("fixed.example", Type::aaaa).empty());
}

TEST_F(NameServiceTest, AnswersTheOtherTypes) {
  EXPECT_EQ(texts("example.org", Type::mx), std::vector<std::string>{"5 mx.example.org"});
  EXPECT_EQ(texts("EXAMPLE.org", Type::txt), std::vector<std::string>{"v=spf1 -all"});
  EXPECT_EQ(texts("example.org", Type::ns),
            (std::vector<std::string>{"ns1.example.org", "ns2.example.org"}));
  EXPECT_EQ(ask("example.org", Type::soa).answers.size(), 1U);
  EXPECT_EQ(texts("9.100.51.198.in-addr.arpa", Type::ptr),
            std::vector<std::string>{"fixed.example"});
  auto alias = texts("alias.example", Type::a);
  ASSERT_EQ(alias.size(), 2U);
  EXPECT_EQ(alias[0], "www.example.org");
  EXPECT_EQ(alias[1], texts("www.example.org", Type::a).at(0));
  EXPECT_LE(ask("looped.example", Type::a).answers.size(), 8U);
  EXPECT_EQ(ask("example.org", Type::any).answers.size(), 7U)
      << "A, AAAA, MX, TXT, two NS and SOA";
  EXPECT_EQ(texts("alias.example", Type::any), std::vector<std::string>{"www.example.org"});
  EXPECT_TRUE(ask("nothing.example", Type::any).answers.empty());
}

TEST_F(NameServiceTest, SaysWhatDoesNotExist) {
  auto missing = ask("nothing.example", Type::a);
  EXPECT_EQ(missing.rcode(), dns::Rcode::no_such_name);
  ASSERT_EQ(missing.authority.size(), 1U);
  EXPECT_EQ(missing.authority[0].type, static_cast<std::uint16_t>(Type::soa));
  EXPECT_EQ(port.flows.at(0).dns->code, "NXDOMAIN");
  auto empty = ask("fixed.example", Type::https);
  EXPECT_EQ(empty.rcode(), dns::Rcode::no_error);
  EXPECT_TRUE(empty.answers.empty());
  EXPECT_EQ(empty.authority.size(), 1U);
  EXPECT_EQ(ask("cdn.example", Type::a).rcode(), dns::Rcode::no_error);  // names are below it
  EXPECT_EQ(ask("1.2.0.192.in-addr.arpa", Type::ptr).rcode(), dns::Rcode::no_such_name);
  EXPECT_EQ(ask("2130706433", Type::a).rcode(), dns::Rcode::no_such_name);
}

// Whose word it is that there is no such name, and where the servers are that are named.
TEST_F(NameServiceTest, ZonesHaveServersAndNegativeAnswersAZone) {
  const std::pair<const char*, const char*> zones[] = {{"no.example.org", "example.org"},
                                                       {"nothing.org", "org"},
                                                       {"org", "org"},
                                                       {"nothing.invalid", "."},
                                                       {"deep.below.nothing.invalid", "."}};
  for (const auto& [name, zone] : zones) {
    auto missing = ask(name, Type::a);
    ASSERT_EQ(missing.authority.size(), 1U) << name;
    EXPECT_EQ(missing.authority[0].name, zone) << name;
  }
  EXPECT_THAT(texts("example.org", Type::soa).at(0),
              ::testing::StartsWith("ns1.example.org hostmaster.example.org 2024"));
  for (const std::string& server : texts("example.org", Type::ns))
    EXPECT_EQ(texts(server, Type::a).size(), 1U) << server;
  auto roots = texts(".", Type::ns);
  ASSERT_EQ(roots.size(), 13U);
  std::set<std::string> seen;
  for (const std::string& server : roots) seen.insert(texts(server, Type::a).at(0));
  EXPECT_EQ(seen.size(), 13U);
  auto root = ask(".", Type::a);
  EXPECT_EQ(root.rcode(), dns::Rcode::no_error);
  EXPECT_FALSE(root.truncated());
}

TEST_F(NameServiceTest, NoZoneIsHandedOver) {
  for (Type type : {Type::axfr, Type::ixfr}) {
    auto refused = ask("example.org", type);
    EXPECT_EQ(refused.rcode(), dns::Rcode::refused);
    EXPECT_TRUE(refused.answers.empty() && refused.authority.empty());
    EXPECT_EQ(port.flows.at(0).verdict, FlowVerdict::refused);
  }
  EXPECT_EQ(port.flows.at(0).dns->type, "IXFR");
  EXPECT_EQ(dns::type_name(257), "CAA");
}

TEST_F(NameServiceTest, UnknownNamesCanHaveAddresses) {
  data.answer_unknown_names = true;
  auto first = texts("c2.evil.example", Type::a);
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(texts("c2.evil.example", Type::a), first);
  EXPECT_NE(texts("c3.evil.example", Type::a), first);
  EXPECT_TRUE(ask("c2.evil.example", Type::txt).answers.empty());
}

TEST_F(NameServiceTest, RelayedNamesAreAskedOfTheHost) {
  NetworkRule rule;
  rule.name = "mirror";
  rule.domains = {"mirror.example"};
  rule.action = RuleAction::relay;
  policy.rules.push_back(rule);
  ask("Mirror.example", Type::a);
  EXPECT_TRUE(port.deferred);
  EXPECT_TRUE(port.replies.empty());
  ASSERT_EQ(host.asked, std::vector<std::string>{"mirror.example A"});
  host.done({{parse_address("192.0.2.77").value()}, 30, "NOERROR"});
  auto message = dns::parse_message(port.replies.at(0)).value();
  EXPECT_EQ(message.answers.at(0).text(), "192.0.2.77");
  EXPECT_EQ(port.flows.at(0).verdict, FlowVerdict::relayed);
  EXPECT_THAT(names.names_of(parse_address("192.0.2.77").value()),
              ::testing::ElementsAre("mirror.example"));
  // Nothing but addresses: the rest could carry data.
  EXPECT_TRUE(ask("mirror.example", Type::txt).answers.empty());
  EXPECT_EQ(host.asked.size(), 1U);
}

TEST_F(NameServiceTest, SpeaksTcpAndClosesWhatIsNotDns) {
  testing::ScriptedPort stream;
  auto tcp = service.open_stream(stream);
  std::string question =
      dns::StreamFramer::frame(dns::write_query(3, "fixed.example", Type::a).value());
  tcp->received(question.substr(0, 5));
  EXPECT_TRUE(stream.sent.empty());
  tcp->received(question.substr(5) + question);
  EXPECT_EQ(stream.flows.size(), 2U);
  std::vector<std::string> replies;
  dns::StreamFramer framer;
  framer.feed(stream.sent, [&](std::string_view message) { replies.emplace_back(message); });
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(dns::parse_message(replies[0])->answers.at(0).text(), "198.51.100.9");
  tcp->ended();
  EXPECT_TRUE(stream.closed);
  testing::ScriptedPort garbage;
  auto other = service.open_stream(garbage);
  other->received("GET / HTTP/1.1\r\n\r\n");
  other->received(std::string(70000, '\0'));
  EXPECT_TRUE(garbage.was_reset);
  testing::ScriptedPort slow;
  auto idle = service.open_stream(slow);
  idle->received("\0");
  slow.run_timers(*idle, 1);
  EXPECT_TRUE(slow.closed);
}

TEST_F(NameServiceTest, MessagesAreKeptAsTheyWereOnTheWire) {
  const std::string question = dns::write_query(3, "fixed.example", Type::a).value();
  ask("fixed.example", Type::a);
  EXPECT_EQ(port.flows.at(0).dns->query, dns::write_query(99, "fixed.example", Type::a).value());
  EXPECT_EQ(port.flows.at(0).dns->response, port.replies.at(0));
  const std::string malformed = question + "beyond its end";
  service.received({}, malformed, port);
  EXPECT_FALSE(port.flows.at(1).dns);
  EXPECT_EQ(port.flows.at(1).sent.head, malformed);
  EXPECT_EQ(port.flows.at(1).received.head, port.replies.at(1));

  // On TCP what is no question keeps its length, which is not part of the message otherwise.
  testing::ScriptedPort stream;
  auto tcp = service.open_stream(stream);
  tcp->received(dns::StreamFramer::frame(question));
  EXPECT_EQ(stream.flows.at(0).dns->query, question);
  EXPECT_EQ(dns::StreamFramer::frame(stream.flows.at(0).dns->response), stream.take());
  tcp->received(dns::StreamFramer::frame(malformed));
  EXPECT_EQ(stream.flows.at(1).sent.head, dns::StreamFramer::frame(malformed));
  EXPECT_EQ(stream.flows.at(1).received.size, stream.sent.size());
  EXPECT_EQ(stream.flows.at(1).received.head, stream.take());
  EXPECT_EQ(stream.flows.at(1).sent.size, malformed.size() + 2);
  EXPECT_EQ(stream.flows.at(1).sent_bytes, stream.flows.at(1).sent.size);
  EXPECT_EQ(stream.flows.at(1).received_bytes, stream.flows.at(1).received.size);
  // What never became one has no length added to it: it has its own, or none.
  testing::ScriptedPort cut;
  service.open_stream(cut)->received(dns::StreamFramer::frame(question).substr(0, 9));
  ASSERT_EQ(cut.flows.size(), 1U);
  EXPECT_EQ(cut.flows[0].sent_bytes, 9U);
  EXPECT_EQ(cut.flows[0].sent.size, 9U);

  // Whole or not at all.
  policy.body_bytes = static_cast<std::uint32_t>(question.size());
  ask("fixed.example", Type::a);
  EXPECT_EQ(port.flows.at(0).dns->query.size(), question.size());
  EXPECT_EQ(port.flows.at(0).dns->response, "");
}

// A question to the host that takes its time: the record says from when to when.
TEST_F(NameServiceTest, TimesOfAQuestionOnTcpAreItsOwn) {
  NetworkRule rule;
  rule.domains = {"mirror.example"};
  rule.action = RuleAction::relay;
  policy.rules.push_back(rule);
  testing::ScriptedPort stream;
  auto tcp = service.open_stream(stream);
  const std::int64_t asked = stream.now;
  tcp->received(dns::StreamFramer::frame(dns::write_query(3, "mirror.example", Type::a).value()));
  stream.now += 70;
  host.done({{parse_address("192.0.2.77").value()}, 30, "NOERROR"});
  EXPECT_EQ(stream.flows.at(0).time_ns, asked);
  EXPECT_EQ(stream.flows.at(0).duration_ns, 70);
}

TEST_F(NameServiceTest, FindsCanariesInNames) {
  ask("s3cr3ttokenvalue42.evil.example", Type::a);
  ASSERT_EQ(port.flows.at(0).canaries.size(), 1U);
  EXPECT_EQ(port.flows[0].canaries[0].canary, "key");
  EXPECT_EQ(port.flows[0].canaries[0].place, "dns name");
  ask("s3cr3tt.okenvalue.42.evil.example", Type::a);
  ASSERT_EQ(port.flows.at(0).canaries.size(), 1U);
  EXPECT_EQ(port.flows[0].canaries[0].encoding, "split over labels, lower case");
  std::size_t hits = 0;
  for (const char* name :
       {"1.s3cr3t.other.example", "2.tokenv.other.example", "3.alue42.other.example"}) {
    for (Type type : {Type::a, Type::aaaa}) {
      ask(name, type);
      hits += port.flows.at(0).canaries.size();
    }
  }
  EXPECT_EQ(hits, 1U);
}

TEST_F(NameServiceTest, AnswersFiftyThousandASecond) {
  auto packet = dns::write_query(99, "www.example.org", Type::a).value();
  auto start = std::chrono::steady_clock::now();
  constexpr int count = 20000;
  for (int i = 0; i < count; ++i) {
    testing::ScriptedDatagramPort sink;
    service.received({}, packet, sink);
    ASSERT_EQ(sink.replies.size(), 1U);
  }
  std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  RecordProperty("queries_per_second", std::to_string(static_cast<int>(count / spent.count())));
  // A fifth of the target, so that a busy machine does not fail it: what a lost index would cost
  // is far more.
  EXPECT_GT(count / spent.count(), 10000);
}

}  // namespace
}  // namespace gyges::network
