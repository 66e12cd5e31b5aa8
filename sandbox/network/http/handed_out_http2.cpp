#include "sandbox/network/http/handed_out_http2.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "sandbox/network/http/handed_out_http1.h"
#include "sandbox/network/http/http2_parts.h"
#include "sandbox/network/http/web_record.h"

namespace gyges::network {
namespace {

constexpr std::int32_t body_window = 1 << 20;
constexpr std::int64_t one_second = 1'000'000'000;
constexpr std::int64_t body_timeout = 60 * one_second;
constexpr std::int64_t idle_connection_timeout = 120 * one_second;
constexpr std::int64_t whole_answer_timeout = 3600 * one_second;  // as handed_out_http1.cpp has it

constexpr const char* client_left = "the client closed before the answer was whole";

class HandedOutHttp2;

// One exchange.
struct StreamOut final : OutletListener {
  StreamOut(HandedOutHttp2& of, std::int32_t number) : owner(of), id(number) {}
  void answered(OutletResponse&& response) override;
  void answer_body(std::string_view bytes) override;
  void answer_ended() override;
  void answer_failed() override;
  void outlet_ready() override;

  HandedOutHttp2& owner;
  std::int32_t id;
  Http2Head asked;
  std::optional<WebRecord> record;
  std::uint64_t exchange = 0;  // 0: none is open
  std::uint64_t body_bytes = 0;
  std::size_t unconsumed = 0;  // of the request's body, that the outlet has no room for
  bool request_ended = false;
  std::string pending;  // of the answer, from `sent` on
  std::size_t sent = 0;
  std::size_t untaken = 0;  // that the client took and the outlet was not told of
  OutletResponse held;      // silent: goes out with the end, which it is
  bool headed = false, has_answer = false, silent = false, whole = false;
  std::int64_t deadline = 0;
};

class HandedOutHttp2 final : public StreamService {
 public:
  // What an agent tells its model.
  [[nodiscard]] bool is_searched() const override { return false; }

  HandedOutHttp2(const WebShared& shared, const Connection& connection, const TlsFacts& tls,
                 StreamPort& port, Outlet& outlet)
      : shared_(shared), connection_(connection), tls_(tls), port_(port), outlet_(outlet) {
    session_ =
        make_http2_session({on_begin, on_header, on_frame, on_data, on_close}, this, body_window);
    if (!session_) {
      closed_ = true;
      port_.reset();
      return;
    }
    last_ = port_.now_ns();
    pump();
  }

  ~HandedOutHttp2() override { end_all(client_left); }

