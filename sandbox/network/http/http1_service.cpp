#include "sandbox/network/http/http1_service.h"

#include <algorithm>
#include <optional>

#include "sandbox/network/http/request_reader.h"
#include "sandbox/network/http/web_record.h"

namespace gyges::network {
namespace {

// The limits of nginx's defaults, which is what these services resemble.
constexpr std::int64_t head_timeout_ns = 60'000'000'000;
constexpr std::int64_t idle_timeout_ns = 75'000'000'000;
constexpr unsigned most_requests = 1000;
constexpr std::size_t most_unread = 65536;  // of following requests, while one is answered

class Http1 : public StreamService {
 public:
  Http1(const WebShared& shared, const Connection& connection, const TlsFacts* tls,
        StreamPort& port)
      : shared_(shared), connection_(connection), port_(port), reader_(events()) {
    if (tls != nullptr) tls_ = *tls;
    set_deadline(head_timeout_ns);
  }
  ~Http1() override {
    if (state_ == State::body)
      record_cut("the connection ended in the middle of the body");
    else if (record_)
      record_left();
    else
      record_begun_head();
    // Requests that waited for the end of this one.
    if (!finished_ && (state_ == State::delayed || state_ == State::sending)) leave_held();
  }

  void received(std::string_view bytes) override {
    if (finished_ || refused_) return port_.left(bytes, true);
    reader_.feed(bytes);
    if (state_ == State::delayed || state_ == State::sending)
      if (reader_.held_bytes() > most_unread) port_.pause(paused_ = true);
    // A head that trickles in does not move its deadline; a body does.
    if (state_ == State::body) set_deadline(head_timeout_ns);
  }

  void drained() override {
    if (state_ == State::sending) send_body();
  }

  void ended() override {
    peer_ended_ = true;
    if (state_ == State::body) record_cut("the client closed in the middle of the body");
    if (state_ == State::head) record_begun_head();
    if (state_ == State::head || state_ == State::body) finish();
  }

  void woken() override {
    if (finished_) return;
    if (state_ == State::delayed) return send_response();
    if (port_.now_ns() < deadline_) return port_.wake_at(deadline_);
    switch (state_) {
      case State::head:
        if (!reader_.between_requests())
          refuse({408, "the head did not come within 60 s", std::string(reader_.held())});
        else
          finish();
        return;
      case State::body:
        record_cut("the body stopped for 60 s");
        finish();
        return;
      default:  // the client does not read
        record_flow();
        finished_ = true;
        leave_held();
        port_.reset();
    }
  }

 private:
  enum class State { head, body, delayed, sending };

  RequestReader::Events events() {
    return {
        [this](RequestHead&& head) { on_head(std::move(head)); },
        [this](std::string_view bytes) { record_->body(bytes); },
        [this] { on_end(); },
        [this](const RequestReader::Fault& fault) { refuse(fault); },
        [this](std::string_view name, std::string_view value) { record_->trailer(name, value); },
        [this](std::string_view text) { record_->extension(text); }};
  }

  void set_deadline(std::int64_t after_ns) {
    deadline_ = port_.now_ns() + after_ns;
    port_.wake_at(deadline_);
  }

  void on_head(RequestHead&& head) {
    head_ = std::move(head);
    record_.emplace(shared_, tls_ ? &*tls_ : nullptr);
    record_->request(head_, port_.now_ns());
    state_ = State::body;
    if (head_.expects_continue && head_.has_body) port_.send("HTTP/1.1 100 Continue\r\n\r\n");
  }

  void on_end() {
    record_->request_ended(true);
    response_ =
        shared_.server.respond({connection_, tls_.has_value(), tls_ ? tls_->sni : ""}, head_);
    keep_ = head_.keep_alive && ++requests_ < most_requests && !peer_ended_ &&
            head_.method != "CONNECT";
    for (const auto& [name, value] : response_.headers)
      if (same_field(name, "Connection") && same_field(value, "close")) keep_ = false;
    if (response_.delay_ns > 0) {
      state_ = State::delayed;
      port_.wake_at(port_.now_ns() + response_.delay_ns);
      return;
    }
    send_response();
  }

