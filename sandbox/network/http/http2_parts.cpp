#include "sandbox/network/http/http2_parts.h"

#include <algorithm>
#include <array>

#include "sandbox/network/http/web_record.h"

namespace gyges::network {
namespace {

constexpr std::uint32_t most_streams = 100;
constexpr std::size_t most_head_bytes = 32768;

bool of_connection(std::string_view name) {
  static constexpr std::string_view all[] = {"connection", "keep-alive", "proxy-connection",
                                             "transfer-encoding", "upgrade"};
  return std::find(std::begin(all), std::end(all), name) != std::end(all);
}

}  // namespace

Http2Session make_http2_session(const Http2Callbacks& callbacks, void* owner,
                                std::int32_t body_window) {
  nghttp2_session_callbacks* all = nullptr;
  nghttp2_option* options = nullptr;
  nghttp2_session* session = nullptr;
  if (::nghttp2_session_callbacks_new(&all) == 0 && ::nghttp2_option_new(&options) == 0) {
    if (body_window != 0) ::nghttp2_option_set_no_auto_window_update(options, 1);
    ::nghttp2_option_set_max_send_header_block_length(options, 65536);
    ::nghttp2_session_callbacks_set_on_begin_headers_callback(all, callbacks.begin);
    ::nghttp2_session_callbacks_set_on_header_callback(all, callbacks.header);
    ::nghttp2_session_callbacks_set_on_frame_recv_callback(all, callbacks.frame);
    ::nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all, callbacks.data);
    ::nghttp2_session_callbacks_set_on_stream_close_callback(all, callbacks.close);
    ::nghttp2_session_server_new2(&session, all, owner, options);
  }
  ::nghttp2_option_del(options);
  ::nghttp2_session_callbacks_del(all);
  if (session == nullptr) return nullptr;
  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, most_streams},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(most_head_bytes)}};
  if (body_window != 0)
    settings.push_back(
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, static_cast<std::uint32_t>(body_window)});
  ::nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  if (body_window != 0)
    ::nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, body_window);
  return Http2Session(session);
}

int send_http2(nghttp2_session& session, StreamPort& port) {
  while (port.unsent() < port.step()) {
    const std::uint8_t* bytes = nullptr;
    auto size = ::nghttp2_session_mem_send(&session, &bytes);
    if (size < 0) return static_cast<int>(size);
    if (size == 0) break;
    port.send({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)});
  }
  return 0;
}

void Http2Head::field(std::string_view name, std::string_view value) {
  bytes_ += name.size() + value.size() + 32;
  if (bytes_ > most_head_bytes || head.headers.size() >= RequestReader::most_fields) {
    fault = "the head is over 32 KiB or 100 fields";
  } else if (name == ":method") {
    head.method = value;
  } else if (name == ":path") {
    head.target = value;
  } else if (name == ":authority") {
    authority = value;
  } else if (name != ":scheme") {
    head.headers.emplace_back(name, value);
  }
}

void Http2Head::complete() {
  head.version = "2";
  std::string host(head.header("host"));
  if (authority.empty()) authority = host;
  auto named = parse_authority(authority);
  if (!named)
    fault = "the authority is no host";
  else
    head.authority = std::move(*named);
  if (host.empty()) return;
  auto other = parse_authority(host);
  if (!other || !(other->host == head.authority.host)) fault = "Host differs from the authority";
}

Http2Fields::Http2Fields(int status,
                         const std::vector<std::pair<std::string, std::string>>& headers) {
  fields_.emplace_back(":status", std::to_string(status));
  for (const auto& [name, value] : headers) {
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (!of_connection(lower)) fields_.emplace_back(std::move(lower), value);
  }
  fields_.emplace_back("date", http_date());
}

void Http2Fields::add(std::string name, std::string value) {
  fields_.emplace_back(std::move(name), std::move(value));
}

std::vector<nghttp2_nv> Http2Fields::list() {
  std::vector<nghttp2_nv> list;
  list.reserve(fields_.size());
  for (auto& [name, value] : fields_)
    list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                    reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                    NGHTTP2_NV_FLAG_NONE});
  return list;
}

}  // namespace gyges::network