  void received(std::string_view bytes) override {
    if (closed_) return;
    last_ = port_.now_ns();
    auto used = ::nghttp2_session_mem_recv(
        session_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (used < 0) return refuse(::nghttp2_strerror(static_cast<int>(used)), bytes);
    pump();
  }
  void drained() override { pump(); }
  void ended() override { close(client_left); }

  void woken() override {
    if (closed_) return;
    std::int64_t now = port_.now_ns();
    for (auto& [id, stream] : streams_)
      if (stream->deadline <= now) {
        cut(*stream, stream->request_ended
                         ? "the answer took too long, or the client did not read it"
                         : "the body stopped for 60 s");
        reset(*stream, NGHTTP2_CANCEL);
      }
    if (streams_.empty() && now - last_ >= idle_connection_timeout) {
      ::nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
      pump();
      return close({});
    }
    pump();
  }

  void answered(StreamOut& stream, OutletResponse&& response) {
    if (closed_) return;
    stream.has_answer = true;
    bool bare = response.status == 204 || response.status == 304;
    stream.silent = bare || stream.asked.head.method == "HEAD";
    stream.record->answer(response.status, response.headers);
    if (stream.silent)
      stream.held = std::move(response);
    else
      submit(stream, response.status, response.headers);
    pump();
  }

  void answer_body(StreamOut& stream, std::string_view bytes) {
    if (closed_) return;
    if (stream.silent) {
      stream.untaken += bytes.size();
      return give_room(stream);
    }
    stream.record->answer_body(bytes);
    stream.pending.append(bytes);
    ::nghttp2_session_resume_data(session_.get(), stream.id);
    pump();
  }

  void answer_ended(StreamOut& stream) {
    outlet_.close(std::exchange(stream.exchange, 0));
    if (closed_) return;
    stream.record->answer_ended(true);
    stream.whole = true;
    if (stream.silent)
      submit(stream, stream.held.status, stream.held.headers);
    else
      ::nghttp2_session_resume_data(session_.get(), stream.id);
    pump();
  }

  void answer_failed(StreamOut& stream) {
    outlet_.close(std::exchange(stream.exchange, 0));
    if (closed_) return;
    if (!stream.has_answer) {
      stream.record->refused({}, "the supervisor gave no answer");
      respond(stream, 502);
    } else {
      cut(stream, "the supervisor broke the answer off");
      reset(stream, NGHTTP2_INTERNAL_ERROR);
    }
    pump();
  }

  void outlet_ready(StreamOut& stream) {
    if (closed_) return;
    consume(stream.id, std::exchange(stream.unconsumed, 0));
    pump();
  }

 private:
  static HandedOutHttp2& self(void* data) { return *static_cast<HandedOutHttp2*>(data); }
  StreamOut* find(std::int32_t id) {
    auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second.get();
  }

  static int on_begin(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    HandedOutHttp2& own = self(data);
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    auto stream = std::make_unique<StreamOut>(own, frame->hd.stream_id);
    stream->deadline = own.port_.now_ns() + body_timeout;
    own.streams_[frame->hd.stream_id] = std::move(stream);
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* data) {
    StreamOut* stream = self(data).find(frame->hd.stream_id);
    if (stream != nullptr && !stream->headed)  // no trailers
      stream->asked.field({reinterpret_cast<const char*>(name), name_size},
                          {reinterpret_cast<const char*>(value), value_size});
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    StreamOut* stream = self(data).find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !stream->headed) self(data).head(*stream, !ends);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && ends)
      self(data).request_ended(*stream);
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
                     std::size_t size, void* data) {
    HandedOutHttp2& own = self(data);
    StreamOut* stream = own.find(id);
    if (stream == nullptr || own.take_body(*stream, {reinterpret_cast<const char*>(bytes), size}))
      own.consume(id, size);
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t code, void* data) {
    HandedOutHttp2& own = self(data);
    StreamOut* stream = own.find(id);
    if (stream == nullptr) return 0;
    // What it held of the connection's window is there for the others again.
    if (stream->unconsumed > 0)
      ::nghttp2_session_consume_connection(own.session_.get(), stream->unconsumed);
    if (code != NGHTTP2_NO_ERROR || !stream->whole) own.cut(*stream, client_left);
    own.forget(*stream);
    own.streams_.erase(id);
    return 0;
  }
  static ssize_t on_read(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size,
                         std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<StreamOut*>(source->ptr);
    std::size_t left = stream.pending.size() - stream.sent;
    if (left == 0 && !stream.whole) return NGHTTP2_ERR_DEFERRED;
    std::size_t count = std::min(size, left);
    std::memcpy(buffer, stream.pending.data() + stream.sent, count);
    stream.sent += count;
    stream.untaken += count;
    if (stream.sent == stream.pending.size()) {
      stream.pending.clear();
      stream.sent = 0;
      if (stream.whole) *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return static_cast<ssize_t>(count);
  }

  void head(StreamOut& stream, bool has_body) {
    stream.headed = true;
    stream.asked.complete();
    const RequestHead& head = stream.asked.head;
    std::string& fault = stream.asked.fault;
    if (head.method == "CONNECT") fault = "nothing is behind this proxy over HTTP/2";
    stream.record.emplace(shared_, &tls_);
    stream.record->request(head, port_.now_ns());
    if (!fault.empty()) return turn_away(stream, head.method == "CONNECT" ? 502 : 400, fault);
    OutletRequest request;
    request.tls = true;
    request.method = head.method;
    request.host = head.authority.host.text;
    request.port = head.authority.port.value_or(connection_.destination.port);
    request.target = head.target;
    request.headers = head.headers;
    stream.exchange = outlet_.open(request, stream);
    if (stream.exchange == 0) return turn_away(stream, 503, "too many requests are open");
    if (has_body && same_field(head.header("expect"), "100-continue")) {
      std::string name = ":status";
      std::string value = "100";
      nghttp2_nv field{reinterpret_cast<std::uint8_t*>(name.data()),
                       reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                       NGHTTP2_NV_FLAG_NONE};
      ::nghttp2_submit_headers(session_.get(), NGHTTP2_FLAG_NONE, stream.id, nullptr, &field, 1,
                               nullptr);
    }
  }

  // Whether there is room for more of it.
  bool take_body(StreamOut& stream, std::string_view bytes) {
    if (!stream.record || stream.exchange == 0) return true;  // was turned away
    stream.record->body(bytes);
    stream.body_bytes += bytes.size();
    stream.deadline = port_.now_ns() + body_timeout;
    if (stream.body_bytes > most_outlet_body) {
      turn_away(stream, 413, "the body is longer than 32 MiB");
      return true;
    }
    if (outlet_.body(stream.exchange, bytes)) return true;
    stream.unconsumed += bytes.size();
    return false;
  }

  void request_ended(StreamOut& stream) {
    if (stream.request_ended || !stream.record) return;
    stream.request_ended = true;
    stream.record->request_ended(true);
    stream.deadline = port_.now_ns() + whole_answer_timeout;
    if (stream.exchange != 0) outlet_.end(stream.exchange);
  }

  void consume(std::int32_t id, std::size_t bytes) {
    if (bytes > 0) ::nghttp2_session_consume(session_.get(), id, bytes);
  }

  void submit(StreamOut& stream, int status, const HeaderFields& headers) {
    Http2Fields fields(status, headers);
    std::vector<nghttp2_nv> list = fields.list();
    nghttp2_data_provider provider{};
    provider.source.ptr = &stream;
    provider.read_callback = on_read;
    ::nghttp2_submit_response(session_.get(), stream.id, list.data(), list.size(),
                              stream.silent ? nullptr : &provider);
  }

  // An answer of the gateway's own.
  void respond(StreamOut& stream, int status) {
    WebResponse page = shared_.server.reject(status, {});
    HeaderFields headers = page.headers;
    headers.emplace_back("Content-Length", std::to_string(page.content().size()));
    stream.record->answer(status, headers);
    stream.record->answer_body(page.content());
    stream.record->answer_ended(true);
    stream.has_answer = stream.whole = true;
    stream.silent = stream.asked.head.method == "HEAD";
    stream.pending = page.content();
    stream.sent = 0;
    submit(stream, status, headers);
  }

  void turn_away(StreamOut& stream, int status, std::string reason) {
    if (stream.exchange != 0) outlet_.close(std::exchange(stream.exchange, 0));
    consume(stream.id, std::exchange(stream.unconsumed, 0));
    if (!std::exchange(stream.request_ended, true)) stream.record->request_ended(false);
    stream.record->refused({}, std::move(reason));
    respond(stream, status);
  }

  // The stream is closed once this is sent, which may be later.
  void reset(StreamOut& stream, std::uint32_t code) {
    if (stream.exchange != 0) outlet_.close(std::exchange(stream.exchange, 0));
    stream.deadline = std::numeric_limits<std::int64_t>::max();
    ::nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream.id, code);
  }

