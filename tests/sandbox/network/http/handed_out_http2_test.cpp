// Exchanges over HTTP/2 that the supervisor answers, with nghttp2 as the client.
#include "sandbox/network/http/handed_out_http2.h"

#include <gmock/gmock.h>
#include <nghttp2/nghttp2.h>

#include <map>

#include "sandbox/network/http/handed_out_http1.h"
#include "tests/sandbox/network/web_fixture.h"

namespace gyges::network {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class SideBySideOutlet final : public Outlet {
 public:
  std::map<std::uint64_t, OutletRequest> requests;
  std::map<std::uint64_t, OutletListener*> listeners;
  std::map<std::uint64_t, std::string> bodies;
  std::map<std::uint64_t, std::size_t> taken;
  std::vector<std::uint64_t> ended, closed;
  bool full = false, refuses = false;

  std::uint64_t open(const OutletRequest& request, OutletListener& from) override {
    if (refuses) return 0;
    std::uint64_t number = requests.size() + 1;
    requests[number] = request;
    listeners[number] = &from;
    return number;
  }
  bool body(std::uint64_t exchange, std::string_view bytes) override {
    bodies[exchange] += bytes;
    return !full;
  }
  void end(std::uint64_t exchange) override { ended.push_back(exchange); }
  void close(std::uint64_t exchange) override { closed.push_back(exchange); }
  void took(std::uint64_t exchange, std::size_t bytes) override { taken[exchange] += bytes; }
};

class Http2Client {
 public:
  struct Answer {
    std::map<std::string, std::string> headers;
    std::string body;
    bool ended = false;
    std::optional<std::uint32_t> reset;
  };
  std::map<std::int32_t, Answer> answers;

  Http2Client() {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                      std::uint8_t, void* data) {
          static_cast<Http2Client*>(data)
              ->answers[frame->hd.stream_id]
              .headers[std::string(reinterpret_cast<const char*>(name), name_size)] =
              std::string(reinterpret_cast<const char*>(value), value_size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                      std::size_t size, void* data) {
          static_cast<Http2Client*>(data)->answers[id].body.append(
              reinterpret_cast<const char*>(bytes), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t id, std::uint32_t code, void* data) {
          auto& answer = static_cast<Http2Client*>(data)->answers[id];
          if (code == 0)
            answer.ended = true;
          else
            answer.reset = code;
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, 0, nullptr, 0);
  }
  ~Http2Client() { nghttp2_session_del(session_); }
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  std::int32_t request(const std::string& method, const std::string& path,
                       const std::string& body = {}, const std::string& host = {}) {
    std::vector<std::pair<std::string, std::string>> fields = {{":method", method},
                                                               {":scheme", "https"},
                                                               {":path", path},
                                                               {":authority", "api.example"},
                                                               {"x-api-key", "k"}};
    if (!host.empty()) fields.emplace_back("host", host);
    std::vector<nghttp2_nv> list;
    for (auto& [name, value] : fields)
      list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                      reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(), 0});
    bodies_.push_back(std::make_unique<Body>(Body{body, 0}));
    nghttp2_data_provider provider{};
    provider.source.ptr = bodies_.back().get();
    provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* buffer,
                                std::size_t size, std::uint32_t* flags, nghttp2_data_source* source,
                                void*) -> ssize_t {
      auto& own = *static_cast<Body*>(source->ptr);
      std::size_t count = std::min(size, own.text.size() - own.sent);
      std::copy_n(own.text.data() + own.sent, count, buffer);
      own.sent += count;
      if (own.sent == own.text.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(count);
    };
    return nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                  body.empty() ? nullptr : &provider, nullptr);
  }
  void reset(std::int32_t id) { nghttp2_submit_rst_stream(session_, 0, id, NGHTTP2_CANCEL); }

  std::string out() {
    std::string bytes;
    for (;;) {
      const std::uint8_t* data = nullptr;
      auto size = nghttp2_session_mem_send(session_, &data);
      if (size <= 0) return bytes;
      bytes.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    }
  }
  void in(const std::string& bytes) {
    auto used = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    EXPECT_EQ(used, static_cast<ssize_t>(bytes.size()));
  }

 private:
  struct Body {
    std::string text;
    std::size_t sent = 0;
  };
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Body>> bodies_;
};

