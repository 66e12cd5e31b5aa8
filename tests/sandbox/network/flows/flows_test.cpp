#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "base/files.h"
#include "base/json.h"
#include "sandbox/network/flow_writer.h"
#include "sandbox/network/flows/base64.h"
#include "sandbox/network/flows/flow_reader.h"
#include "sandbox/network/flows/har.h"
#include "sandbox/network/flows/pcapng.h"

namespace gyges::network {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

Flow http_flow() {
  Flow flow;
  flow.time_ns = 5'000'000'000;
  flow.duration_ns = 2'000'000;
  flow.connection = 3;
  flow.protocol = FlowProtocol::http;
  flow.source = {parse_address("10.0.2.15").value(), 40000};
  flow.destination = {parse_address("192.0.2.80").value(), 80};
  flow.name = "web.example";
  flow.verdict = FlowVerdict::simulated;
  flow.rule = "web";
  flow.http.emplace();
  flow.http->version = "1.1";
  flow.http->method = "POST";
  flow.http->url = "http://web.example/a?b=c";
  flow.http->request_headers = {
      {"Content-Type", "text/plain"}, {"X", "\xff\x1b"}, {"cookie", "id=a=1; theme=dark;  ;flag"}};
  flow.http->request_body = {"hello", 9, std::string(64, 'a')};
  flow.http->status = 200;
  flow.http->response_headers = {{"Content-Type", "image/png"},
                                 {"Set-Cookie", "id=; Path=/a; DOMAIN=web.example; HttpOnly"},
                                 {"Set-Cookie", "k = v ;secure"}};
  flow.http->response_body = {std::string("\x89PNG\0", 5), 5, std::string(64, 'b')};
  flow.canaries = {{"key", "base64", "http request body", "at byte 3: abc"}};
  return flow;
}

Flow tcp_flow(FlowVerdict verdict) {
  Flow flow;
  flow.time_ns = 6'000'000'000;
  flow.protocol = FlowProtocol::tcp;
  flow.source = {parse_address("2001:db8::15").value(), 40001};
  flow.destination = {parse_address("2001:db8::80").value(), 8080};
  flow.verdict = verdict;
  if (verdict == FlowVerdict::sunk)
    flow.sent = {std::string(3000, 's'), 3000, std::string(64, 'c')};
  return flow;
}

class FlowsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto writer = FlowWriter::create(directory.path());
    ASSERT_TRUE(writer) << writer.error().line();
    Flow dns;
    dns.protocol = FlowProtocol::dns;
    dns.dns = DnsExchange{"a.example", "A", "NOERROR", {"192.0.2.1"}};
    for (const Flow& flow :
         {http_flow(), tcp_flow(FlowVerdict::refused), tcp_flow(FlowVerdict::sunk), dns})
      ASSERT_TRUE(writer->write(flow));
    ASSERT_TRUE(writer->finish());
    Status read = read_flows(directory.path(), [&](const json& flow) {
      flows.push_back(flow);
      return true;
    });
    ASSERT_TRUE(read) << read.error().line();
  }
  TemporaryDirectory directory = TemporaryDirectory::create("gyges_flows").value();
  std::vector<json> flows;
};

TEST_F(FlowsTest, ComeBackAsTheyWereWritten) {
  ASSERT_EQ(flows.size(), 4U);
  const json& flow = flows[0];
  EXPECT_EQ(flow["time_ns"], 5'000'000'000);
  EXPECT_EQ(flow["destination"], "192.0.2.80");
  EXPECT_EQ(flow["port"], 80);
  EXPECT_EQ(flow["http"]["request_headers"][1][1], "\xEF\xBF\xBD\x1b");
  EXPECT_EQ(flow["http"]["request_body"]["size"], 9);
  EXPECT_EQ(flow["http"]["request_body"]["stored"], 5);
  EXPECT_EQ(read_body(directory.path(), flow["http"]["request_body"]).value(), "hello");
  EXPECT_EQ(flow["canaries"][0]["encoding"], "base64");
  EXPECT_EQ(flows[3]["dns"]["answers"][0], "192.0.2.1");
  EXPECT_FALSE(FlowWriter::create(directory.path()));  // never over another run's
}

TEST_F(FlowsTest, UnknownKeysAreRefusedWithTheirPlace) {
  json changed = flows[0];
  changed["http"]["extra"] = 1;
  std::ofstream(directory.path() / "flows.jsonl", std::ios::app) << changed.dump() << "\n";
  Status read = read_flows(directory.path(), [](const json&) { return true; });
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().line(), HasSubstr("line 5"));
  EXPECT_THAT(read.error().line(), HasSubstr("extra"));
  json outside = flows[0];
  outside["http"]["request_body"]["blob"] = "../run.json";
  std::ofstream(directory.path() / "flows.jsonl") << outside.dump() << "\n";
  EXPECT_FALSE(read_flows(directory.path(), [](const json&) { return true; }));
  std::ofstream(directory.path() / "flows.jsonl") << flows[0].dump();
  EXPECT_THAT(read_flows(directory.path(), [](const json&) { return true; }).error().line(),
              HasSubstr("no end"));
}