  // The record of an exchange that ends before its time.
  void cut(StreamOut& stream, std::string reason) {
    if (!stream.record) return;
    if (!stream.request_ended) stream.record->request_ended(false);
    stream.record->answer_ended(false);
    if (reason == client_left)
      stream.record->left(std::move(reason));
    else
      stream.record->refused({}, std::move(reason));
    record_flow(stream);
  }

  void record_flow(StreamOut& stream) {
    if (!stream.record) return;
    port_.record(stream.record->finish(port_.now_ns()));
    stream.record.reset();
  }

  void forget(StreamOut& stream) {
    if (stream.exchange != 0) outlet_.close(std::exchange(stream.exchange, 0));
    record_flow(stream);
  }

  void give_room(StreamOut& stream) {
    if (stream.exchange != 0 && stream.untaken > 0)
      outlet_.took(stream.exchange, std::exchange(stream.untaken, 0));
  }

  void pump() {
    if (closed_) return;
    if (int failed = send_http2(*session_, port_); failed != 0)
      return refuse(::nghttp2_strerror(failed), {});
    if (::nghttp2_session_want_read(session_.get()) == 0 &&
        ::nghttp2_session_want_write(session_.get()) == 0)
      return close(client_left);
    bool taken = port_.unsent() < port_.step();
    std::int64_t next = last_ + idle_connection_timeout;
    for (auto& [id, stream] : streams_) {
      // Not for every token, as handed_out_http1.cpp has it.
      if (taken && stream->untaken >= answer_window / 4) give_room(*stream);
      next = std::min(next, stream->deadline);
    }
    port_.wake_at(next);
  }

  void refuse(std::string_view reason, std::string_view bytes) {
    WebRecord record(shared_, &tls_);
    record.refused(bytes, "HTTP/2: " + std::string(reason));
    port_.record(record.finish(port_.now_ns()));
    close("the connection is no HTTP/2 any more");
  }

  void end_all(const std::string& reason) {
    closed_ = true;
    for (auto& [id, stream] : streams_) {
      cut(*stream, reason);
      forget(*stream);
    }
    streams_.clear();
  }

  void close(const std::string& reason) {
    if (closed_) return;
    end_all(reason);
    port_.close();
  }

  const WebShared& shared_;
  Connection connection_;
  TlsFacts tls_;
  StreamPort& port_;
  Outlet& outlet_;
  std::map<std::int32_t, std::unique_ptr<StreamOut>> streams_;
  Http2Session session_;
  std::int64_t last_ = 0;
  bool closed_ = false;
};

void StreamOut::answered(OutletResponse&& response) {
  owner.answered(*this, std::move(response));
}
void StreamOut::answer_body(std::string_view bytes) {
  owner.answer_body(*this, bytes);
}
void StreamOut::answer_ended() {
  owner.answer_ended(*this);
}
void StreamOut::answer_failed() {
  owner.answer_failed(*this);
}
void StreamOut::outlet_ready() {
  owner.outlet_ready(*this);
}

}  // namespace

std::unique_ptr<StreamService> make_handed_out_http2(const WebShared& shared,
                                                     const Connection& connection,
                                                     const TlsFacts& tls, StreamPort& port,
                                                     Outlet& outlet) {
  return std::make_unique<HandedOutHttp2>(shared, connection, tls, port, outlet);
}

}  // namespace gyges::network
