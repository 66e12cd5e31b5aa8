#include "agent_runtime/model/http_client.h"

#include <strings.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "agent_runtime/model/curl_library.h"
#include "base/text.h"

namespace gyges::model {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a cancellation or a late head may go unnoticed.
constexpr int poll_ms = 50;

struct EasyCloser {
  const CurlLibrary* curl;
  void operator()(CURL* handle) const { curl->easy_cleanup(handle); }
};
struct MultiCloser {
  const CurlLibrary* curl;
  void operator()(CURLM* handle) const { curl->multi_cleanup(handle); }
};
struct ListCloser {
  const CurlLibrary* curl;
  void operator()(curl_slist* list) const { curl->slist_free_all(list); }
};

struct Sink {
  const HttpPost& post;
  HttpReply reply;
  std::size_t bytes = 0;
  bool too_large = false;
  bool begun = false;
  std::optional<Error> refused;  // by HttpPost::take
};

// Errors of the endpoint, thrown away by nobody but kept short.
constexpr std::size_t max_refusal_bytes = 1U << 20U;
constexpr std::size_t most_headers = 64;
constexpr std::size_t longest_header = 1024;

std::size_t take_body(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  std::size_t length = size * count;
  bool good = sink.reply.status >= 200 && sink.reply.status < 300;
  if (!good && sink.reply.body.size() + length > max_refusal_bytes) return length;
  sink.bytes += length;
  if (sink.bytes > sink.post.max_reply_bytes) {
    sink.too_large = true;
    return 0;
  }
  if (good && !sink.begun) {
    sink.begun = true;
    if (sink.post.begun) sink.post.begun(sink.reply);
  }
  if (good && sink.post.take) {
    auto taken = sink.post.take(std::string_view(bytes, length));
    if (taken) return length;
    sink.refused = taken.error();
    return 0;
  }
  sink.reply.body.append(bytes, length);
  return length;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

std::size_t take_header(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto& sink = *static_cast<Sink*>(user);
  std::string_view line(bytes, size * count);
  if (line.starts_with("HTTP/")) {
    // The last of several heads counts (100 Continue stands before the real one).
    auto space = line.find(' ');
    std::string status(line.substr(space == std::string_view::npos ? line.size() : space + 1));
    sink.reply.status = std::strtol(status.c_str(), nullptr, 10);
    sink.reply.headers.clear();
    return line.size();
  }
  auto colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::string_view value = trimmed(line.substr(colon + 1));
  if (sink.post.keeps && sink.reply.headers.size() < most_headers &&
      line.size() <= longest_header && sink.post.keeps(name))
    sink.reply.headers.emplace_back(name, value);
  if (strcasecmp(name.c_str(), "retry-after-ms") == 0) {
    if (auto milli = retry_after(value, 0)) sink.reply.retry_after_seconds = *milli / 1000;
  } else if (strcasecmp(name.c_str(), "retry-after") == 0 && !sink.reply.retry_after_seconds) {
    sink.reply.retry_after_seconds = retry_after(value, std::time(nullptr));
  }
  return line.size();
}

HttpFault fault_of(CURLcode code) {
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return HttpFault::timed_out;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return HttpFault::unreachable;
    default:
      return HttpFault::other;
  }
}

class Transfer {
 public:
  Transfer(const CurlLibrary& curl, const HttpPost& post)
      : curl_(curl),
        post_(post),
        sink_{post, {}, 0, false, false, {}},
        easy_(curl.easy_init(), EasyCloser{&curl}),
        multi_(curl.multi_init(), MultiCloser{&curl}),
        headers_(nullptr, ListCloser{&curl}) {}
  ~Transfer() {
    if (added_) curl_.multi_remove_handle(multi_.get(), easy_.get());
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  Result<HttpReply> run(HttpFault& fault) {
    if (!easy_ || !multi_) return fail(post_.step, place(), "libcurl cannot be started");
    set_options();
    added_ = curl_.multi_add_handle(multi_.get(), easy_.get()) == CURLM_OK;
    if (!added_) return fail(post_.step, place(), "libcurl cannot be started");
    CURLcode code = CURLE_OK;
    if (auto waited = wait(code, fault); !waited) return tl::unexpected<Error>(waited.error());
    if (code != CURLE_OK) return failure(code, fault);
    fault = HttpFault::none;
    return std::move(sink_.reply);
  }

 private:
  void set_options() {
    for (const auto& header : post_.headers)
      headers_.reset(curl_.slist_append(headers_.release(), header.c_str()));
    CURL* easy = easy_.get();
    curl_.easy_setopt(easy, CURLOPT_URL, post_.url.c_str());
    curl_.easy_setopt(easy, CURLOPT_HTTPHEADER, headers_.get());
    curl_.easy_setopt(easy, CURLOPT_POSTFIELDS, post_.body.c_str());
    curl_.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                      static_cast<curl_off_t>(post_.body.size()));
    curl_.easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(post_.timeout.count()));
    if (post_.connect_timeout.count() > 0)
      curl_.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                        static_cast<long>(post_.connect_timeout.count()));
    curl_.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);  // episodes run in threads
    curl_.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_.easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    curl_.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_.easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity");
    curl_.easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body);
    curl_.easy_setopt(easy, CURLOPT_WRITEDATA, &sink_);
    curl_.easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_.easy_setopt(easy, CURLOPT_HEADERDATA, &sink_);
  }

  Status wait(CURLcode& code, HttpFault& fault) {
    auto begin = Clock::now();
    for (;;) {
      int running = 0;
      if (curl_.multi_perform(multi_.get(), &running) != CURLM_OK)
        return fail(post_.step, place(), "libcurl gave up");
      if (running == 0) break;
      if (post_.cancellation != nullptr && post_.cancellation->cancelled()) {
        fault = HttpFault::cancelled;
        return fail(post_.step, place(), "it was cancelled");
      }
      if (post_.first_byte_timeout.count() > 0 && sink_.reply.status == 0 &&
          Clock::now() - begin > post_.first_byte_timeout) {
        fault = HttpFault::timed_out;
        return fail(post_.step, place(),
                    "no answer within " + std::to_string(post_.first_byte_timeout.count()) + " ms",
                    "raise first_byte_timeout_seconds, or check the endpoint");
      }
      curl_.multi_poll(multi_.get(), nullptr, 0, poll_ms, nullptr);
    }
    int left = 0;
    while (CURLMsg* message = curl_.multi_info_read(multi_.get(), &left))
      if (message->msg == CURLMSG_DONE) code = message->data.result;
    return ok();
  }

  Result<HttpReply> failure(CURLcode code, HttpFault& fault) {
    fault = fault_of(code);
    if (sink_.refused) {
      fault = HttpFault::taken;
      return tl::unexpected<Error>(*sink_.refused);
    }
    if (sink_.too_large) {
      fault = HttpFault::too_large;
      return fail(post_.step, place(),
                  "the reply is larger than " + std::to_string(post_.max_reply_bytes) + " bytes",
                  "check the address");
    }
    if (fault == HttpFault::timed_out && sink_.reply.status == 0 &&
        post_.connect_timeout.count() > 0 && !connected())
      return fail(post_.step, place(),
                  "no connection within " + std::to_string(post_.connect_timeout.count()) + " ms",
                  "check base_url, or raise connect_timeout_seconds");
    if (fault == HttpFault::timed_out)
      return fail(post_.step, place(),
                  "no reply within " + std::to_string(post_.timeout.count()) + " ms",
                  "raise timeout_seconds, or check the endpoint");
    return fail(post_.step, place(), curl_.easy_strerror(code),
                "check base_url and that the endpoint runs");
  }

  [[nodiscard]] std::string place() const {
    return printable(post_.shown.empty() ? shown_address(post_.url) : post_.shown);
  }

  [[nodiscard]] bool connected() {
    double seconds = 0;
    curl_.easy_getinfo(easy_.get(), CURLINFO_CONNECT_TIME, &seconds);
    return seconds > 0;
  }

  const CurlLibrary& curl_;
  const HttpPost& post_;
  Sink sink_;
  std::unique_ptr<CURL, EasyCloser> easy_;
  std::unique_ptr<CURLM, MultiCloser> multi_;
  std::unique_ptr<curl_slist, ListCloser> headers_;
  bool added_ = false;
};

}  // namespace

