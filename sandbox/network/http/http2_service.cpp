#include "sandbox/network/http/http2_service.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "sandbox/network/http/http2_parts.h"
#include "sandbox/network/http/web_record.h"

namespace gyges::network {
namespace {

constexpr std::int64_t idle_timeout_ns = 75'000'000'000;

struct Exchange {
  Http2Head asked;
  std::optional<WebRecord> record;
  WebResponse response;
  std::string_view unsent;
  std::int64_t due_ns = 0;  // of a delayed response; 0: none waits
  std::size_t trailers = 0;

  void trailer(std::string_view name, std::string_view value) {
    if (++trailers <= RequestReader::most_fields) record->trailer(name, value);
  }
};

class Http2 : public StreamService {
 public:
  Http2(const WebShared& shared, const Connection& connection, const TlsFacts& tls,
        StreamPort& port)
      : shared_(shared), connection_(connection), tls_(tls), port_(port) {
    session_ = make_http2_session({on_begin, on_header, on_frame, on_data, on_close}, this, 0);
    if (!session_) {
      port_.reset();
      closed_ = true;
      return;
    }
    last_ = port_.now_ns();
    pump();
  }

  ~Http2() override { record_open(); }

  void received(std::string_view bytes) override {
    if (closed_) return;
    last_ = port_.now_ns();
    auto used = ::nghttp2_session_mem_recv(
        session_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (used < 0) {
      refuse(::nghttp2_strerror(static_cast<int>(used)), bytes);
      return;
    }
    pump();
  }
  void drained() override { pump(); }
  void ended() override { close(); }

  void woken() override {
    if (closed_) return;
    std::int64_t now = port_.now_ns();
    for (auto& [id, exchange] : exchanges_)
      if (exchange.due_ns != 0 && exchange.due_ns <= now) {
        exchange.due_ns = 0;
        submit(id, exchange);
      }
    if (now - last_ >= idle_timeout_ns) {
      ::nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
      pump();
      close();
      return;
    }
    pump();
  }

 private:
  static Http2& self(void* data) { return *static_cast<Http2*>(data); }

  static int on_begin(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      self(data).exchanges_[frame->hd.stream_id];
    return 0;
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                       std::uint8_t, void* data) {
    auto found = self(data).exchanges_.find(frame->hd.stream_id);
    if (found == self(data).exchanges_.end()) return 0;
    std::string_view field(reinterpret_cast<const char*>(name), name_size);
    std::string_view content(reinterpret_cast<const char*>(value), value_size);
    if (found->second.record)
      found->second.trailer(field, content);
    else
      found->second.asked.field(field, content);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* data) {
    auto found = self(data).exchanges_.find(frame->hd.stream_id);
    if (found == self(data).exchanges_.end()) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !found->second.record) self(data).head(found->second);
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      self(data).answer(found->first, found->second);
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* bytes,
                     std::size_t size, void* data) {
    auto found = self(data).exchanges_.find(stream);
    if (found != self(data).exchanges_.end() && found->second.record)
      found->second.record->body({reinterpret_cast<const char*>(bytes), size});
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t stream, std::uint32_t code, void* data) {
    auto found = self(data).exchanges_.find(stream);
    if (found == self(data).exchanges_.end()) return 0;
    if (found->second.record) {
      if (code != 0) found->second.record->refused({}, "the stream was reset");
      self(data).port_.record(found->second.record->finish(self(data).port_.now_ns()));
    }
    self(data).exchanges_.erase(found);
    return 0;
  }
  static ssize_t on_read(nghttp2_session*, std::int32_t, std::uint8_t* buffer, std::size_t size,
                         std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& unsent = *static_cast<std::string_view*>(source->ptr);
    std::size_t count = std::min(size, unsent.size());
    std::memcpy(buffer, unsent.data(), count);
    unsent.remove_prefix(count);
    if (unsent.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }

  void head(Exchange& exchange) {
    exchange.asked.complete();
    exchange.record.emplace(shared_, &tls_);
    exchange.record->request(exchange.asked.head, port_.now_ns());
  }

  void answer(std::int32_t id, Exchange& exchange) {
    if (!exchange.record || exchange.response.delay_ns != 0) return;
    exchange.record->request_ended(true);
    if (!exchange.asked.fault.empty()) {
      exchange.response = shared_.server.reject(400, exchange.asked.fault);
    } else {
      exchange.response =
          shared_.server.respond({connection_, true, tls_.sni}, exchange.asked.head);
    }
    if (exchange.response.delay_ns > 0) {
      exchange.due_ns = port_.now_ns() + exchange.response.delay_ns;
      return;
    }
    submit(id, exchange);
  }

  void submit(std::int32_t id, Exchange& exchange) {
    const WebResponse& response = exchange.response;
    bool none = response.status == 204 || response.status == 304;
    std::string_view body = none ? std::string_view() : response.content();
    Http2Fields fields(response.status, response.headers);
    if (!none) fields.add("content-length", std::to_string(body.size()));
    if (exchange.asked.head.method == "HEAD") body = {};
    exchange.record->response(response, body);
    exchange.unsent = body;
    std::vector<nghttp2_nv> list = fields.list();
    nghttp2_data_provider provider{};
    provider.source.ptr = &exchange.unsent;
    provider.read_callback = on_read;
    ::nghttp2_submit_response(session_.get(), id, list.data(), list.size(),
                              body.empty() ? nullptr : &provider);
  }

  void pump() {
    if (closed_) return;
    if (int failed = send_http2(*session_, port_); failed != 0)
      return refuse(::nghttp2_strerror(failed), {});
    if (::nghttp2_session_want_read(session_.get()) == 0 &&
        ::nghttp2_session_want_write(session_.get()) == 0)
      return close();
    std::int64_t next = last_ + idle_timeout_ns;
    for (const auto& [id, exchange] : exchanges_)
      if (exchange.due_ns != 0) next = std::min(next, exchange.due_ns);
    port_.wake_at(next);
  }

  void refuse(std::string_view reason, std::string_view bytes) {
    WebRecord record(shared_, &tls_);
    record.refused(bytes, "HTTP/2: " + std::string(reason));
    port_.record(record.finish(port_.now_ns()));
    close();
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    record_open();
    port_.close();
  }

  void record_open() {
    for (auto& [id, exchange] : exchanges_) {
      if (!exchange.record) continue;
      exchange.record->refused({}, "the connection closed");
      port_.record(exchange.record->finish(port_.now_ns()));
    }
    exchanges_.clear();
  }

  const WebShared& shared_;
  Connection connection_;
  TlsFacts tls_;
  StreamPort& port_;
  std::map<std::int32_t, Exchange> exchanges_;
  Http2Session session_;
  std::int64_t last_ = 0;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<StreamService> make_http2(const WebShared& shared, const Connection& connection,
                                          const TlsFacts& tls, StreamPort& port) {
  return std::make_unique<Http2>(shared, connection, tls, port);
}

}  // namespace gyges::network
