#include "sandbox/network/http/handed_out_http1.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <utility>

#include "sandbox/network/http/request_reader.h"
#include "sandbox/network/http/web_record.h"

namespace gyges::network {
namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t read_timeout = 60 * second;
constexpr std::int64_t idle_timeout = 120 * second;
// A model may think for long before its first word; the supervisor has limits of its own.
constexpr std::int64_t answer_timeout = 3600 * second;
constexpr std::size_t most_unread = 65536;  // of following requests, while one is answered

class HandedOutHttp1 final : public StreamService, public OutletListener {
 public:
  HandedOutHttp1(const WebShared& shared, const Connection& connection, const TlsFacts* tls,
                 StreamPort& port, Outlet& outlet, OpenTunnel open_tunnel)
      : shared_(shared),
        connection_(connection),
        port_(port),
        outlet_(outlet),
        open_tunnel_(std::move(open_tunnel)),
        reader_(events()) {
    if (tls != nullptr) tls_ = *tls;
    set_deadline(read_timeout);
  }

  ~HandedOutHttp1() override {
    if (!finished_ && !tunnel_ && state_ == State::answer) port_.left(reader_.held(), false);
    if (exchange_ == 0) return;
    cut("the client closed before the answer was whole", true);
    outlet_.close(exchange_);
  }

  void received(std::string_view bytes) override {
    if (tunnel_) return tunnel_->received(bytes);
    if (finished_) return port_.left(bytes, false);
    reader_.feed(bytes);
    if (tunnel_ || finished_) return;
    if (state_ == State::answer && reader_.held_bytes() > most_unread) pause(true);
    if (state_ == State::body) set_deadline(read_timeout);
  }

  std::string meaning(std::string_view bytes) override {
    return tunnel_ ? tunnel_->meaning(bytes) : std::string(bytes);
  }

  // What an agent tells its model is not; what goes past it into a tunnel is.
  [[nodiscard]] bool is_searched() const override { return tunnel_ && tunnel_->is_searched(); }

  void drained() override {
    if (tunnel_) return tunnel_->drained();
    give_room();
    if (state_ == State::answer) set_deadline(answer_timeout);
  }

  void ended() override {
    if (tunnel_) return tunnel_->ended();
    peer_ended_ = true;
    if (state_ == State::body) cut("the client closed in the middle of the body");
    if (state_ != State::answer) finish();
  }

  void woken() override {
    if (tunnel_) return tunnel_->woken();
    if (finished_) return;
    if (port_.now_ns() < deadline_) return port_.wake_at(deadline_);
    if (state_ == State::head) return finish();
    cut(state_ == State::body ? "the body stopped for 60 s"
                              : "the answer took too long, or the client did not read it");
    finished_ = true;
    port_.reset();
  }

  void answered(OutletResponse&& response) override {
    std::string head =
        "HTTP/1.1 " + std::to_string(response.status) + " " + status_text(response.status) + "\r\n";
    bool bare = response.status == 204 || response.status == 304;
    bool sized = false;
    for (const auto& [name, value] : response.headers) {
      sized = sized || same_field(name, "Content-Length");
      head.append(name).append(": ").append(value).append("\r\n");
    }
    silent_ = bare || head_.method == "HEAD";
    chunked_ = !sized && !silent_ && head_.version == "1.1";
    if (!sized && !silent_ && !chunked_) keep_ = false;
    if (chunked_) head += "Transfer-Encoding: chunked\r\n";
    head.append("Date: ").append(http_date()).append("\r\n");
    head.append("Connection: ").append(keep_ ? "keep-alive" : "close").append("\r\n\r\n");
    record_->answer(response.status, response.headers);
    answered_ = true;
    send(head);
  }

  void answer_body(std::string_view bytes) override {
    untaken_ += bytes.size();
    if (silent_ || bytes.empty()) return give_room();
    record_->answer_body(bytes);
    if (!chunked_) return send(bytes);
    std::array<char, 24> size{};
    int n = std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
    std::string chunk(size.data(), static_cast<std::size_t>(n));
    chunk.append(bytes).append("\r\n");
    send(chunk);
  }

  void answer_ended() override {
    if (chunked_) send("0\r\n\r\n");
    outlet_.close(std::exchange(exchange_, 0));
    record_->answer_ended(true);
    record_flow();
    go_on();
  }

  void answer_failed() override {
    outlet_.close(std::exchange(exchange_, 0));
    if (!answered_) {
      record_->refused({}, "the supervisor gave no answer");
      return respond(502);
    }
    cut("the supervisor broke the answer off");
    finished_ = true;
    port_.reset();
  }

  void outlet_ready() override { pause(false); }

 private:
  enum class State { head, body, answer };

  RequestReader::Events events() {
    return {[this](RequestHead&& head) { on_head(std::move(head)); },
            [this](std::string_view bytes) { on_body(bytes); }, [this] { on_end(); },
            [this](const RequestReader::Fault& fault) {
              if (finished_) return port_.left(fault.rest, false);
              if (!record_) start_record();
              if (state_ == State::body) record_->request_ended(false);
              port_.left(record_->refused(fault.rest, fault.reason), false);
              if (exchange_ != 0) outlet_.close(std::exchange(exchange_, 0));
              respond(fault.status);
            }};
  }

  void set_deadline(std::int64_t after_ns) {
    deadline_ = port_.now_ns() + after_ns;
    port_.wake_at(deadline_);
  }

