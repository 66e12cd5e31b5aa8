#include "sandbox/network/gateway/name_guard.h"

#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <optional>

#include "sandbox/network/gateway/relayed_http.h"

namespace gyges::network {
namespace {

constexpr const char* token = "q7Jd0vXr2mLw9TzA";

// What a client of OpenSSL says first.
std::string client_hello(const char* name) {
  SSL_CTX* context = ::SSL_CTX_new(::TLS_client_method());
  SSL* ssl = ::SSL_new(context);
  ::SSL_set_tlsext_host_name(ssl, name);
  BIO* in = ::BIO_new(::BIO_s_mem());
  BIO* out = ::BIO_new(::BIO_s_mem());
  ::SSL_set_bio(ssl, in, out);
  ::SSL_connect(ssl);
  char* data = nullptr;
  long size = BIO_get_mem_data(out, &data);
  std::string bytes(data, static_cast<std::size_t>(size));
  ::SSL_free(ssl);
  ::SSL_CTX_free(context);
  return bytes;
}

std::string record(char type, const std::string& body) {
  std::string out{type, 3, 3, static_cast<char>(body.size() >> 8U), static_cast<char>(body.size())};
  return out + body;
}

// A guard for web.example, and what it and the record made of a client's bytes.
struct Watched {
  Watched() {
    rule_.domains = {"web.example", "*.web.example"};
    guard_.emplace(
        rule_, 80,
        [] {
          return std::vector<std::string>{"a.web.example", "web.example"};
        },
        NameGuard::Watch{[this](const RequestHead& head) { return http_.request(head, 1); },
                         [this](std::string_view bytes) { http_.request_body(bytes); },
                         [this](std::string_view name, std::string_view value) {
                           http_.request_trailer(name, value);
                         },
                         [this](std::string_view text) { http_.request_extension(text); },
                         [this](const RequestHead& head, const std::string& reason) {
                           http_.refused(head, reason, 1);
                         }});
  }
  // As the gateway does, piece by piece.
  std::string feed(std::string_view bytes, std::size_t piece = std::string::npos) {
    std::string passed;
    for (; !bytes.empty() && guard_->refusal().empty();
         bytes.remove_prefix(std::min(piece, bytes.size()))) {
      std::string_view ready = guard_->feed(bytes.substr(0, piece));
      if (!ready.empty()) http_.passed();
      passed += ready;
    }
    return passed;
  }

  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  std::vector<Flow> flows_;
  CanarySet canaries_ = CanarySet::compile({{"key", token}}).value();
  SplitCanaries split_{canaries_};
  RelayedHttp http_{
      [this](Flow flow) { flows_.push_back(std::move(flow)); }, 1000, {canaries_, split_}};
  NetworkRule rule_;
  std::optional<NameGuard> guard_;
};

class NameGuardTest : public ::testing::Test, protected Watched {};

TEST_F(NameGuardTest, WhatNeverWentOnIsRecordedAsRefused) {
  EXPECT_EQ(feed("GET /one HTTP/1.1\r\nHost: web.example\r\n\r\n"
                 "GET /two HTTP/1.1\r\nHost: other.example\r\n\r\n"),
            "");
  http_.finish(2, guard_->refusal());
  ASSERT_EQ(flows_.size(), 2U);
  EXPECT_EQ(flows_[0].http->url, "http://other.example/two");
  EXPECT_EQ(flows_[1].http->url, "http://web.example/one");
  for (const Flow& flow : flows_) {
    EXPECT_EQ(flow.verdict, FlowVerdict::refused);
    EXPECT_EQ(flow.reason, "Host is no name of the rule");
  }
}

TEST_F(NameGuardTest, WhatWentOnIsRecordedAsRelayedWhateverComesAfterIt) {
  std::string first = "GET /one HTTP/1.1\r\nHost: a.web.example\r\n\r\n";
  EXPECT_EQ(feed(first), first);
  EXPECT_EQ(guard_->name(), "a.web.example");
  EXPECT_EQ(feed("GET /two HTTP/1.1\r\nHost: other.example\r\n\r\n"), "");
  http_.finish(2, guard_->refusal());
  ASSERT_EQ(flows_.size(), 2U);
  EXPECT_EQ(flows_[1].http->url, "http://a.web.example/one");
  EXPECT_EQ(flows_[1].verdict, FlowVerdict::relayed);
}

TEST_F(NameGuardTest, TokensAreFoundBesideAndAcrossChunks) {
  const std::string text = std::string("POST /") +
                           " HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "8;key=q7Jd0vXr2mLw9TzA\r\nq7Jd0vXr\r\n8\r\n2mLw9TzA\r\n0\r\n"
                           "X-Key: q7Jd0vXr2mLw9TzA\r\n\r\n";
  EXPECT_EQ(feed(text), text);
  http_.finish(2, "");
  ASSERT_EQ(flows_.size(), 1U);
  std::vector<std::string> places;
  for (const CanaryHit& hit : flows_[0].canaries) places.push_back(hit.place);
  EXPECT_EQ(places, (std::vector<std::string>{"http chunk extension", "http request body",
                                              "http trailer X-Key"}));
  EXPECT_EQ(flows_[0].http->request_headers.back().first, "X-Key");
}

// Lengths that another program would cut to its own size, and more beside one than a line holds.
TEST_F(NameGuardTest, ChunksThatCouldBeReadDifferentlyAreRefused) {
  const std::string head =
      "POST / HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string end = "\r\nhello\r\n0\r\n\r\n";
  for (const std::string& length :
       {std::string("10000000000000005"), std::string("+5"), std::string("0x5"), std::string("-5"),
        std::string("5 5"), std::string("5\n"), std::string("5;") + std::string(5000, 'e')}) {
    Watched wrong;
    EXPECT_EQ(wrong.feed(head + length + end), "") << length;
    EXPECT_NE(wrong.guard_->refusal(), "") << length;
  }
  Watched right;
  EXPECT_EQ(right.feed(head + "5;" + std::string(4000, 'e') + end),
            head + "5;" + std::string(4000, 'e') + end);
}

// An answer without a length ends with its connection. One that is cut short does not.
TEST_F(NameGuardTest, AnAnswerThatEndsWithItsConnectionIsWhole) {
  const std::string request = "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n";
  for (const char* length : {"", "Content-Length: 9\r\n"}) {
    Watched one;
    one.feed(request);
    one.http_.response("HTTP/1.0 200 OK\r\n" + std::string(length) + "\r\nhello", 2);
    one.http_.server_ended(3);
    one.http_.finish(4, "");
    ASSERT_EQ(one.flows_.size(), 1U);
    EXPECT_EQ(one.flows_[0].http->response_body.head, "hello");
    EXPECT_EQ(one.flows_[0].http->response_body.sha256.empty(), *length != '\0');
    EXPECT_EQ(one.flows_[0].duration_ns, *length == '\0' ? 2 : 3);
  }
}

TEST_F(NameGuardTest, ATokenCutOverHeadersIsFound) {
  feed("GET / HTTP/1.1\r\nHost: web.example\r\nX-A: q7Jd0v\r\nX-B: Xr2mLw9TzA\r\n\r\n");
  http_.finish(2, "");
  ASSERT_EQ(flows_.size(), 1U);
  ASSERT_EQ(flows_[0].canaries.size(), 1U);
  EXPECT_EQ(flows_[0].canaries[0].encoding, "split over headers, plain");
}

TEST_F(NameGuardTest, TrailersThatBelongIntoTheHeadAreRefused) {
  for (const char* field :
       {"Host: other.example", "Content-Length: 5", "Transfer-Encoding: chunked"}) {
    Watched fresh;
    std::string text = std::string(
                           "POST / HTTP/1.1\r\nHost: web.example\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n0\r\n") +
                       field + "\r\n\r\n";
    EXPECT_EQ(fresh.feed(text), "") << field;
    EXPECT_NE(fresh.guard_->refusal(), "") << field;
  }
  Watched other;
  std::string text =
      "POST / HTTP/1.1\r\nHost: web.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
      "X-Checksum: 5\r\n\r\n";
  EXPECT_EQ(other.feed(text), text);
}

TEST_F(NameGuardTest, ATargetWithAnotherPortIsRefused) {
  EXPECT_EQ(feed("GET http://web.example:8080/ HTTP/1.1\r\nHost: web.example\r\n\r\n"), "");
  EXPECT_NE(guard_->refusal().find("another port"), std::string::npos) << guard_->refusal();
  Watched same;
  std::string text = "GET http://web.example:80/ HTTP/1.1\r\nHost: web.example\r\n\r\n";
  EXPECT_EQ(same.feed(text), text);
}

// Everything that a client sends before its data, and a second ClientHello, in any pieces.
TEST_F(NameGuardTest, ASecondClientHelloMustNameTheSame) {
  const std::string early = record(20, "\1") + record(23, std::string(3000, 'e'));
  for (std::size_t piece : {std::size_t{1}, std::size_t{7}, std::string::npos}) {
    Watched same, other;
    std::string whole =
        client_hello("web.example") + early + client_hello("web.example") + record(23, "data");
    EXPECT_EQ(same.feed(whole, piece), whole) << piece;
    EXPECT_EQ(same.guard_->refusal(), "");
    std::string first = client_hello("web.example") + early;
    std::string passed = other.feed(first + client_hello("other.example"), piece);
    EXPECT_EQ(passed, piece == std::string::npos ? "" : first) << piece;
    EXPECT_NE(other.guard_->refusal().find("second ClientHello"), std::string::npos)
        << other.guard_->refusal();
  }
  // What TLS 1.2 encrypts is no ClientHello, and nothing waits for bytes that do not come.
  Watched finished;
  std::string whole = client_hello("a.web.example") + record(22, "\x10" + std::string(60, 'k')) +
                      record(20, "\1") + record(22, std::string("\1\x9f\x31\x07\x55\x88", 6)) +
                      record(22, std::string(40, '\2')) + record(21, std::string("\1\0", 2));
  EXPECT_EQ(finished.feed(whole, 3), whole);
  EXPECT_EQ(finished.guard_->refusal(), "");
}

}  // namespace
}  // namespace gyges::network
