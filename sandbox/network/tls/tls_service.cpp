#include "sandbox/network/tls/tls_service.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <map>

#include "sandbox/network/names/host_name.h"
#include "sandbox/network/tls/certificates.h"
#include "sandbox/network/tls/client_hello.h"

namespace gyges::network {
namespace {

constexpr std::int64_t handshake_timeout_ns = 60'000'000'000;
constexpr std::size_t record_head = 5;  // bytes

struct FreeBio {
  void operator()(BIO* bio) const { ::BIO_free_all(bio); }
};
struct FreeCertificate {
  void operator()(X509* certificate) const { ::X509_free(certificate); }
};
struct FreeKey {
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
struct FreeSsl {
  void operator()(SSL* ssl) const { ::SSL_free(ssl); }
};

struct Leaf {
  std::unique_ptr<X509, FreeCertificate> certificate;
  std::unique_ptr<EVP_PKEY, FreeKey> key;
};

tl::unexpected<Error> openssl_failure(std::string_view object) {
  char text[256] = "no reason given";
  if (unsigned long code = ::ERR_get_error(); code != 0)
    ::ERR_error_string_n(code, text, sizeof text);
  return fail("serve TLS", object, text, "report this as a defect");
}

std::string queued_error() {
  unsigned long code = ::ERR_peek_last_error();
  const char* reason = ::ERR_reason_error_string(code);
  ::ERR_clear_error();
  return reason == nullptr ? "the connection broke" : reason;
}

}  // namespace

struct Tls::State {
  const WorldData& world;
  const Zone& zone;
  const CanarySet* canaries;
  std::unique_ptr<SSL_CTX, FreeContext> context;
  std::map<std::string, Leaf, std::less<>> leaves;

  const Leaf* leaf_for(const std::string& host);
};

const Leaf* Tls::State::leaf_for(const std::string& host) {
  if (auto found = leaves.find(host); found != leaves.end()) return &found->second;
  if (leaves.size() >= most_certificates) leaves.clear();
  auto issued = issue_certificate(world.authority, world.seed, world.created_at, host);
  if (!issued) return nullptr;
  std::unique_ptr<BIO, FreeBio> certificate(::BIO_new_mem_buf(
      issued->certificate_pem.data(), static_cast<int>(issued->certificate_pem.size())));
  std::unique_ptr<BIO, FreeBio> key(
      ::BIO_new_mem_buf(issued->key_pem.data(), static_cast<int>(issued->key_pem.size())));
  Leaf leaf;
  leaf.certificate.reset(::PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr));
  leaf.key.reset(::PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
  if (!leaf.certificate || !leaf.key) return nullptr;
  return &leaves.emplace(host, std::move(leaf)).first->second;
}

namespace {

class TlsStream;

// What the service inside sees.
class InnerPort : public StreamPort {
 public:
  explicit InnerPort(TlsStream& outer) : outer_(outer) {}
  void send(std::string_view bytes) override;
  [[nodiscard]] std::size_t unsent() const override;
  [[nodiscard]] std::size_t step() const override;
  void pause(bool paused) override;
  void close() override;
  void reset() override;
  void wake_at(std::int64_t time_ns) override;
  [[nodiscard]] std::int64_t now_ns() const override;
  void record(Flow flow) override;
  void left(std::string_view bytes, bool searched) override;

 private:
  TlsStream& outer_;
};

class TlsStream : public StreamService {
 public:
  TlsStream(Tls::State& state, const Connection& connection, StreamPort& port, OpenInner open_inner,
            Tls::Protocols protocols)
      : state_(state),
        connection_(connection),
        port_(port),
        open_inner_(std::move(open_inner)),
        protocols_(protocols),
        inner_port_(*this),
        ssl_(::SSL_new(state.context.get())) {
    read_ = ::BIO_new(::BIO_s_mem());
    write_ = ::BIO_new(::BIO_s_mem());
    if (!ssl_ || read_ == nullptr || write_ == nullptr) {
      ::BIO_free(read_);
      ::BIO_free(write_);
      ssl_.reset();
      port_.reset();
      return;
    }
    BIO_set_mem_eof_return(read_, -1);  // empty means "more to come"
    ::SSL_set_bio(ssl_.get(), read_, write_);
    ::SSL_set_accept_state(ssl_.get());
    SSL_set_app_data(ssl_.get(), this);
    started_ = port_.now_ns();
    port_.wake_at(started_ + handshake_timeout_ns);
  }

