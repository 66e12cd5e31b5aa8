#include "sandbox/network/tls/tls_client.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "sandbox/network/address.h"

namespace gyges::network {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace

struct TlsTrust::State {
  std::unique_ptr<SSL_CTX, Freed<::SSL_CTX_free>> context;
};

TlsTrust::TlsTrust(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsTrust::~TlsTrust() = default;

Result<std::unique_ptr<TlsTrust>> TlsTrust::create(std::string_view bundle) {
  auto state = std::make_unique<State>();
  state->context.reset(::SSL_CTX_new(::TLS_client_method()));
  std::unique_ptr<BIO, Freed<::BIO_free_all>> text(
      ::BIO_new_mem_buf(bundle.data(), static_cast<int>(bundle.size())));
  if (!state->context || !text) return fail("trust authorities", "", "OpenSSL has no memory");
  X509_STORE* store = ::SSL_CTX_get_cert_store(state->context.get());
  std::size_t count = 0;
  for (;;) {
    std::unique_ptr<X509, Freed<::X509_free>> certificate(
        ::PEM_read_bio_X509(text.get(), nullptr, nullptr, nullptr));
    if (!certificate) break;
    if (::X509_STORE_add_cert(store, certificate.get()) == 1) ++count;
  }
  ::ERR_clear_error();
  if (count == 0) return fail("trust authorities", "", "the list holds no certificate");
  ::SSL_CTX_set_min_proto_version(state->context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_verify(state->context.get(), SSL_VERIFY_PEER, nullptr);
  ::SSL_CTX_set_mode(state->context.get(), SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_options(state->context.get(), SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_session_cache_mode(state->context.get(), SSL_SESS_CACHE_OFF);
  return std::unique_ptr<TlsTrust>(new TlsTrust(std::move(state)));
}

struct TlsClient::State {
  Events events;
  std::unique_ptr<SSL, Freed<::SSL_free>> ssl;
  BIO* read = nullptr;  // both belong to ssl
  BIO* write = nullptr;
  bool open = false, over = false, server_done = false;

  void flush() {
    char* data = nullptr;
    long size = BIO_get_mem_data(write, &data);
    if (size <= 0) return;
    std::string bytes(data, static_cast<std::size_t>(size));
    (void)BIO_reset(write);
    events.to_server(bytes);
  }
  void fail(std::string reason) {
    if (over) return;
    over = true;
    events.failed(std::move(reason));
  }
  void server_says_no_more() {
    if (server_done || over) return;
    server_done = true;
    events.ended();
  }
  [[nodiscard]] std::string failure() const {
    long verified = ::SSL_get_verify_result(ssl.get());
    if (verified != X509_V_OK)
      return std::string("the certificate of the destination is not good: ") +
             ::X509_verify_cert_error_string(verified);
    const char* reason = ::ERR_reason_error_string(::ERR_peek_last_error());
    ::ERR_clear_error();
    return std::string("TLS with the destination failed: ") +
           (reason == nullptr ? "the connection broke" : reason);
  }

  void pump() {
    if (over) return;
    if (!open) {
      ::ERR_clear_error();
      int code = ::SSL_do_handshake(ssl.get());
      if (code != 1) {
        int error = ::SSL_get_error(ssl.get(), code);
        std::string reason = failure();
        flush();  // an alert tells the server
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) fail(std::move(reason));
        return;
      }
      open = true;
      flush();
      events.opened();
    }
    char buffer[16384];
    while (!over) {
      ::ERR_clear_error();
      int size = ::SSL_read(ssl.get(), buffer, sizeof buffer);
      if (size > 0) {
        events.plain({buffer, static_cast<std::size_t>(size)});
        continue;
      }
      int error = ::SSL_get_error(ssl.get(), size);
      if (error == SSL_ERROR_ZERO_RETURN)
        server_says_no_more();
      else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        fail(failure());
      break;
    }
    if (!over) flush();
  }
};

TlsClient::TlsClient(const TlsTrust& trust, const std::string& host, Events events)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.events = std::move(events);
  state.ssl.reset(::SSL_new(trust.state().context.get()));
  state.read = ::BIO_new(::BIO_s_mem());
  state.write = ::BIO_new(::BIO_s_mem());
  if (!state.ssl || state.read == nullptr || state.write == nullptr) {
    ::BIO_free(state.read);
    ::BIO_free(state.write);
    state.ssl.reset();
    return;
  }
  BIO_set_mem_eof_return(state.read, -1);  // empty means "more to come"
  ::SSL_set_bio(state.ssl.get(), state.read, state.write);
  ::SSL_set_connect_state(state.ssl.get());
  X509_VERIFY_PARAM* wanted = ::SSL_get0_param(state.ssl.get());
  bool set = false;
  if (parse_address(host)) {
    set = ::X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1;
  } else {
    ::X509_VERIFY_PARAM_set_hostflags(wanted, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    set = ::X509_VERIFY_PARAM_set1_host(wanted, host.data(), host.size()) == 1 &&
          SSL_set_tlsext_host_name(state.ssl.get(), host.c_str()) == 1;
  }
  static constexpr unsigned char offered[] = "\x08http/1.1";
  // Nought is success here.
  if (!set || ::SSL_set_alpn_protos(state.ssl.get(), offered, sizeof offered - 1) != 0)
    state.ssl.reset();
}

TlsClient::~TlsClient() = default;

void TlsClient::start() {
  if (!state_->ssl) return state_->fail("TLS with the destination could not be set up");
  state_->pump();
}

void TlsClient::received(std::string_view bytes) {
  if (!state_->ssl || state_->over) return;
  while (!bytes.empty()) {
    int size = static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 20U));
    int taken = ::BIO_write(state_->read, bytes.data(), size);
    if (taken <= 0) return state_->fail("out of memory");
    bytes.remove_prefix(static_cast<std::size_t>(taken));
  }
  state_->pump();
}

void TlsClient::server_ended() {
  if (!state_->open) return state_->fail("the destination closed in the middle of the handshake");
  state_->server_says_no_more();
}

void TlsClient::send(std::string_view plain) {
  while (!plain.empty() && !state_->over) {
    int size = static_cast<int>(std::min<std::size_t>(plain.size(), 1U << 20U));
    ::ERR_clear_error();
    int taken = ::SSL_write(state_->ssl.get(), plain.data(), size);
    if (taken <= 0) return state_->fail(state_->failure());
    plain.remove_prefix(static_cast<std::size_t>(taken));
    state_->flush();
  }
}

void TlsClient::end() {
  if (!state_->open || state_->over) return;
  ::SSL_shutdown(state_->ssl.get());
  ::ERR_clear_error();
  state_->flush();
}

bool TlsClient::is_open() const {
  return state_->open && !state_->over;
}

}  // namespace gyges::network