std::string shown_address(std::string_view url) {
  std::string shown(url.substr(0, url.find_first_of("?#")));
  auto begin = shown.find("://");
  begin = begin == std::string::npos ? 0 : begin + 3;
  auto end = std::min(shown.find('/', begin), shown.size());
  // What stands before the last @ of the authority.
  if (auto at = shown.rfind('@', end); at != std::string::npos && at >= begin && at < end)
    shown.erase(begin, at + 1 - begin);
  return shown;
}

std::string origin_of(std::string_view url) {
  std::string shown = shown_address(url);
  auto begin = shown.find("://");
  return shown.substr(0, shown.find('/', begin == std::string::npos ? 0 : begin + 3));
}

std::optional<double> retry_after(std::string_view value, std::int64_t now) {
  std::string text(value);
  char* end = nullptr;
  double seconds = std::strtod(text.c_str(), &end);
  if (end != text.c_str())
    return std::isfinite(seconds) && seconds >= 0 ? std::optional(seconds) : std::nullopt;
  std::tm date{};
  if (::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr) return std::nullopt;
  auto left = static_cast<std::int64_t>(::timegm(&date)) - now;
  return static_cast<double>(left > 0 ? left : 0);
}

Result<HttpReply> http_post(const HttpPost& post, HttpFault& fault) {
  fault = HttpFault::other;
  GYGES_TRY(const CurlLibrary* curl, CurlLibrary::get());
  return Transfer(*curl, post).run(fault);
}

}  // namespace gyges::model
