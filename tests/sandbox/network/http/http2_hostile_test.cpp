// Frames that no honest client sends, by hand: floods, bombs, lies about lengths.
#include <gmock/gmock.h>

#include "sandbox/network/http/http2_service.h"
#include "tests/sandbox/network/web_fixture.h"

namespace gyges::network {
namespace {

constexpr char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum : std::uint8_t { data = 0, headers = 1, rst = 3, settings = 4, ping = 6, window = 8 };
enum : std::uint8_t { end_stream = 1, ack = 1, end_headers = 4 };

std::string number(std::uint32_t value, int bytes) {
  std::string text;
  while (bytes-- > 0) text += static_cast<char>(value >> (8 * bytes));
  return text;
}

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                  const std::string& payload) {
  return number(static_cast<std::uint32_t>(payload.size()), 3) + static_cast<char>(type) +
         static_cast<char>(flags) + number(stream, 4) + payload;
}

// Literal fields without indexing, no Huffman coding, names and values below 127 bytes.
std::string field(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

std::string request(const std::string& path = "/", const std::string& method = "GET") {
  return field(":method", method) + field(":scheme", "https") + field(":path", path) +
         field(":authority", "web.example");
}

class Http2Test : public ::testing::Test {
 protected:
  Http2Test() : web("192.0.2.80") {
    web.connection.destination.port = 443;
    tls = {"web.example", "h2", "1.3"};
    service = make_http2(web.shared, web.connection, tls, port);
    send(preface + frame(settings, 0, 0, ""));
  }
  void send(const std::string& bytes) { service->received(bytes); }

  // Statuses and such are compressed: what is counted are the kinds of frames.
  [[nodiscard]] int answered(std::uint8_t type) const {
    int count = 0;
    for (std::size_t at = 0; at + 9 <= port.sent.size();) {
      auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(port.sent[at + i]); };
      std::size_t size = std::size_t{byte(0)} << 16U | std::size_t{byte(1)} << 8U | byte(2);
      if (byte(3) == type) ++count;
      at += 9 + size;
    }
    return count;
  }

  testing::WebFixture web;
  TlsFacts tls;
  testing::ScriptedPort port;
  std::unique_ptr<StreamService> service;
};

TEST_F(Http2Test, AnHonestRequestIsAnswered) {
  send(frame(headers, end_stream | end_headers, 1, request()));
  EXPECT_EQ(answered(headers), 1);
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_EQ(port.flows[0].http->status, 200);
  EXPECT_FALSE(port.closed);
}

TEST_F(Http2Test, ALyingAuthorityIsRefused) {
  send(frame(headers, end_stream | end_headers, 1, request() + field("host", "other.example")));
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_EQ(port.flows[0].http->status, 400);
  EXPECT_THAT(port.flows[0].reason, ::testing::HasSubstr("Host differs"));
}

TEST_F(Http2Test, HeadersBeyondTheLimitAreRefusedAndNotKept) {
  std::string block = request();
  for (int i = 0; i < 90; ++i) block += field("x-" + std::to_string(i), std::string(120, 'a'));
  send(frame(headers, end_stream | end_headers, 1, block));
  std::string many = request();
  for (int i = 0; i < 300; ++i) many += field("x-" + std::to_string(i), "a");
  send(frame(headers, end_stream | end_headers, 3, many));
  ASSERT_GE(port.flows.size(), 2U);
  EXPECT_EQ(port.flows[0].http->status, 200);  // 90 fields are none too many
  EXPECT_EQ(port.flows[1].http->status, 400);
  EXPECT_LE(port.flows[1].http->request_headers.size(), 100U);
}

// A small block that refers to one large entry of the table again and again.
TEST_F(Http2Test, AHeaderBombOfReferencesIsBounded) {
  std::string block = request();
  block += std::string("\x40\x01x", 3) + "\x7f\xd1\x1e" + std::string(4048, 'b');  // indexed
  for (int i = 0; i < 8000; ++i) block += "\xbe";  // the newest entry, 4 KiB each time
  send(frame(headers, end_stream | end_headers, 1, block));
  // 32 MB of fields: refused, by nghttp2 or by the limit of 100 fields.
  for (const Flow& flow : port.flows)
    if (flow.http) {
      EXPECT_NE(flow.http->status, 200);
      EXPECT_LE(flow.http->request_headers.size(), 100U);
    }
  EXPECT_TRUE(port.closed || answered(rst) > 0 || !port.flows.empty());
}

TEST_F(Http2Test, ContinuationsWithoutEndAreCutOff) {
  send(frame(headers, end_stream, 1, request()));
  std::string part = frame(9, 0, 1, field("x", std::string(100, 'a')));
  int sent = 0;
  while (!port.closed && sent < 100000) {
    send(part);
    ++sent;
  }
  EXPECT_TRUE(port.closed);
  EXPECT_LT(sent, 100000);
}

TEST_F(Http2Test, RapidResetsCostNothingThatStays) {
  for (std::uint32_t stream = 1; stream < 20001 && !port.closed; stream += 2) {
    send(frame(headers, end_headers, stream, request("/take", "POST")) +
         frame(rst, 0, stream, number(8, 4)));
    port.sent.clear();
  }
  // Each one stands in the record, or the connection was closed.
  EXPECT_TRUE(port.closed || port.flows.size() == 10000U) << port.flows.size();
  for (const Flow& flow : port.flows) EXPECT_TRUE(flow.http.has_value());
}

TEST_F(Http2Test, StreamsBeyondTheLimitAreRefused) {
  std::string all;
  for (std::uint32_t stream = 1; stream < 601; stream += 2)
    all += frame(headers, end_headers, stream, request("/take", "POST"));
  send(all);
  EXPECT_GE(answered(rst), 1);
  service->ended();
  EXPECT_LE(port.flows.size(), 101U);
}

TEST_F(Http2Test, PingsAndSettingsThatNobodyReadsEnd) {
  // A client that takes no answers: acknowledgements wait in the library, which has its bound.
  class Stuck : public testing::ScriptedPort {
   public:
    [[nodiscard]] std::size_t unsent() const override { return 1U << 20U; }
  };
  Stuck stuck;
  auto other = make_http2(web.shared, web.connection, tls, stuck);
  other->received(preface + frame(settings, 0, 0, ""));
  for (int i = 0; i < 100000 && !stuck.closed; ++i)
    other->received(frame(ping, 0, 0, "12345678") + frame(settings, 0, 0, ""));
  EXPECT_TRUE(stuck.closed);
}

TEST_F(Http2Test, GarbageEnds) {
  for (const std::string& bytes :
       {frame(data, 0, 1, "no such stream"), frame(headers, end_headers, 2, request()),
        frame(window, 0, 0, number(0, 4)), frame(settings, 0, 0, "odd"),
        std::string("\x00\xff\xff\x00\x00\x00\x00\x00\x01", 9) + std::string(70000, 'x')}) {
    testing::ScriptedPort garbage;
    auto other = make_http2(web.shared, web.connection, tls, garbage);
    other->received(preface + frame(settings, 0, 0, ""));
    other->received(bytes);
    EXPECT_TRUE(garbage.closed) << static_cast<int>(bytes[3]);
  }
  testing::ScriptedPort http1;
  auto other = make_http2(web.shared, web.connection, tls, http1);
  other->received("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n");
  EXPECT_TRUE(http1.closed);
  ASSERT_EQ(http1.flows.size(), 1U);
  EXPECT_THAT(http1.flows[0].reason, ::testing::StartsWith("HTTP/2:"));
}

}  // namespace
}  // namespace gyges::network
