#include "sandbox/network/tls/tls_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "sandbox/network/http/handed_out_http1.h"
#include "sandbox/network/http/http2_service.h"
#include "sandbox/network/tls/certificates.h"
#include "sandbox/network/tls/client_hello.h"
#include "tests/sandbox/network/web_fixture.h"

namespace gyges::network {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A client that trusts one authority and speaks over memory.
class Client {
 public:
  Client(const std::string& authority_pem, const char* name, std::string alpn) {
    context_ = ::SSL_CTX_new(::TLS_client_method());
    BIO* pem = ::BIO_new_mem_buf(authority_pem.data(), static_cast<int>(authority_pem.size()));
    X509* authority = ::PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
    ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(context_), authority);
    // The certificates of the fixture are of its own time.
    X509_VERIFY_PARAM* parameters = ::SSL_CTX_get0_param(context_);
    ::X509_VERIFY_PARAM_set_time(parameters, 1'760'000'000);
    ::X509_free(authority);
    ::BIO_free(pem);
    ::SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    ssl_ = ::SSL_new(context_);
    if (name != nullptr) {
      ::SSL_set_tlsext_host_name(ssl_, name);
      ::SSL_set1_host(ssl_, name);
    }
    if (!alpn.empty())
      ::SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(alpn.data()),
                            static_cast<unsigned>(alpn.size()));
    in_ = ::BIO_new(::BIO_s_mem());
    out_ = ::BIO_new(::BIO_s_mem());
    ::SSL_set_bio(ssl_, in_, out_);
    ::SSL_set_connect_state(ssl_);
  }
  ~Client() {
    ::SSL_free(ssl_);
    ::SSL_CTX_free(context_);
  }
  // One round; what is to be sent.
  std::string step(std::string_view from_server) {
    if (!from_server.empty())
      ::BIO_write(in_, from_server.data(), static_cast<int>(from_server.size()));
    if (!done_) done_ = ::SSL_do_handshake(ssl_) == 1;
    char buffer[16384];
    for (int size = 0; done_ && (size = ::SSL_read(ssl_, buffer, sizeof buffer)) > 0;)
      received.append(buffer, static_cast<std::size_t>(size));
    return flush();
  }
  std::string write(std::string_view bytes) {
    ::SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
    return flush();
  }
  std::string flush() {
    char* data = nullptr;
    long size = BIO_get_mem_data(out_, &data);
    std::string bytes(data, static_cast<std::size_t>(size));
    (void)BIO_reset(out_);
    return bytes;
  }
  bool done_ = false;
  std::string received;
  SSL* ssl_;

 private:
  SSL_CTX* context_;
  BIO *in_, *out_;
};

class TlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    web.data.authority =
        make_authority(3, web.data.created_at, "Example Shipping", "Example Root").value();
    tls = Tls::create(web.data, web.zone).value();
    web.connection.destination.port = 443;
    service = tls->open_stream(
        web.connection, port,
        [this](const Connection& connection, const TlsFacts& facts, StreamPort& inner) {
          return facts.alpn == "h2" ? make_http2(web.shared, connection, facts, inner)
                                    : make_http1(web.shared, connection, &facts, inner);
        });
  }
  bool shake(Client& client) {
    std::string to_server = client.step({});
    for (int round = 0; round < 6; ++round) {
      if (!to_server.empty()) service->received(to_server);
      to_server = client.step(port.take());
    }
    if (!to_server.empty()) service->received(to_server);
    return client.done_;
  }
  void exchange(Client& client, std::string_view bytes) {
    std::string to_server = client.write(bytes);
    for (int round = 0; round < 4; ++round) {
      if (!to_server.empty()) service->received(to_server);
      to_server = client.step(port.take());
    }
  }
  testing::WebFixture web;
  std::unique_ptr<Tls> tls;
  testing::ScriptedPort port;
  std::unique_ptr<StreamService> service;
};

TEST_F(TlsTest, ServesHttp1UnderATrustedName) {
  Client client(web.data.authority.certificate_pem, "web.example", "\x08http/1.1");
  ASSERT_TRUE(shake(client));
  exchange(client, "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n");
  EXPECT_THAT(client.received, StartsWith("HTTP/1.1 200"));
  ASSERT_EQ(port.flows.size(), 2U);
  EXPECT_EQ(port.flows[0].protocol, FlowProtocol::tls);
  EXPECT_EQ(port.flows[0].sni, "web.example");
  EXPECT_EQ(port.flows[0].tls, "1.3");
  EXPECT_EQ(port.flows[1].http->url, "https://web.example/");
  EXPECT_EQ(port.flows[1].alpn, "http/1.1");
}

constexpr const char* closing_request =
    "GET / HTTP/1.1\r\nHost: web.example\r\nConnection: close\r\n\r\n";

