#include "sandbox/network/http/http2_service.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "base/text.h"
#include "sandbox/network/http/web_record.h"

namespace gyges::network {
namespace {

constexpr std::uint32_t most_streams = 100;
constexpr std::size_t most_head_bytes = 32768;
constexpr std::int64_t idle_timeout_ns = 75'000'000'000;

struct FreeSession {
  void operator()(nghttp2_session* session) const { ::nghttp2_session_del(session); }
};

struct Exchange {
  RequestHead head;
  std::size_t head_bytes = 0;
  std::string scheme, authority, fault;
  std::optional<WebRecord> record;
  WebResponse response;
  std::string_view unsent;
  std::int64_t due_ns = 0;  // of a delayed response; 0: none waits
};

class Http2 : public StreamService {
 public:
  Http2(const WebShared& shared, const Connection& connection, const TlsFacts& tls,
        StreamPort& port)
      : shared_(shared), connection_(connection), tls_(tls), port_(port) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_option* options = nullptr;
    nghttp2_session* session = nullptr;
    if (::nghttp2_session_callbacks_new(&callbacks) == 0 && ::nghttp2_option_new(&options) == 0) {
      ::nghttp2_option_set_max_send_header_block_length(options, 65536);
      ::nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
      ::nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
      ::nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
      ::nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
      ::nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
      ::nghttp2_session_server_new2(&session, callbacks, this, options);
    }
    ::nghttp2_option_del(options);
    ::nghttp2_session_callbacks_del(callbacks);
    session_.reset(session);
    if (!session_) {
      port_.reset();
      closed_ = true;
      return;
    }
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most_streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(most_head_bytes)}};
    ::nghttp2_submit_settings(session_.get(), NGHTTP2_FLAG_NONE, settings, std::size(settings));
    last_ = port_.now_ns();
    pump();
  }

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
    if (found == self(data).exchanges_.end() || found->second.record) return 0;  // trailers
    return self(data).header(found->second, {reinterpret_cast<const char*>(name), name_size},
                             {reinterpret_cast<const char*>(value), value_size});
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

  int header(Exchange& exchange, std::string_view name, std::string_view value) {
    exchange.head_bytes += name.size() + value.size() + 32;
    if (exchange.head_bytes > most_head_bytes ||
        exchange.head.headers.size() >= RequestReader::most_fields) {
      exchange.fault = "the head is over 32 KiB or 100 fields";
      return 0;
    }
    if (name == ":method")
      exchange.head.method = value;
    else if (name == ":path")
      exchange.head.target = value;
    else if (name == ":scheme")
      exchange.scheme = value;
    else if (name == ":authority")
      exchange.authority = value;
    else
      exchange.head.headers.emplace_back(name, value);
    return 0;
  }

  void head(Exchange& exchange) {
    RequestHead& head = exchange.head;
    head.version = "2";
    std::string_view host = head.header("host");
    if (exchange.authority.empty()) exchange.authority = host;
    auto authority = parse_authority(exchange.authority);
    if (!authority)
      exchange.fault = "the authority is no host";
    else
      head.authority = std::move(*authority);
    if (!host.empty()) {
      auto other = parse_authority(host);
      if (!other || !(other->host == head.authority.host))
        exchange.fault = "Host differs from the authority";
    }
    exchange.record.emplace(shared_, &tls_);
    exchange.record->request(head, port_.now_ns());
  }

  void answer(std::int32_t id, Exchange& exchange) {
    if (!exchange.record || exchange.response.delay_ns != 0) return;
    exchange.record->request_ended(true);
    if (!exchange.fault.empty()) {
      exchange.response = shared_.server.reject(400, exchange.fault);
    } else {
      exchange.response = shared_.server.respond({connection_, true, tls_.sni}, exchange.head);
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
    std::vector<std::pair<std::string, std::string>> fields;
    fields.emplace_back(":status", std::to_string(response.status));
    for (const auto& [name, value] : response.headers) {
      std::string lower = name;
      std::transform(lower.begin(), lower.end(), lower.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
      if (lower != "connection") fields.emplace_back(std::move(lower), value);
    }
    fields.emplace_back("date", http_date());
    if (!none) fields.emplace_back("content-length", std::to_string(body.size()));
    if (exchange.head.method == "HEAD") body = {};
    exchange.record->response(response, body);
    exchange.unsent = body;
    std::vector<nghttp2_nv> list;
    for (auto& [name, value] : fields)
      list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                      reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
    nghttp2_data_provider provider{};
    provider.source.ptr = &exchange.unsent;
    provider.read_callback = on_read;
    ::nghttp2_submit_response(session_.get(), id, list.data(), list.size(),
                              body.empty() ? nullptr : &provider);
  }

  void pump() {
    while (!closed_ && port_.unsent() < port_.step()) {
      const std::uint8_t* bytes = nullptr;
      auto size = ::nghttp2_session_mem_send(session_.get(), &bytes);
      if (size < 0) return refuse(::nghttp2_strerror(static_cast<int>(size)), {});
      if (size == 0) break;
      port_.send({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)});
    }
    if (closed_) return;
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
    for (auto& [id, exchange] : exchanges_) {
      if (!exchange.record) continue;
      exchange.record->refused({}, "the connection closed");
      port_.record(exchange.record->finish(port_.now_ns()));
    }
    exchanges_.clear();
    port_.close();
  }

  const WebShared& shared_;
  Connection connection_;
  TlsFacts tls_;
  StreamPort& port_;
  std::map<std::int32_t, Exchange> exchanges_;
  std::unique_ptr<nghttp2_session, FreeSession> session_;
  std::int64_t last_ = 0;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<StreamService> make_http2(const WebShared& shared, const Connection& connection,
                                          const TlsFacts& tls, StreamPort& port) {
  return std::make_unique<Http2>(shared, connection, tls, port);
}

}  // namespace gyges::network