  ~TlsStream() override {
    if (ssl_ && !inner_ && received_bytes_ > 0)
      fail_with("the connection ended in the middle of the handshake");
    if (!ssl_ || !inner_) return;
    // What waited, and a record that has no end or only looks like one.
    const std::string rest = meaning({});
    port_.left(rest + unread_, is_searched());
  }

  void received(std::string_view bytes) override {
    if (!ssl_ || finished_) return port_.left(meaning(bytes), is_searched());
    received_bytes_ += bytes.size();
    if (hello_.size() < most_hello) hello_ += bytes.substr(0, most_hello - hello_.size());
    if (!take(bytes)) return fail_with("out of memory");
    pump();
    // Decrypted, or about to be, or never.
    if (inner_ && (finished_ || undecryptable_)) port_.left(meaning({}), is_searched());
  }

  std::string meaning(std::string_view bytes) override {
    if (!ssl_ || !inner_) return std::string(bytes);
    std::string plain;
    char buffer[16384];
    // Memory takes everything; where it does not, nothing can be kept either.
    for (bool more = take(bytes); more && !undecryptable_;) {
      int size = ::SSL_read(ssl_.get(), buffer, sizeof buffer);
      more = size > 0;
      if (more)
        plain.append(buffer, static_cast<std::size_t>(size));
      else
        (void)read_on(size);
    }
    forget_read();
    plain = inner_->meaning(plain);
    if (undecryptable_) plain += std::exchange(unread_, {});
    return plain;
  }

  [[nodiscard]] bool is_searched() const override { return !inner_ || inner_->is_searched(); }

  void drained() override {
    if (inner_) inner_->drained();
  }

  void ended() override {
    if (finished_) return;
    if (inner_) return inner_->ended();
    fail_with("the client closed in the middle of the handshake");
  }

  void woken() override {
    if (inner_ && resume_) {
      resume_ = false;
      pump();
      if (!finished_) inner_->woken();  // it finds its own deadline not yet there, and sets it anew
      return;
    }
    if (inner_) return inner_->woken();
    if (!finished_) fail_with("the handshake did not come within 60 s");
  }

  [[nodiscard]] Tls::Protocols protocols() const { return protocols_; }
  void refuse_protocols() { only_http2_ = true; }

  const Leaf* leaf_of_hello() {
    // Without a server name, or with one that this parser refuses or that lives elsewhere: the host
    // of the address, as servers do. A certificate for any name would show who issues it. What is
    // intercepted is known to its destination alone.
    std::string host = sni_;
    if (protocols_ == Tls::Protocols::all && !lives_here(host)) host.clear();
    if (host.empty()) host = connection_.name;
    if (host.empty()) {
      auto hosts = state_.zone.hosts_at(unmapped(connection_.destination.address));
      host = hosts.empty() ? to_string(unmapped(connection_.destination.address)) : hosts.front();
    }
    return state_.leaf_for(host);
  }
  [[nodiscard]] bool lives_here(const std::string& host) const {
    if (host == connection_.name) return true;
    const auto addresses = state_.zone.addresses_of(host);
    return std::find(addresses.begin(), addresses.end(),
                     unmapped(connection_.destination.address)) != addresses.end();
  }
  bool take_sni(std::string_view name) {
    Host host;
    if (parse_host(name, host) != HostFault::none || host.address) return false;
    sni_ = host.text;
    return true;
  }

 private:
  friend class InnerPort;
  static constexpr std::size_t most_hello = 4096;