// Once nothing can be decrypted any more, what comes is what it is.
TEST_F(TlsTest, WhatCannotBeDecryptedIsHandedOverAsItIs) {
  const std::string token = "s3cr3tTokenValue42";
  const std::string no_end = std::string("\x17\x03\x03\x40\x00", 5) + token;
  enum class Before { close_notify, nothing, broken_record };
  for (Before before : {Before::close_notify, Before::nothing, Before::broken_record})
    for (bool together : {true, false})
      for (const std::string& said : {std::string(), token, no_end}) {
        SCOPED_TRACE(std::to_string(static_cast<int>(before)) + (together ? " at once " : " ") +
                     said);
        port = {};
        SetUp();
        Client client(web.data.authority.certificate_pem, "web.example", "\x08http/1.1");
        ASSERT_TRUE(shake(client));
        const std::string request = client.write(closing_request);
        std::string end;
        if (before == Before::close_notify) {
          ::SSL_shutdown(client.ssl_);
          end = client.flush();
          ASSERT_FALSE(end.empty());
        } else if (before == Before::broken_record) {
          end = client.write("something");
          end.back() = static_cast<char>(end.back() ^ 1);
        }
        if (together) {
          service->received(request + end + said);
        } else {
          service->received(request);
          ASSERT_TRUE(port.closed);
          for (char c : end + said)  // in any pieces
            port.left(service->meaning({&c, 1}), service->is_searched());
        }
        service.reset();
        EXPECT_EQ(port.unread, before == Before::broken_record ? end + said : said);
        EXPECT_TRUE(said.empty() || port.searched);
        EXPECT_EQ(port.flows.size(), 2U);
      }
}

class NoOutlet final : public Outlet {
 public:
  std::uint64_t open(const OutletRequest&, OutletListener&) override { return 0; }
  bool body(std::uint64_t, std::string_view) override { return true; }
  void end(std::uint64_t) override {}
  void close(std::uint64_t) override {}
  void took(std::uint64_t, std::size_t) override {}
};

TEST_F(TlsTest, WhatComesThroughATunnelBehindItsEndIsDecrypted) {
  NoOutlet outlet;
  service = make_handed_out_http1(
      web.shared, web.connection, nullptr, port, outlet,
      [this](const std::string&, std::uint16_t, StreamPort& inner) {
        return tls->open_stream(
            web.connection, inner,
            [this](const Connection& connection, const TlsFacts& facts, StreamPort& inmost) {
              return make_http1(web.shared, connection, &facts, inmost);
            });
      });
  service->received("CONNECT web.example:443 HTTP/1.1\r\nHost: web.example:443\r\n\r\n");
  EXPECT_THAT(port.take(), StartsWith("HTTP/1.1 200"));
  Client client(web.data.authority.certificate_pem, "web.example", "\x08http/1.1");
  ASSERT_TRUE(shake(client));
  exchange(client, closing_request);
  EXPECT_THAT(client.received, StartsWith("HTTP/1.1 200"));
  ASSERT_TRUE(port.closed);
  EXPECT_EQ(service->meaning(client.write("s3cr3tTokenValue42")), "s3cr3tTokenValue42");
  EXPECT_TRUE(service->is_searched());
}

TEST_F(TlsTest, TheHostMustBeTheServerName) {
  Client client(web.data.authority.certificate_pem, "web.example", "");
  ASSERT_TRUE(shake(client));
  exchange(client, "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
  EXPECT_THAT(client.received, StartsWith("HTTP/1.1 421"));
  EXPECT_EQ(port.flows.back().reason, "the host of the request is not the TLS server name");
}

// A certificate for whatever is asked for would tell whose authority it is.
TEST_F(TlsTest, ANameThatDoesNotLiveHereGetsNoCertificate) {
  Client client(web.data.authority.certificate_pem, "bank.example", "");
  ::SSL_set_verify(client.ssl_, SSL_VERIFY_NONE, nullptr);  // it is looked at below
  ASSERT_TRUE(shake(client));
  X509* shown = ::SSL_get0_peer_certificate(client.ssl_);
  ASSERT_NE(shown, nullptr);
  EXPECT_EQ(::X509_check_host(shown, "bank.example", 0, 0, nullptr), 0);
  EXPECT_EQ(::X509_check_host(shown, "web.example", 0, 0, nullptr), 1);
}

TEST_F(TlsTest, AnotherAuthorityIsNotTrusted) {
  auto other = make_authority(4, web.data.created_at, "Example Shipping", "Example Root").value();
  Client client(other.certificate_pem, "web.example", "");
  EXPECT_FALSE(shake(client));
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_EQ(port.flows[0].verdict, FlowVerdict::refused);
  EXPECT_EQ(port.flows[0].sni, "web.example");
}

struct Http2Client {
  std::string out, body, status;
  nghttp2_session* session = nullptr;
};

TEST_F(TlsTest, SpeaksHttp2) {
  Client client(web.data.authority.certificate_pem, "web.example", "\x02h2");
  ASSERT_TRUE(shake(client));
  Http2Client state;
  nghttp2_session_callbacks* callbacks = nullptr;
  ::nghttp2_session_callbacks_new(&callbacks);
  ::nghttp2_session_callbacks_set_on_header_callback(
      callbacks,
      [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t size,
         const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* data) {
        if (std::string_view(reinterpret_cast<const char*>(name), size) == ":status")
          static_cast<Http2Client*>(data)->status.assign(reinterpret_cast<const char*>(value),
                                                         value_size);
        return 0;
      });
  ::nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t, const std::uint8_t* bytes,
                    std::size_t size, void* data) {
        static_cast<Http2Client*>(data)->body.append(reinterpret_cast<const char*>(bytes), size);
        return 0;
      });
  ::nghttp2_session_client_new(&state.session, callbacks, &state);
  ::nghttp2_session_callbacks_del(callbacks);
  ::nghttp2_submit_settings(state.session, 0, nullptr, 0);
  std::vector<std::pair<std::string, std::string>> fields = {{":method", "GET"},
                                                             {":scheme", "https"},
                                                             {":authority", "web.example"},
                                                             {":path", "/big.bin"}};
  std::vector<nghttp2_nv> list;
  for (auto& [name, value] : fields)
    list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                    reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(), 0});
  ::nghttp2_submit_request(state.session, nullptr, list.data(), list.size(), nullptr, nullptr);
  for (int round = 0; round < 40; ++round) {
    const std::uint8_t* bytes = nullptr;
    std::string to_server;
    for (ssize_t size = 0; (size = ::nghttp2_session_mem_send(state.session, &bytes)) > 0;)
      to_server.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    if (!to_server.empty()) exchange(client, to_server);
    if (client.received.empty()) break;
    ASSERT_GE(::nghttp2_session_mem_recv(
                  state.session, reinterpret_cast<const std::uint8_t*>(client.received.data()),
                  client.received.size()),
              0);
    client.received.clear();
  }
  ::nghttp2_session_del(state.session);
  EXPECT_EQ(state.status, "200");
  EXPECT_EQ(state.body.size(), 300000U);
  ASSERT_EQ(port.flows.size(), 2U);
  EXPECT_EQ(port.flows[1].http->version, "2");
  EXPECT_EQ(port.flows[1].http->url, "https://web.example/big.bin");
  EXPECT_EQ(port.flows[1].http->response_body.size, 300000U);
}

