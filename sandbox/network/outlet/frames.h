// HTTP exchanges that the gateway does not answer itself but hands out to the supervisor, over one
// stream socket: what goes over it. The gateway reads hostile traffic and is not trusted, so that
// the supervisor reads these frames with bounds and treats what is malformed as the end.
//
// A frame is a kind (1 byte), an exchange's number (8 bytes), a length (4 bytes) and as many bytes.
// Numbers are little-endian: both programs are of one build. Both directions use the same kinds: a
// head, any number of body pieces, then `end`, or `abort` at any time, after which neither side
// sends more about that exchange.
//
// Answers have a window each: the supervisor has sent at most answer_window bytes of a body that
// the gateway has not said, by `more`, that the client took. So a client that does not read holds
// up its own answer and no other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace gyges::network {

enum class FrameKind : std::uint8_t { head = 1, body, end, abort, more };

struct Frame {
  FrameKind kind = FrameKind::head;
  std::uint64_t exchange = 0;
  std::string_view bytes;
};

inline constexpr std::size_t most_frame_bytes = 128U << 10U;
inline constexpr std::size_t most_body_piece = 64U << 10U;
inline constexpr std::size_t answer_window = 256U << 10U;

// `bytes` has at most most_frame_bytes.
void append_frame(std::string& out, FrameKind kind, std::uint64_t exchange, std::string_view bytes);
// The same for a body of any length, in pieces.
void append_body(std::string& out, std::uint64_t exchange, std::string_view bytes);

// Takes a stream apart.
class FrameReader {
 public:
  void feed(std::string_view bytes);
  // nullopt: more bytes are needed. Valid until the next call of feed(). An error is final.
  Result<std::optional<Frame>> next();

 private:
  std::string held_;
  std::size_t used_ = 0;
};

using HeaderFields = std::vector<std::pair<std::string, std::string>>;

// What a head frame holds on its way out.
struct OutletRequest {
  bool tls = false;
  std::string method;
  std::string host;  // canonical name or address, as the client said it
  std::uint16_t port = 0;
  std::string target;  // origin form
  HeaderFields headers;
};

// And on its way back.
struct OutletResponse {
  int status = 200;  // 200 to 599
  // Without Date and Connection. With Content-Length the body has that length; without, its end is
  // the `end` frame.
  HeaderFields headers;
};

// What a `more` frame holds: how many bytes of the answer were taken since the last one.
std::string encode_more(std::size_t bytes);
Result<std::size_t> decode_more(std::string_view bytes);

std::string encode_request(const OutletRequest& request);
Result<OutletRequest> decode_request(std::string_view bytes);
std::string encode_response(const OutletResponse& response);
Result<OutletResponse> decode_response(std::string_view bytes);

}  // namespace gyges::network