struct HandedOutHttp2Test : ::testing::Test {
  testing::WebFixture web;
  testing::ScriptedPort port;
  SideBySideOutlet outlet;
  Http2Client client;
  TlsFacts tls{"api.example", "h2", "1.3"};
  std::unique_ptr<StreamService> service =
      make_handed_out_http2(web.shared, web.connection, tls, port, outlet);

  void exchange() {
    for (int round = 0; round < 40; ++round) {
      std::string to_client = port.take();
      if (!to_client.empty()) client.in(to_client);
      std::string to_server = client.out();
      if (!to_server.empty()) service->received(to_server);
      if (to_client.empty() && to_server.empty()) return;
    }
  }
};

TEST_F(HandedOutHttp2Test, AnAnswerStreamsPieceByPieceAsItComes) {
  auto id = client.request("POST", "/v1/messages?beta=true", "hello");
  exchange();
  ASSERT_THAT(outlet.requests, SizeIs(1));
  EXPECT_EQ(outlet.requests[1].target, "/v1/messages?beta=true");
  EXPECT_EQ(outlet.requests[1].host, "api.example");
  EXPECT_EQ(outlet.requests[1].method, "POST");
  EXPECT_TRUE(outlet.requests[1].tls);
  EXPECT_EQ(outlet.bodies[1], "hello");
  EXPECT_THAT(outlet.ended, ::testing::ElementsAre(1U));
  outlet.listeners[1]->answered(
      {200, {{"Content-Type", "text/event-stream"}, {"Connection", "keep-alive"}}});
  exchange();
  EXPECT_EQ(client.answers[id].headers[":status"], "200");
  EXPECT_EQ(client.answers[id].headers["content-type"], "text/event-stream");
  EXPECT_EQ(client.answers[id].headers.count("connection"), 0U);
  for (const char* piece : {"data: 1\n\n", "data: 2\n\n"}) {
    std::string before = client.answers[id].body;
    outlet.listeners[1]->answer_body(piece);
    client.in(port.take());  // at once, without anything from the client
    EXPECT_EQ(client.answers[id].body, before + piece);
  }
  EXPECT_FALSE(client.answers[id].ended);
  outlet.listeners[1]->answer_ended();
  exchange();
  EXPECT_TRUE(client.answers[id].ended);
  EXPECT_THAT(outlet.closed, ::testing::ElementsAre(1U));
  ASSERT_THAT(port.flows, SizeIs(1));
  EXPECT_EQ(port.flows[0].http->version, "2");
  EXPECT_EQ(port.flows[0].http->url, "https://api.example/v1/messages?beta=true");
  EXPECT_EQ(port.flows[0].http->response_body.head, "data: 1\n\ndata: 2\n\n");
  EXPECT_FALSE(port.closed);
}

TEST_F(HandedOutHttp2Test, AnswersComeInAnyOrder) {
  auto one = client.request("GET", "/one");
  auto two = client.request("GET", "/two");
  exchange();
  for (std::uint64_t number : {2U, 1U}) {
    outlet.listeners[number]->answered({200, {}});
    outlet.listeners[number]->answer_body(outlet.requests[number].target);
    outlet.listeners[number]->answer_ended();
    exchange();
    EXPECT_EQ(client.answers[one].ended, number == 1);
  }
  EXPECT_EQ(client.answers[one].body, "/one");
  EXPECT_EQ(client.answers[two].body, "/two");
}

TEST_F(HandedOutHttp2Test, HeadHasNoBodyAndIsAnsweredWhole) {
  auto id = client.request("HEAD", "/");
  exchange();
  outlet.listeners[1]->answered({404, {{"Content-Length", "12"}}});
  exchange();
  EXPECT_THAT(outlet.closed, SizeIs(0)) << "the supervisor is not done yet";
  outlet.listeners[1]->answer_body("not for HEAD");
  outlet.listeners[1]->answer_ended();
  exchange();
  EXPECT_EQ(client.answers[id].headers["content-length"], "12");
  EXPECT_EQ(client.answers[id].body, "");
  EXPECT_TRUE(client.answers[id].ended);
  ASSERT_THAT(port.flows, SizeIs(1));
  EXPECT_EQ(port.flows[0].reason, "");
}