TEST_F(TlsTest, GarbageAndSilenceEnd) {
  service->received("GET / HTTP/1.1\r\nHost: web.example\r\n\r\n");
  EXPECT_TRUE(port.closed);
  ASSERT_EQ(port.flows.size(), 1U);
  EXPECT_EQ(port.flows[0].verdict, FlowVerdict::refused);
  EXPECT_THAT(port.flows[0].sent.head, StartsWith("GET"));
  testing::ScriptedPort silent;
  auto idle = tls->open_stream(web.connection, silent, {});
  idle->received(std::string("\x16\x03\x01\x02", 4));
  silent.run_timers(*idle, 1);
  EXPECT_TRUE(silent.closed);
  EXPECT_EQ(silent.flows.at(0).reason, "the handshake did not come within 60 s");
}

TEST_F(TlsTest, ClientHelloIsReadInAnyPieces) {
  Client client(web.data.authority.certificate_pem, "Web.Example",
                std::string("\x02h2\x08http/1.1"));
  std::string bytes = client.step({});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ClientHello hello;
    ASSERT_EQ(read_client_hello(std::string_view(bytes).substr(0, size), hello),
              HelloState::need_more)
        << size;
  }
  ClientHello hello;
  ASSERT_EQ(read_client_hello(bytes, hello), HelloState::whole);
  EXPECT_EQ(hello.sni, "web.example");
  EXPECT_EQ(hello.version, "1.3");
  EXPECT_THAT(hello.alpn, ::testing::ElementsAre("h2", "http/1.1"));
  EXPECT_FALSE(hello.ech);
  EXPECT_EQ(read_client_hello("GET / HTTP/1.1\r\n", hello), HelloState::not_tls);
  // Over two records.
  std::string first = bytes.substr(5, 40);
  std::string second = bytes.substr(45);
  auto record = [](const std::string& part) {
    return std::string("\x16\x03\x01", 3) + static_cast<char>(part.size() >> 8U) +
           static_cast<char>(part.size() & 0xffU) + part;
  };
  ASSERT_EQ(read_client_hello(record(first) + record(second), hello), HelloState::whole);
  EXPECT_EQ(hello.sni, "web.example");
}

TEST(Certificates, DependOnTheSeedAlone) {
  auto one = make_authority(5, 1'760'000'000, "A", "A Root").value();
  auto two = make_authority(5, 1'760'000'000, "A", "A Root").value();
  EXPECT_EQ(one.certificate_pem, two.certificate_pem);
  EXPECT_NE(one.certificate_pem, make_authority(6, 1'760'000'000, "A", "A Root")->certificate_pem);
  auto leaf = issue_certificate(one, 5, 1'760'000'000, "a.example").value();
  EXPECT_EQ(leaf.certificate_pem,
            issue_certificate(one, 5, 1'760'000'000, "a.example")->certificate_pem);
  EXPECT_EQ(subject_hash(one.certificate_pem)->size(), 8U);
  EXPECT_TRUE(issue_certificate(one, 5, 1'760'000'000, "192.0.2.1"));
  EXPECT_FALSE(issue_certificate(one, 5, 1'760'000'000, "a b"));
}

}  // namespace
}  // namespace gyges::network
