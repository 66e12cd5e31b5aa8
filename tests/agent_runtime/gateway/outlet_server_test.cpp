#include "agent_runtime/gateway/outlet_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <future>

namespace gyges::gateway {
namespace {

using network::FrameKind;

// A gateway that does what the test says, good or bad.
class FakeGateway {
 public:
  explicit FakeGateway(OutletServer& server) : socket_(std::move(*server.connect())) {}

  void send(FrameKind kind, std::uint64_t exchange, std::string_view bytes = {}) {
    std::string frame;
    network::append_frame(frame, kind, exchange, bytes);
    raw(frame);
  }
  void request(std::uint64_t exchange, const std::string& target, std::string_view body = {}) {
    send(FrameKind::head, exchange,
         network::encode_request({true, "POST", "api.example", 443, target, {{"X-A", "b"}}}));
    if (!body.empty()) send(FrameKind::body, exchange, body);
    send(FrameKind::end, exchange);
  }
  // The server may have closed the link meanwhile.
  void raw(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
        continue;
      }
      if (errno != EAGAIN) return;
      pollfd room{socket_.get(), POLLOUT, 0};
      ASSERT_EQ(::poll(&room, 1, 30000), 1);
    }
  }

  struct Got {
    bool closed = false;
    FrameKind kind = FrameKind::abort;
    std::uint64_t exchange = 0;
    std::string bytes;
  };
  // The next frame, or the end of the link.
  Got next() {
    for (;;) {
      auto frame = reader_.next();
      EXPECT_TRUE(frame);
      if (frame && *frame)
        return {false, (*frame)->kind, (*frame)->exchange, std::string((*frame)->bytes)};
      pollfd ready{socket_.get(), POLLIN, 0};
      if (::poll(&ready, 1, 30000) != 1) return {true};
      char buffer[4096];
      ssize_t n = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (n <= 0) return {true};
      reader_.feed({buffer, static_cast<std::size_t>(n)});
    }
  }
  void close() { socket_.reset(); }

 private:
  UniqueFd socket_;
  network::FrameReader reader_;
};

bool echo(const HttpRequest& request, Answer& answer) {
  if (!answer.head({200, {{"X-Target", request.head.target}}})) return false;
  return answer.body(request.body);
}

TEST(OutletServer, RequestsAreAnsweredSideBySide) {
  OutletServer server(echo);
  FakeGateway gateway(server);
  gateway.send(FrameKind::head, 1, network::encode_request({false, "POST", "a", 80, "/one", {}}));
  gateway.request(2, "/two", "zwei");
  EXPECT_EQ(gateway.next().kind, FrameKind::head);
  auto body = gateway.next();
  EXPECT_EQ(body.bytes, "zwei");
  EXPECT_EQ(body.exchange, 2U);
  EXPECT_EQ(gateway.next().kind, FrameKind::end);
  gateway.send(FrameKind::end, 1);
  auto head = gateway.next();
  EXPECT_EQ(head.exchange, 1U);
  EXPECT_EQ(network::decode_response(head.bytes)->headers[0].second, "/one");
  EXPECT_EQ(gateway.next().kind, FrameKind::end);
  EXPECT_EQ(server.fault(), "");
}

TEST(OutletServer, WhatIsMalformedEndsTheLinkAndNothingElse) {
  OutletServer server(echo);
  FakeGateway hostile(server);
  FakeGateway good(server);
  hostile.raw(std::string("\x09") + std::string(40, '\0'));
  EXPECT_TRUE(hostile.next().closed);
  EXPECT_THAT(server.fault(), ::testing::HasSubstr("no known kind"));
  good.request(1, "/", "still here");
  EXPECT_EQ(good.next().kind, FrameKind::head);
  EXPECT_EQ(good.next().bytes, "still here");
}

TEST(OutletServer, ABodyPastItsBoundEndsTheLink) {
  OutletServer server(echo);
  FakeGateway gateway(server);
  gateway.send(FrameKind::head, 1, network::encode_request({false, "POST", "a", 80, "/", {}}));
  std::string pieces;
  network::append_body(pieces, 1, std::string(1U << 20U, 'x'));
  for (std::size_t sent = 0; sent < OutletServer::most_body; sent += 1U << 20U) gateway.raw(pieces);
  gateway.send(FrameKind::body, 1, "x");
  EXPECT_TRUE(gateway.next().closed);
  EXPECT_THAT(server.fault(), ::testing::HasSubstr("too long"));
}

TEST(OutletServer, NumbersInUseAreFaultsAndTooManyAreRefused) {
  std::promise<void> go;
  auto wait = go.get_future().share();
  OutletServer server([wait](const HttpRequest& request, Answer& answer) {
    wait.wait();
    return echo(request, answer);
  });
  FakeGateway gateway(server);
  for (std::uint64_t i = 1; i <= OutletServer::most_exchanges; ++i) gateway.request(i, "/");
  gateway.request(1000, "/");
  auto refused = gateway.next();
  EXPECT_EQ(refused.kind, FrameKind::abort);
  EXPECT_EQ(refused.exchange, 1000U);
  gateway.request(1, "/");
  EXPECT_TRUE(gateway.next().closed);
  EXPECT_THAT(server.fault(), ::testing::HasSubstr("in use"));
  go.set_value();
}