TEST_F(HandedOutHttp2Test, WhoSendsFasterThanTheSupervisorReadsWaits) {
  outlet.full = true;
  client.request("POST", "/", std::string(4U << 20U, 'x'));
  exchange();
  EXPECT_THAT(outlet.bodies[1], SizeIs(::testing::Le(1U << 20U)));
  EXPECT_THAT(outlet.ended, SizeIs(0));
  outlet.full = false;
  outlet.listeners[1]->outlet_ready();
  for (int i = 0; i < 20 && outlet.ended.empty(); ++i) exchange();
  EXPECT_THAT(outlet.bodies[1], SizeIs(4U << 20U));
  EXPECT_THAT(outlet.ended, SizeIs(1));
}

TEST_F(HandedOutHttp2Test, OnlyWhatTheClientTookMakesRoomForMore) {
  auto id = client.request("GET", "/");
  exchange();
  outlet.listeners[1]->answered({200, {}});
  const std::string piece(most_body_piece, 'x');
  for (std::size_t sent = 0; sent < answer_window; sent += piece.size())
    outlet.listeners[1]->answer_body(piece);
  // The client has not opened its window: 65,535 bytes may be on their way.
  EXPECT_LE(outlet.taken[1], 65535U);
  exchange();
  EXPECT_THAT(client.answers[id].body, SizeIs(answer_window));
  EXPECT_GT(outlet.taken[1], answer_window / 2);
}

TEST_F(HandedOutHttp2Test, AClientThatGoesClosesItsExchanges) {
  auto one = client.request("POST", "/one", "body");
  client.request("GET", "/two");
  exchange();
  client.reset(one);
  exchange();
  EXPECT_THAT(outlet.closed, ::testing::ElementsAre(1U));
  service->ended();
  EXPECT_THAT(outlet.closed, ::testing::ElementsAre(1U, 2U));
  ASSERT_THAT(port.flows, SizeIs(2));
  EXPECT_EQ(port.flows[0].http->request_body.head, "body");
  EXPECT_THAT(port.flows[0].reason, HasSubstr("before the answer was whole"));
  EXPECT_TRUE(port.closed);
}

TEST_F(HandedOutHttp2Test, ALostSupervisorIsABadGatewayAndACutAnswerAReset) {
  auto one = client.request("GET", "/");
  auto two = client.request("GET", "/");
  exchange();
  outlet.listeners[1]->answer_failed();
  outlet.listeners[2]->answered({200, {}});
  outlet.listeners[2]->answer_body("half");
  outlet.listeners[2]->answer_failed();
  exchange();
  EXPECT_EQ(client.answers[one].headers[":status"], "502");
  EXPECT_TRUE(client.answers[one].ended);
  EXPECT_TRUE(client.answers[two].reset);
  EXPECT_THAT(port.flows, SizeIs(2));
}

TEST_F(HandedOutHttp2Test, MalformedAndTooManyRequestsAreTurnedAway) {
  auto lying = client.request("GET", "/", {}, "other.example");
  exchange();
  EXPECT_EQ(client.answers[lying].headers[":status"], "400");
  EXPECT_THAT(outlet.requests, SizeIs(0));
  outlet.refuses = true;
  auto many = client.request("POST", "/", "body");
  exchange();
  EXPECT_EQ(client.answers[many].headers[":status"], "503");
  service->received("this is no frame of HTTP/2 at all, and long enough to be one");
  EXPECT_TRUE(port.closed);
}

TEST_F(HandedOutHttp2Test, ABodyWithoutEndIsCutOff) {
  auto id = client.request("POST", "/", std::string(most_outlet_body + 1, 'x'));
  for (int i = 0; i < 100 && client.answers[id].headers.empty(); ++i) exchange();
  EXPECT_EQ(client.answers[id].headers[":status"], "413");
  EXPECT_THAT(outlet.closed, SizeIs(1));
}

TEST_F(HandedOutHttp2Test, WhoFallsSilentIsCutOffAndWhoIsIdleLeaves) {
  client.request("GET", "/");
  exchange();
  port.now += 3601LL * 1'000'000'000;
  service->woken();
  EXPECT_THAT(outlet.closed, SizeIs(1));
  EXPECT_THAT(port.flows, SizeIs(1));
  port.now += 121LL * 1'000'000'000;
  service->woken();
  EXPECT_TRUE(port.closed);
}

}  // namespace
}  // namespace gyges::network