TEST_F(FlowsTest, HarHoldsTheExchanges) {
  auto har = flows_to_har(flows, directory.path(), 1'700'000'000'000'000'000);
  ASSERT_TRUE(har);
  const json& log = (*har)["log"];
  EXPECT_EQ(log["version"], "1.2");
  ASSERT_EQ(log["entries"].size(), 1U);
  const json& entry = log["entries"][0];
  EXPECT_EQ(entry["startedDateTime"], "2023-11-14T22:13:25.000000Z");
  EXPECT_EQ(entry["request"]["queryString"][0]["value"], "c");
  EXPECT_EQ(entry["request"]["postData"]["comment"], "5 of 9 bytes were kept");
  EXPECT_EQ(entry["request"]["cookies"], json::parse(R"([{"name": "id", "value": "a=1"},
      {"name": "theme", "value": "dark"}, {"name": "flag", "value": ""}])"));
  EXPECT_EQ(entry["response"]["cookies"], json::parse(R"([{"name": "id", "value": "", "path": "/a",
      "domain": "web.example", "httpOnly": true}, {"name": "k", "value": "v", "secure": true}])"));
  EXPECT_EQ(entry["response"]["content"]["encoding"], "base64");
  EXPECT_EQ(entry["response"]["content"]["text"], "iVBORwA=");
}

std::uint32_t little(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i)
    value = value << 8U | static_cast<std::uint8_t>(bytes.at(at + static_cast<std::size_t>(i)));
  return value;
}

TEST_F(FlowsTest, PcapngIsWellFormed) {
  auto file = flows_to_pcapng(flows, directory.path(), 0);
  ASSERT_TRUE(file);
  std::vector<std::uint32_t> kinds;
  std::size_t payload = 0;
  for (std::size_t at = 0; at < file->size();) {
    std::uint32_t size = little(*file, at + 4);
    ASSERT_EQ(size % 4, 0U);
    ASSERT_GE(size, 12U);
    ASSERT_LE(at + size, file->size());
    EXPECT_EQ(little(*file, at + size - 4), size);
    kinds.push_back(little(*file, at));
    if (kinds.back() == 6) {
      std::uint32_t captured = little(*file, at + 20);
      std::string packet = file->substr(at + 28, captured);
      EXPECT_EQ(static_cast<std::uint8_t>(packet[0]) >> 4U, 6U);
      // The checksum over pseudo-header and segment comes out as zero.
      std::uint32_t sum = 6 + captured - 40;
      for (std::size_t i = 8; i < packet.size(); ++i)
        sum += static_cast<std::uint32_t>(static_cast<std::uint8_t>(packet[i]))
               << (i % 2 == 0 ? 8 : 0);
      while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
      EXPECT_EQ(sum, 0xffffU);
      payload += captured - 60;
    }
    at += size;
  }
  // Section, interface, SYN and RST, then handshake, three segments and the end.
  EXPECT_EQ(kinds.size(), 2U + 2U + 3U + 3U + 3U);
  EXPECT_EQ(kinds[0], 0x0a0d0d0aU);
  EXPECT_EQ(payload, 3000U);
}

// What the packets of a capture carry: "> bytes" of the sandbox, "< bytes" of the other side.
std::vector<std::string> payloads(const std::string& file, std::uint8_t protocol) {
  std::vector<std::string> found;
  for (std::size_t at = 0; at < file.size(); at += little(file, at + 4)) {
    if (little(file, at) != 6) continue;
    const std::string packet = file.substr(at + 28, little(file, at + 20));
    if (packet.at(0) != 0x45 || static_cast<std::uint8_t>(packet.at(9)) != protocol) continue;
    const std::size_t head = protocol == 17 ? 28 : 40;
    const bool inside = packet.substr(12, 4) == std::string("\x0a\0\x02\x0f", 4);
    if (packet.size() > head) found.push_back((inside ? "> " : "< ") + packet.substr(head));
  }
  return found;
}

Flow dns_flow(std::uint64_t connection, const char* query, const char* response) {
  Flow flow = http_flow();
  flow.http.reset();
  flow.connection = connection;
  flow.protocol = FlowProtocol::dns;
  flow.destination.port = 53;
  flow.dns = DnsExchange{"a.example", "A", "NOERROR", {}, query, response};
  return flow;
}

