#include "sandbox/network/http/request_reader.h"

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <limits>
#include <optional>
#include <utility>

#include "sandbox/network/http/head_rules.h"

namespace gyges::network {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

const std::string long_chunk_line = "a line between chunks is over 4 KiB";

class Parser : public http::basic_parser<true> {
 public:
  explicit Parser(const RequestReader::Events& events) : events_(events) {
    header_limit(static_cast<std::uint32_t>(RequestReader::most_head_bytes + 4096));
    // Not boost::none: Beast 1.74 compares a length with the optional, and no limit is below all.
    body_limit(std::numeric_limits<std::uint64_t>::max());
    eager(true);
  }
  std::size_t trailers = 0;
  bool head_done = false;
  bool bad_trailer = false;
  bool long_line = false;  // between chunks

 private:
  void on_request_impl(http::verb, string_view, string_view, int, error_code&) override {}
  void on_response_impl(int, string_view, int, error_code&) override {}
  // Fields after the head are trailers. The head's were seen by the rules.
  void on_field_impl(http::field field, string_view name, string_view value,
                     error_code& code) override {
    if (!head_done) return;
    bad_trailer = field == http::field::host || field == http::field::content_length ||
                  field == http::field::transfer_encoding || field == http::field::connection ||
                  field == http::field::upgrade;
    if (bad_trailer)
      code = http::error::bad_field;
    else if (++trailers > RequestReader::most_fields)
      code = http::error::header_limit;
    else if (events_.trailer)
      events_.trailer({name.data(), name.size()}, {value.data(), value.size()});
  }
  void on_header_impl(error_code&) override { head_done = true; }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override {
    events_.body({body.data(), body.size()});
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, string_view extension, error_code& code) override {
    long_line = extension.size() > RequestReader::most_chunk_line;
    if (long_line) code = http::error::bad_chunk_extension;
    if (events_.extension && !extension.empty())
      events_.extension({extension.data(), extension.size()});
  }
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code&) override {
    events_.body({body.data(), body.size()});
    return body.size();
  }
  void on_finish_impl(error_code&) override {}

  const RequestReader::Events& events_;
};

char folded(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

}  // namespace

bool same_field(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return folded(x) == folded(y); });
}

std::string_view RequestHead::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (same_field(key, name)) return value;
  return {};
}

struct RequestReader::State {
  Events events;
  std::string buffer;
  std::size_t scanned = 0;  // of the buffer, in search of the end of the head
  std::optional<Parser> parser;
  bool waiting = false;  // for next()
  bool failed = false;
  bool skipped_line = false;

  void fail(int status, std::string reason) {
    failed = true;
    events.fault({status, std::move(reason), std::exchange(buffer, {})});
  }

  // True when the head was read.
  bool read_head() {
    // One empty line before a request is left by old clients after a body (RFC 9112 section 2.2).
    if (!skipped_line && buffer.starts_with("\r\n")) {
      buffer.erase(0, 2);
      skipped_line = true;
    }
    std::size_t from = scanned < 3 ? 0 : scanned - 3;
    std::size_t end = buffer.find("\r\n\r\n", from);
    scanned = buffer.size();
    if (std::min(end, buffer.size()) > most_head_bytes) {
      fail(buffer.find("\r\n") > most_head_bytes / 2 ? 414 : 431, "the head is over 32 KiB");
      return false;
    }
    if (end == std::string::npos) {
      // A head that ends with bare line feeds would never end otherwise.
      if (buffer.find("\n\n") != std::string::npos ||
          buffer.find("\n\r\n") < buffer.find("\r\n\r\n") - 1)
        fail(400, "a line ends with LF alone");
      return false;
    }
    std::string_view head = std::string_view(buffer).substr(0, end + 4);
    RequestHead parsed;
    if (auto fault = check_head(head, parsed)) {
      fail(fault->status, std::move(fault->reason));
      return false;
    }
    parser.emplace(events);
    error_code code;
    std::size_t used = parser->put(boost::asio::buffer(head.data(), head.size()), code);
    if ((code && code != http::error::need_more) || used != head.size() || !parser->head_done) {
      fail(400, "the head is malformed: " + code.message());
      return false;
    }
    parsed.keep_alive = parser->keep_alive();
    buffer.erase(0, end + 4);
    scanned = 0;
    events.head(std::move(parsed));
    return true;
  }

  // True when the body was read.
  bool read_body() {
    std::size_t at = 0;
    while (!parser->is_done() && at < buffer.size()) {
      error_code code;
      std::size_t used =
          parser->put(boost::asio::buffer(buffer.data() + at, buffer.size() - at), code);
      at += used;
      if (code == http::error::need_more || (!code && used == 0)) break;
      if (code) {
        buffer.erase(0, at);
        fail(400, parser->bad_trailer ? "a trailer belongs into the head"
                  : parser->long_line ? long_chunk_line
                                      : "the body is malformed: " + code.message());
        return false;
      }
    }
    buffer.erase(0, at);
    if (parser->is_done()) return true;
    if (buffer.size() > most_chunk_line) fail(400, long_chunk_line);
    return false;
  }

  void run() {
    read();
    // Of a large piece of a body nothing is left; its room must not stay with each connection.
    if (buffer.capacity() > 4096 && buffer.size() < 1024) buffer.shrink_to_fit();
  }

  void read() {
    while (!failed && !waiting) {
      if (!parser && !read_head()) return;
      if (failed || !read_body()) return;
      parser.reset();
      skipped_line = false;
      waiting = true;
      events.end();
    }
  }
};

RequestReader::RequestReader(Events events) : state_(std::make_unique<State>()) {
  state_->events = std::move(events);
}
RequestReader::~RequestReader() = default;

void RequestReader::feed(std::string_view bytes) {
  if (state_->failed) return;
  state_->buffer += bytes;
  state_->run();
}

void RequestReader::next() {
  state_->waiting = false;
  state_->scanned = 0;
  state_->run();
}

std::string_view RequestReader::held() const {
  return state_->buffer;
}

bool RequestReader::between_requests() const {
  return !state_->parser && state_->buffer.empty();
}

}  // namespace gyges::network