  void send_response() {
    std::string head = "HTTP/1.1 " + std::to_string(response_.status) + " " +
                       status_text(response_.status) + "\r\n";
    bool closes = false;
    bool server = false;
    auto add = [&head](std::string_view name, std::string_view value) {
      head.append(name).append(": ").append(value).append("\r\n");
    };
    for (const auto& [name, value] : response_.headers) {
      if (!server && same_field(name, "Server")) {
        add(name, value);
        add("Date", http_date());
        server = true;
        continue;
      }
      closes = closes || same_field(name, "Connection");
      add(name, value);
    }
    if (!server) add("Date", http_date());
    std::string_view body = response_.content();
    bool none = response_.status == 204 || response_.status == 304 || response_.status < 200;
    if (!none) add("Content-Length", std::to_string(body.size()));
    if (!closes) add("Connection", keep_ ? "keep-alive" : "close");
    head += "\r\n";
    if (none || head_.method == "HEAD") body = {};
    record_->response(response_, body);
    unsent_ = body;
    state_ = State::sending;
    if (unsent_.size() <= std::min<std::size_t>(16384, port_.step())) {  // one packet, one call
      head += unsent_;
      unsent_ = {};
    }
    port_.send(head);
    set_deadline(idle_timeout_ns);
    send_body();
  }

  void send_body() {
    while (!unsent_.empty() && port_.unsent() < port_.step()) {
      std::string_view step = unsent_.substr(0, port_.step());
      port_.send(step);
      unsent_.remove_prefix(step.size());
      set_deadline(idle_timeout_ns);
    }
    if (!unsent_.empty()) return;
    record_flow();
    if (!keep_) return finish();
    state_ = State::head;
    set_deadline(idle_timeout_ns);
    if (paused_) port_.pause(paused_ = false);
    // The reader may call on_end() again before this returns, if the client sends on without
    // waiting; the loop is not a recursion as long as answers have no delay.
    if (continuing_) {
      again_ = true;
      return;
    }
    continuing_ = true;
    do {
      again_ = false;
      reader_.next();
    } while (again_ && !finished_);
    continuing_ = false;
    if (peer_ended_ && state_ == State::head) finish();
  }

  void refuse(const RequestReader::Fault& fault) {
    refused_ = true;
    if (!record_) record_.emplace(shared_, tls_ ? &*tls_ : nullptr);
    if (state_ == State::body) record_->request_ended(false);
    port_.left(record_->refused(fault.rest, fault.reason), true);
    response_ = shared_.server.reject(fault.status, fault.reason);
    head_ = {};
    keep_ = false;
    send_response();
  }

  void record_cut(std::string reason) {
    if (!record_) return;
    record_->request_ended(false);
    record_->refused({}, std::move(reason));
    record_flow();
  }

  // What was said of a request that never became one.
  void record_begun_head() {
    if (state_ != State::head || finished_ || refused_ || reader_.between_requests()) return;
    record_.emplace(shared_, tls_ ? &*tls_ : nullptr);
    port_.left(record_->refused(reader_.held(), "the connection ended in the middle of a head"),
               true);
    record_flow();
  }

  void record_left() {
    if (state_ == State::delayed) record_->left("the client left before it was answered");
    record_flow();
  }

  void record_flow() {
    if (!record_) return;
    port_.record(record_->finish(port_.now_ns()));
    record_.reset();
  }

  void finish() {
    if (finished_) return;
    finished_ = true;
    if (state_ == State::sending) leave_held();  // behind the last request
    port_.close();
  }

  void leave_held() {
    if (!refused_) port_.left(reader_.held(), true);  // otherwise it is on record
  }

  const WebShared& shared_;
  Connection connection_;
  StreamPort& port_;
  std::optional<TlsFacts> tls_;
  RequestReader reader_;
  State state_ = State::head;
  RequestHead head_;
  WebResponse response_;
  std::string_view unsent_;
  std::optional<WebRecord> record_;
  std::int64_t deadline_ = 0;
  unsigned requests_ = 0;
  bool keep_ = true, peer_ended_ = false, finished_ = false, paused_ = false;
  bool refused_ = false;  // nothing is read any more
  bool continuing_ = false, again_ = false;
};

}  // namespace

std::unique_ptr<StreamService> make_http1(const WebShared& shared, const Connection& connection,
                                          const TlsFacts* tls, StreamPort& port) {
  return std::make_unique<Http1>(shared, connection, tls, port);
}

}  // namespace gyges::network