// A datagram each way, and on TCP one stream with a length before each message.
TEST(FlowExport, DnsHasItsMessagesAsTheyWereOnTheWire) {
  auto directory = TemporaryDirectory::create("gyges_flows").value();
  auto writer = FlowWriter::create(directory.path());
  ASSERT_TRUE(writer);
  Flow malformed = dns_flow(8, "", "");
  malformed.dns.reset();
  malformed.sent = {"what is this", 12, ""};
  Flow stream = dns_flow(4, "", "");
  stream.dns.reset();
  stream.protocol = FlowProtocol::tcp;
  stream.duration_ns = 5'000'000'000;
  Flow later = dns_flow(4, "second", "2");
  later.time_ns += 1'000'000'000;
  Flow peer = stream;  // of the datagrams, whose bytes its exchanges have
  peer.protocol = FlowProtocol::udp;
  peer.connection = 6;
  peer.sent_bytes = 8;
  for (const Flow& flow : {dns_flow(6, "question", std::string(300, 'r').c_str()), malformed, later,
                           dns_flow(4, "first", "1"), stream, peer})
    ASSERT_TRUE(writer->write(flow));
  ASSERT_TRUE(writer->finish());
  std::vector<json> lines;
  Status read = read_flows(directory.path(), [&](const json& flow) {
    lines.push_back(flow);
    return true;
  });
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(lines[0]["dns"]["query"], "cXVlc3Rpb24=");
  auto file = flows_to_pcapng(lines, directory.path(), 0);
  ASSERT_TRUE(file) << file.error().line();
  EXPECT_EQ(
      payloads(*file, 17),
      (std::vector<std::string>{"> question", "< " + std::string(300, 'r'), "> what is this"}));
  auto framed = [](const char* bytes) {
    return std::string({'\0', static_cast<char>(std::strlen(bytes))}) + bytes;
  };
  EXPECT_EQ(payloads(*file, 6),
            (std::vector<std::string>{"> " + framed("first"), "< " + framed("1"),
                                      "> " + framed("second"), "< " + framed("2")}));
  lines[0]["dns"]["query"] = "cXVlc3Rpb25=";
  EXPECT_FALSE(flows_to_pcapng(lines, directory.path(), 0));
}

// In UDP a checksum of 0 says that there is none.
TEST(FlowExport, AChecksumThatComesOutAsZeroIsWrittenInItsOtherForm) {
  // That of a datagram with this query; the other side says nothing.
  auto checksum_with = [](const std::string& query) {
    auto directory = TemporaryDirectory::create("gyges_flows").value();
    auto writer = FlowWriter::create(directory.path());
    EXPECT_TRUE(writer);
    if (!writer) return std::string();
    Flow flow = dns_flow(6, "", "");
    flow.dns->query = query;
    EXPECT_TRUE(writer->write(flow) && writer->finish());
    std::vector<json> lines;
    EXPECT_TRUE(read_flows(directory.path(), [&](const json& line) {
      lines.push_back(line);
      return true;
    }));
    auto file = flows_to_pcapng(lines, directory.path(), 0);
    EXPECT_TRUE(file);
    for (std::size_t at = 0; at < file->size(); at += little(*file, at + 4))
      if (little(*file, at) == 6) return file->substr(at + 28 + 26, 2);
    return std::string();
  };
  const std::string sum = checksum_with(std::string(2, '\0'));
  ASSERT_EQ(sum.size(), 2U);
  ASSERT_NE(sum, std::string(2, '\0'));
  EXPECT_EQ(checksum_with(sum), "\xff\xff");
}

TEST(Base64, ThereAndBackAndNothingElse) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes) << i;
    bytes += static_cast<char>(i * 7);
  }
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  for (const char* wrong :
       {"Zg=", "Zg", "Zh==", "Zm9=", "Zg==Zg==", "====", "Z===", "Zm 9", "Zm-_"})
    EXPECT_FALSE(from_base64(wrong)) << wrong;
}

TEST(FlowWriting, EndlessTextIsCutToALineThatReadersTake) {
  auto directory = TemporaryDirectory::create("gyges_flows").value();
  auto writer = FlowWriter::create(directory.path());
  ASSERT_TRUE(writer);
  Flow flow = http_flow();
  flow.name = std::string(2'000'000, '\x01');  // six bytes each in JSON
  for (int i = 0; i < 4000; ++i)
    flow.http->request_headers.emplace_back(std::string(600, '\x02'), std::string(600, '\xff'));
  flow.http->response_headers = std::vector<std::pair<std::string, std::string>>(4000);
  // The longest that a name server says, beside it.
  flow.dns = DnsExchange{"", "", "", {}, std::string(65535, 'q'), std::string(65535, 'r')};
  ASSERT_TRUE(writer->write(flow));
  ASSERT_TRUE(writer->write(http_flow()));
  ASSERT_TRUE(writer->finish());
  std::vector<std::string> reasons;
  Status read = read_flows(directory.path(), [&](const json& line) {
    reasons.push_back(line.at("reason"));
    return true;
  });
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(reasons, (std::vector<std::string>{"the record was cut", ""}));
}

}  // namespace
}  // namespace gyges::network