// As a user for whom nothing else runs, and who may have this thread and the link's. 0: refused.
int ask_without_threads() {
  const rlimit two{2, 2};
  if (::setresuid(61'234, 61'234, 61'234) != 0 || ::setrlimit(RLIMIT_NPROC, &two) != 0) return 2;
  OutletServer server(echo);
  FakeGateway gateway(server);
  gateway.request(1, "/", "body");
  auto answer = gateway.next();
  return answer.kind == FrameKind::abort && answer.exchange == 1 ? 0 : 1;
}

// A limit on processes ended the supervisor.
TEST(OutletServer, WithoutThreadsRequestsAreRefused) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer has a thread of its own";
#endif
  if (::geteuid() != 0) GTEST_SKIP() << "becomes another user";
  EXPECT_EXIT(::_exit(ask_without_threads()), ::testing::ExitedWithCode(0), "");
}

TEST(OutletServer, TheHandlerSeesThatNobodyListens) {
  std::promise<void> entered;
  std::promise<bool> seen;
  OutletServer server([&](const HttpRequest&, Answer& answer) {
    answer.head({200, {}});
    entered.set_value();
    while (!answer.gone()) std::this_thread::yield();
    seen.set_value(answer.body("late"));
    return false;
  });
  FakeGateway gateway(server);
  gateway.request(5, "/");
  entered.get_future().wait();
  gateway.send(FrameKind::abort, 5);
  EXPECT_FALSE(seen.get_future().get());
}

TEST(OutletServer, AnAnswerThatIsNotReadHoldsUpNoOther) {
  const std::string large(1U << 20U, 'x');
  OutletServer server([&](const HttpRequest& request, Answer& answer) {
    if (!answer.head({200, {}})) return false;
    return answer.body(request.head.target == "/large" ? large : "small");
  });
  FakeGateway gateway(server);
  gateway.request(1, "/large");
  std::size_t got = 0;
  EXPECT_EQ(gateway.next().kind, FrameKind::head);
  while (got < network::answer_window) got += gateway.next().bytes.size();
  EXPECT_EQ(got, network::answer_window) << "no more than its window";
  for (std::uint64_t i = 2; i < 12; ++i) {
    gateway.request(i, "/small");
    for (FrameKind kind : {FrameKind::head, FrameKind::body, FrameKind::end}) {
      auto frame = gateway.next();
      EXPECT_EQ(frame.exchange, i);
      EXPECT_EQ(frame.kind, kind);
    }
  }
  // What the client takes makes room, and the answer comes whole.
  while (got < large.size()) {
    gateway.send(FrameKind::more, 1, network::encode_more(network::most_body_piece));
    auto frame = gateway.next();
    ASSERT_EQ(frame.kind, FrameKind::body);
    EXPECT_EQ(frame.exchange, 1U);
    got += frame.bytes.size();
  }
  EXPECT_EQ(got, large.size());
  EXPECT_EQ(gateway.next().kind, FrameKind::end);
  EXPECT_EQ(server.fault(), "");
}

TEST(OutletServer, AsManyAsMayBeOpenAreHandledAtOneTime) {
  std::promise<void> all;
  auto go = all.get_future().share();
  std::atomic<std::size_t> inside = 0;
  OutletServer server([&](const HttpRequest& request, Answer& answer) {
    if (++inside == OutletServer::most_exchanges) all.set_value();
    return go.wait_for(std::chrono::seconds(60)) == std::future_status::ready &&
           echo(request, answer);
  });
  FakeGateway gateway(server);
  for (std::uint64_t i = 1; i <= OutletServer::most_exchanges; ++i) gateway.request(i, "/");
  std::size_t ends = 0;
  while (ends < OutletServer::most_exchanges) {
    auto frame = gateway.next();
    ASSERT_FALSE(frame.closed);
    ASSERT_NE(frame.kind, FrameKind::abort);
    if (frame.kind == FrameKind::end) ++ends;
  }
}

TEST(OutletServer, BodiesPastTheBoundOfALinkAreRefusedAndTheRestGoesOn) {
  OutletServer server(echo);
  FakeGateway gateway(server);
  std::string pieces;
  std::uint64_t exchange = 0;
  for (std::size_t sent = 0; sent <= OutletServer::most_held; sent += OutletServer::most_body) {
    gateway.send(FrameKind::head, ++exchange,
                 network::encode_request({true, "POST", "a", 443, "/", {}}));
    pieces.clear();
    network::append_body(pieces, exchange, std::string(OutletServer::most_body, 'x'));
    gateway.raw(pieces);
  }
  auto refused = gateway.next();
  EXPECT_EQ(refused.kind, FrameKind::abort);
  EXPECT_EQ(refused.exchange, exchange);
  gateway.send(FrameKind::abort, 1);  // its body gives room to others
  gateway.request(100, "/", "still here");
  EXPECT_EQ(gateway.next().exchange, 100U);
  EXPECT_EQ(gateway.next().bytes, "still here");
  EXPECT_EQ(server.fault(), "");
}

TEST(OutletServer, StopEndsHandlersThatWaitForAReader) {
  std::promise<void> entered;
  OutletServer server([&](const HttpRequest&, Answer& answer) {
    answer.head({200, {}});
    entered.set_value();
    const std::string piece(1U << 20U, 'x');
    while (answer.body(piece)) {
    }
    return true;
  });
  FakeGateway gateway(server);  // reads nothing
  gateway.request(1, "/");
  entered.get_future().wait();
  server.stop();
}

}  // namespace
}  // namespace gyges::gateway
