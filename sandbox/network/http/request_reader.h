// Requests of HTTP/1.1 from a stream of bytes. Boost.Beast parses; what comes before it refuses
// every form that two programs might read differently (request smuggling, RFC 9112 section 11):
// Transfer-Encoding beside Content-Length or in HTTP/1.0, codings other than "chunked" alone,
// repeated or odd Content-Length, line folding, bare CR or LF, white space before a colon, control
// bytes, zero or several Host fields, a Host that differs from an absolute target, and trailers
// that some programs would take for fields of the head (Host and whatever says where a body ends).
//
// Bounded: a head of 32 KiB with 100 fields, a chunk line of 4 KiB. Bodies pass through. One owner.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sandbox/network/names/host_name.h"
#include "sandbox/network/world/world_data.h"

namespace gyges::network {

struct RequestHead {
  std::string method;
  std::string target;   // origin form, or "*", or for CONNECT the authority
  std::string version;  // "1.1", "1.0", "2"
  Authority authority;
  Headers headers;
  bool keep_alive = true;
  bool expects_continue = false;
  bool has_body = false;
  // The first field of that name, in any case; empty if there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

bool same_field(std::string_view a, std::string_view b);  // ASCII, without regard to case

class RequestReader {
 public:
  static constexpr std::size_t most_head_bytes = 32768;
  static constexpr std::size_t most_fields = 100;
  static constexpr std::size_t most_chunk_line = 4096;

  struct Fault {
    int status = 400;    // 400, 414, 431, 501, 505
    std::string reason;  // for the record
    std::string rest{};  // what was not understood, from its first byte on
  };
  struct Events {
    std::function<void(RequestHead&&)> head;
    std::function<void(std::string_view)> body;
    // The request is whole. Nothing of the next one is read before next().
    std::function<void()> end;
    std::function<void(const Fault&)> fault;  // the reader takes nothing more
    // What stands beside a body in chunks; may be empty functions.
    std::function<void(std::string_view name, std::string_view value)> trailer;
    std::function<void(std::string_view text)> extension;
  };

  explicit RequestReader(Events events);
  ~RequestReader();

  // Everything of `bytes` that is not used yet is kept, so a caller who feeds while a request waits
  // for next() must bound that itself.
  void feed(std::string_view bytes);
  // Goes on with the next request, from what was kept.
  void next();
  [[nodiscard]] std::size_t held_bytes() const { return held().size(); }
  [[nodiscard]] std::string_view held() const;
  // Nothing of a request was read yet: a close now loses nothing.
  [[nodiscard]] bool between_requests() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gyges::network
