#include "agent_runtime/model/http_client.h"

#include <strings.h>

#include <cmath>
#include <cstdlib>
#include <memory>

#include "agent_runtime/model/curl_library.h"
#include "base/text.h"

namespace gyges::model {
namespace {

struct EasyCloser {
  const CurlLibrary* curl;
  void operator()(CURL* handle) const { curl->easy_cleanup(handle); }
};
struct ListCloser {
  const CurlLibrary* curl;
  void operator()(curl_slist* list) const { curl->slist_free_all(list); }
};

struct Sink {
  HttpReply reply;
  std::size_t limit = 0;
  bool too_large = false;
};

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  if (sink.reply.body.size() + size * count > sink.limit) {
    sink.too_large = true;
    return 0;
  }
  sink.reply.body.append(bytes, size * count);
  return size * count;
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  static constexpr std::string_view name = "retry-after:";
  std::string_view line(bytes, size * count);
  if (line.size() > name.size() && strncasecmp(line.data(), name.data(), name.size()) == 0) {
    std::string value(line.substr(name.size()));
    char* end = nullptr;
    double seconds = std::strtod(value.c_str(), &end);
    if (end != value.c_str() && std::isfinite(seconds) && seconds >= 0)
      sink.reply.retry_after_seconds = seconds;
  }
  return size * count;
}

HttpFault fault_of(CURLcode code, bool too_large) {
  if (too_large) return HttpFault::too_large;
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return HttpFault::timed_out;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
      return HttpFault::unreachable;
    default:
      return HttpFault::other;
  }
}

}  // namespace

Result<HttpReply> http_post(const HttpPost& post, HttpFault& fault) {
  fault = HttpFault::other;
  GYGES_TRY(const CurlLibrary* library, CurlLibrary::get());
  const CurlLibrary& curl = *library;
  std::unique_ptr<CURL, EasyCloser> owner(curl.easy_init(), EasyCloser{library});
  if (!owner) return fail("call model", printable(post.url), "libcurl cannot be started");
  std::unique_ptr<curl_slist, ListCloser> headers(nullptr, ListCloser{library});
  for (const auto& header : post.headers)
    headers.reset(curl.slist_append(headers.release(), header.c_str()));
  Sink sink;
  sink.limit = post.max_reply_bytes;
  CURL* handle = owner.get();
  curl.easy_setopt(handle, CURLOPT_URL, post.url.c_str());
  curl.easy_setopt(handle, CURLOPT_HTTPHEADER, headers.get());
  curl.easy_setopt(handle, CURLOPT_POSTFIELDS, post.body.c_str());
  curl.easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(post.body.size()));
  curl.easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(post.timeout.count()));
  curl.easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);  // episodes run in threads
  curl.easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl.easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl.easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
  curl.easy_setopt(handle, CURLOPT_WRITEDATA, &sink);
  curl.easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
  curl.easy_setopt(handle, CURLOPT_HEADERDATA, &sink);
  CURLcode code = curl.easy_perform(handle);
  if (code != CURLE_OK) {
    fault = fault_of(code, sink.too_large);
    if (fault == HttpFault::too_large)
      return fail("call model", printable(post.url),
                  "the reply is larger than " + std::to_string(sink.limit) + " bytes",
                  "check that the address is that of a chat endpoint");
    if (fault == HttpFault::timed_out)
      return fail("call model", printable(post.url),
                  "no reply within " + std::to_string(post.timeout.count()) + " ms",
                  "raise timeout_seconds, or check the endpoint");
    return fail("call model", printable(post.url), curl.easy_strerror(code),
                "check base_url and that the endpoint runs");
  }
  curl.easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &sink.reply.status);
  fault = HttpFault::none;
  return std::move(sink.reply);
}

}  // namespace gyges::model