  void pause(bool wanted) {
    if (paused_ == wanted) return;
    paused_ = wanted;
    port_.pause(wanted);
  }

  void start_record() { record_.emplace(shared_, tls_ ? &*tls_ : nullptr); }

  void on_head(RequestHead&& head) {
    if (finished_) return;
    head_ = std::move(head);
    start_record();
    record_->request(head_, port_.now_ns());
    answered_ = silent_ = chunked_ = false;
    body_bytes_ = 0;
    untaken_ = 0;
    keep_ = head_.keep_alive;
    state_ = State::body;
    if (head_.method == "CONNECT") return;
    OutletRequest request;
    request.tls = tls_.has_value();
    request.method = head_.method;
    request.host = head_.authority.host.text;
    request.port = head_.authority.port.value_or(connection_.destination.port);
    request.target = head_.target;
    request.headers = head_.headers;
    exchange_ = outlet_.open(request, *this);
    if (exchange_ == 0) return turn_away(503, "too many requests are open");
    if (head_.expects_continue && head_.has_body) port_.send("HTTP/1.1 100 Continue\r\n\r\n");
  }

  void on_body(std::string_view bytes) {
    if (finished_) return port_.left(bytes, false);
    record_->body(bytes);
    body_bytes_ += bytes.size();
    if (exchange_ == 0) return;  // a proxy's tunnel
    if (body_bytes_ > most_outlet_body) return turn_away(413, "the body is longer than 32 MiB");
    if (!outlet_.body(exchange_, bytes)) pause(true);
  }

  void on_end() {
    if (finished_) return;
    record_->request_ended(true);
    state_ = State::answer;
    if (head_.method == "CONNECT") return tunnel();
    set_deadline(answer_timeout);
    outlet_.end(exchange_);
  }

  void tunnel() {
    const auto& authority = head_.authority;
    std::unique_ptr<StreamService> inner;
    if (authority.port) inner = open_tunnel_(authority.host.text, *authority.port, port_);
    if (!inner) {
      record_->refused({}, "nothing is behind this proxy under that name");
      return respond(502);
    }
    record_->answer(200, {});
    record_->answer_ended(true);
    record_flow();
    port_.send("HTTP/1.1 200 Connection established\r\n\r\n");
    tunnel_ = std::move(inner);
    // Of a client that did not wait for the answer.
    if (const std::string begun(reader_.held()); !begun.empty()) tunnel_->received(begun);
  }

  void turn_away(int status, std::string reason) {
    if (exchange_ != 0) outlet_.close(std::exchange(exchange_, 0));
    record_->request_ended(false);
    record_->refused({}, std::move(reason));
    respond(status);
  }

  // An answer of the gateway's own, after which the connection closes.
  void respond(int status) {
    WebResponse page = shared_.server.reject(status, {});
    std::string_view body = page.content();
    HeaderFields headers = page.headers;
    record_->answer(status, headers);
    record_->answer_body(body);
    record_->answer_ended(true);
    std::string text = "HTTP/1.1 " + std::to_string(status) + " " + status_text(status) + "\r\n";
    for (const auto& [name, value] : headers)
      text.append(name).append(": ").append(value).append("\r\n");
    text += "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n";
    text += body;
    port_.send(text);
    record_flow();
    finish();
  }

  void send(std::string_view bytes) {
    port_.send(bytes);
    if (exchange_ == 0) return;
    if (port_.unsent() >= port_.step()) return set_deadline(read_timeout);  // until drained()
    // Not for every token: what is left unsaid is less than the window by more than a piece.
    if (untaken_ >= answer_window / 4) give_room();
  }

  void give_room() {
    if (exchange_ != 0 && untaken_ > 0) outlet_.took(exchange_, std::exchange(untaken_, 0));
  }

  void go_on() {
    if (!keep_ || peer_ended_) return finish();
    state_ = State::head;
    set_deadline(idle_timeout);
    pause(false);
    reader_.next();
  }

  void cut(std::string reason, bool by_client = false) {
    if (!record_) return;
    if (state_ == State::body) record_->request_ended(false);
    record_->answer_ended(false);
    if (by_client)
      record_->left(std::move(reason));
    else
      record_->refused({}, std::move(reason));
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
    if (state_ == State::answer) port_.left(reader_.held(), false);  // behind the last request
    port_.close();
  }

  const WebShared& shared_;
  Connection connection_;
  StreamPort& port_;
  Outlet& outlet_;
  OpenTunnel open_tunnel_;
  std::optional<TlsFacts> tls_;
  RequestReader reader_;
  State state_ = State::head;
  RequestHead head_;
  std::optional<WebRecord> record_;
  std::unique_ptr<StreamService> tunnel_;
  std::uint64_t exchange_ = 0;  // 0: none is open
  std::uint64_t body_bytes_ = 0;
  std::size_t untaken_ = 0;  // of the answer, that the outlet was not told of
  std::int64_t deadline_ = 0;
  bool keep_ = true, peer_ended_ = false, finished_ = false, paused_ = false;
  bool answered_ = false, silent_ = false, chunked_ = false;
};

}  // namespace

std::unique_ptr<StreamService> make_handed_out_http1(const WebShared& shared,
                                                     const Connection& connection,
                                                     const TlsFacts* tls, StreamPort& port,
                                                     Outlet& outlet, OpenTunnel open_tunnel) {
  return std::make_unique<HandedOutHttp1>(shared, connection, tls, port, outlet,
                                          std::move(open_tunnel));
}

}  // namespace gyges::network