  // For OpenSSL to read; false where memory is wanting.
  bool take(std::string_view bytes) {
    ::ERR_clear_error();
    unread_ += bytes;
    if (undecryptable_) return true;
    while (!bytes.empty()) {
      int taken = ::BIO_write(read_, bytes.data(), static_cast<int>(bytes.size()));
      if (taken <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(taken));
    }
    return true;
  }

  [[nodiscard]] std::size_t waiting() const { return static_cast<std::size_t>(BIO_pending(read_)); }

  // How many of the bytes in unread_ are of records before the one in which OpenSSL stands, which
  // has its last byte, too, where `at_end`.
  [[nodiscard]] std::size_t bytes_before_record(bool at_end) const {
    const std::size_t taken = unread_.size() - waiting();
    std::size_t start = 0;
    for (;;) {
      if (start + record_head > unread_.size()) return start;
      auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(unread_[start + i]); };
      const std::size_t end =
          start + record_head + (static_cast<std::size_t>(byte(3)) << 8U | byte(4));
      if (end > taken || (at_end && end == taken)) return start;
      start = end;
    }
  }

  void forget_read() {
    if (!undecryptable_) unread_ = unread_.substr(bytes_before_record(false));
  }

  // After an SSL_read() that gave nothing: false when it never will again. What comes from then on
  // stays as it is, beginning with the record that could not be read; the client's own end is
  // none.
  bool read_on(int result) {
    const int error = ::SSL_get_error(ssl_.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return true;
    if (undecryptable_) return false;
    undecryptable_ = true;
    closed_by_peer_ = error == SSL_ERROR_ZERO_RETURN;
    unread_ =
        unread_.substr(closed_by_peer_ ? unread_.size() - waiting() : bytes_before_record(true));
    (void)BIO_reset(read_);
    ::ERR_clear_error();
    return false;
  }

  void pump() {
    if (!inner_) {
      int code = ::SSL_do_handshake(ssl_.get());
      flush();
      if (code != 1) {
        int error = ::SSL_get_error(ssl_.get(), code);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return forget_read();
        std::string reason = queued_error();
        return fail_with(only_http2_ ? "the client speaks HTTP/2 alone, which is not intercepted"
                                     : std::move(reason));
      }
      established();
      if (!inner_) return;
    }
    char buffer[16384];
    while (!finished_ && !paused_ && !undecryptable_) {
      int size = ::SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (size > 0) {
        inner_->received({buffer, static_cast<std::size_t>(size)});
        continue;
      }
      if (read_on(size)) break;
      if (closed_by_peer_) {
        inner_->ended();
        break;
      }
      finished_ = true;
      flush();
      port_.close();
      return;
    }
    forget_read();
    flush();
  }

  void established() {
    const unsigned char* protocol = nullptr;
    unsigned size = 0;
    ::SSL_get0_alpn_selected(ssl_.get(), &protocol, &size);
    facts_.alpn.assign(reinterpret_cast<const char*>(protocol), size);
    facts_.sni = sni_;
    std::string version = ::SSL_get_version(ssl_.get());  // "TLSv1.3"
    facts_.version = version.starts_with("TLSv") ? version.substr(4) : version;
    if (facts_.version == "1") facts_.version = "1.0";
    Flow flow = handshake_flow(FlowVerdict::simulated, {});
    search_hello(flow);
    port_.record(std::move(flow));
    inner_ = open_inner_(connection_, facts_, inner_port_);
    if (inner_) return;
    finished_ = true;
    ::SSL_shutdown(ssl_.get());
    flush();
    port_.close();
  }

  // The server name and whatever else a ClientHello carries.
  void search_hello(Flow& flow) const {
    if (state_.canaries == nullptr) return;
    find_canaries(*state_.canaries, sni_, "tls server name", flow.canaries);
    if (flow.canaries.empty())
      find_canaries(*state_.canaries, hello_, "tls handshake", flow.canaries);
  }

  Flow handshake_flow(FlowVerdict verdict, std::string reason) {
    Flow flow;
    flow.protocol = FlowProtocol::tls;
    flow.verdict = verdict;
    flow.reason = std::move(reason);
    flow.time_ns = started_;
    flow.duration_ns = port_.now_ns() - started_;
    flow.sent_bytes = received_bytes_;
    flow.sni = facts_.sni;
    flow.alpn = facts_.alpn;
    flow.tls = facts_.version;
    if (!sni_.empty()) flow.name = sni_;
    return flow;
  }

  void fail_with(std::string reason) {
    if (finished_) return;
    finished_ = true;
    ClientHello hello;
    if (read_client_hello(hello_, hello) == HelloState::whole) {
      facts_.sni = hello.sni;
      facts_.version = hello.version;
      if (!hello.alpn.empty()) facts_.alpn = hello.alpn.front();
    }
    Flow flow = handshake_flow(FlowVerdict::refused, std::move(reason));
    search_hello(flow);
    flow.sent.head = hello_;
    flow.sent.size = received_bytes_;
    port_.record(std::move(flow));
    flush();  // the alert
    port_.close();
  }

  // Out of the memory that OpenSSL wrote to.
  void flush() {
    char* data = nullptr;
    long size = BIO_get_mem_data(write_, &data);
    if (size <= 0) return;
    port_.send({data, static_cast<std::size_t>(size)});
    (void)BIO_reset(write_);
  }

  Tls::State& state_;
  Connection connection_;
  StreamPort& port_;
  OpenInner open_inner_;
  Tls::Protocols protocols_;
  InnerPort inner_port_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  BIO* read_ = nullptr;  // both belong to ssl_
  BIO* write_ = nullptr;
  std::unique_ptr<StreamService> inner_;
  TlsFacts facts_;
  std::string sni_;
  std::string hello_;
  std::int64_t started_ = 0;
  std::uint64_t received_bytes_ = 0;
  // What came, from the beginning of the record that is being read; once nothing more can be
  // decrypted, all that is not handed over yet.
  std::string unread_;
  bool undecryptable_ = false, closed_by_peer_ = false;
  bool finished_ = false, paused_ = false, only_http2_ = false;
  bool resume_ = false;  // decrypted bytes wait for the next wake
};

void InnerPort::send(std::string_view bytes) {
  while (!bytes.empty() && !outer_.finished_) {
    int size = static_cast<int>(std::min<std::size_t>(bytes.size(), 1U << 20U));
    int taken = ::SSL_write(outer_.ssl_.get(), bytes.data(), size);
    if (taken <= 0) {  // memory takes everything; only a broken session gets here
      queued_error();
      outer_.finished_ = true;
      outer_.port_.reset();
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(taken));
    outer_.flush();
  }
}
std::size_t InnerPort::unsent() const {
  return outer_.port_.unsent();
}
std::size_t InnerPort::step() const {
  return outer_.port_.step();
}
void InnerPort::pause(bool paused) {
  bool resumed = outer_.paused_ && !paused;
  outer_.paused_ = paused;
  outer_.port_.pause(paused);
  // What was already decrypted waits in OpenSSL.
  if (resumed && ::SSL_pending(outer_.ssl_.get()) + BIO_pending(outer_.read_) > 0) {
    outer_.resume_ = true;
    outer_.port_.wake_at(outer_.port_.now_ns());
  }
}
void InnerPort::close() {
  if (outer_.finished_) return;
  ::SSL_shutdown(outer_.ssl_.get());
  outer_.flush();
  outer_.finished_ = true;
  outer_.port_.close();
}
void InnerPort::reset() {
  outer_.finished_ = true;
  outer_.port_.reset();
}
void InnerPort::wake_at(std::int64_t time_ns) {
  outer_.port_.wake_at(time_ns);
}
std::int64_t InnerPort::now_ns() const {
  return outer_.port_.now_ns();
}
void InnerPort::record(Flow flow) {
  outer_.port_.record(std::move(flow));
}
void InnerPort::left(std::string_view bytes, bool searched) {
  outer_.port_.left(bytes, searched);
}

// The name in this very ClientHello. A session that is taken up again has one of its own, which
// need not be the same, and chooses no certificate.
int read_server_name(SSL* ssl, int* alert, void*) {
  auto* stream = static_cast<TlsStream*>(SSL_get_app_data(ssl));
  const unsigned char* list = nullptr;
  std::size_t size = 0;
  if (::SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &list, &size) != 1)
    return SSL_CLIENT_HELLO_SUCCESS;
  // Length of the list, type of the name, its length (RFC 6066); more than one name is refused.
  constexpr std::size_t head = 5;
  const std::string_view bytes(reinterpret_cast<const char*>(list), size);
  if (size > head && list[2] == TLSEXT_NAMETYPE_host_name &&
      (static_cast<std::size_t>(list[0]) << 8U | list[1]) == size - 2 &&
      (static_cast<std::size_t>(list[3]) << 8U | list[4]) == size - head &&
      stream->take_sni(bytes.substr(head)))
    return SSL_CLIENT_HELLO_SUCCESS;
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return SSL_CLIENT_HELLO_ERROR;
}

int choose_certificate(SSL* ssl, void*) {
  auto* stream = static_cast<TlsStream*>(SSL_get_app_data(ssl));
  const Leaf* leaf = stream->leaf_of_hello();
  if (leaf == nullptr) return 0;
  return ::SSL_use_certificate(ssl, leaf->certificate.get()) == 1 &&
                 ::SSL_use_PrivateKey(ssl, leaf->key.get()) == 1
             ? 1
             : 0;
}

bool offers_http2(std::basic_string_view<unsigned char> list) {
  while (!list.empty()) {
    std::size_t size = std::min<std::size_t>(list[0], list.size() - 1);
    if (size == 2 && list[1] == 'h' && list[2] == '2') return true;
    list.remove_prefix(size + 1);
  }
  return false;
}

int choose_protocol(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                    const unsigned char* offered, unsigned offered_size, void*) {
  static constexpr unsigned char all[] = "\x02h2\x08http/1.1";
  constexpr unsigned first = 3;  // of "h2"
  auto* stream = static_cast<TlsStream*>(SSL_get_app_data(ssl));
  bool some = stream->protocols() == Tls::Protocols::http1;
  const unsigned char* ours = some ? all + first : all;
  unsigned size = static_cast<unsigned>(sizeof all - 1) - (some ? first : 0);
  unsigned char* chosen = nullptr;
  if (::SSL_select_next_proto(&chosen, out_size, ours, size, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    if (!some || !offers_http2({offered, offered_size})) return SSL_TLSEXT_ERR_NOACK;
    stream->refuse_protocols();
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

Tls::Tls(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tls::~Tls() = default;

Result<std::unique_ptr<Tls>> Tls::create(const WorldData& world, const Zone& zone,
                                         const CanarySet* canaries) {
  std::unique_ptr<State> state(
      new State{world,
                zone,
                canaries,
                std::unique_ptr<SSL_CTX, FreeContext>(::SSL_CTX_new(::TLS_server_method())),
                {}});
  SSL_CTX* context = state->context.get();
  if (context == nullptr) return openssl_failure("context");
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
  // Sessions would have to be remembered; tickets need nothing.
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_client_hello_cb(context, read_server_name, nullptr);
  ::SSL_CTX_set_cert_cb(context, choose_certificate, nullptr);
  ::SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  return std::unique_ptr<Tls>(new Tls(std::move(state)));
}

std::unique_ptr<StreamService> Tls::open_stream(const Connection& connection, StreamPort& port,
                                                OpenInner open_inner, Protocols protocols) {
  return std::make_unique<TlsStream>(*state_, connection, port, std::move(open_inner), protocols);
}

}  // namespace gyges::network
