// What the two services of HTTP/2 share (http2_service.cpp, handed_out_http2.cpp): the session of
// nghttp2, heads of requests, fields of answers.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "sandbox/network/http/request_reader.h"
#include "sandbox/network/service.h"

namespace gyges::network {

struct FreeHttp2Session {
  void operator()(nghttp2_session* session) const { ::nghttp2_session_del(session); }
};
using Http2Session = std::unique_ptr<nghttp2_session, FreeHttp2Session>;

struct Http2Callbacks {
  nghttp2_on_begin_headers_callback begin = nullptr;
  nghttp2_on_header_callback header = nullptr;
  nghttp2_on_frame_recv_callback frame = nullptr;
  nghttp2_on_data_chunk_recv_callback data = nullptr;
  nghttp2_on_stream_close_callback close = nullptr;
};

// A server's session of at most 100 streams and heads of 32 KiB, its settings submitted. `owner` is
// what the callbacks are given. `body_window`: bytes of bodies under way until they are consumed;
// 0: the library grants more by itself. Null for want of memory.
Http2Session make_http2_session(const Http2Callbacks& callbacks, void* owner,
                                std::int32_t body_window);

// Hands the port what the session has to say, as much as it takes. The library's error, or 0.
int send_http2(nghttp2_session& session, StreamPort& port);

// The head of a request as its fields come in.
struct Http2Head {
  RequestHead head;
  std::string authority;
  std::string fault;  // in words, if the request is none that can be answered

  void field(std::string_view name, std::string_view value);
  // After the last one: which host is meant.
  void complete();

 private:
  std::size_t bytes_ = 0;
};

// The fields of an answer, in lower case, with the date and without those that have no place in
// HTTP/2 (RFC 9113 section 8.2.2).
class Http2Fields {
 public:
  Http2Fields(int status, const std::vector<std::pair<std::string, std::string>>& headers);
  void add(std::string name, std::string value);
  // Valid as long as this is and nothing is added.
  std::vector<nghttp2_nv> list();

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

}  // namespace gyges::network
