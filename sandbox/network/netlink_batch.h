// Netlink requests put together by hand: a few dozen messages make a whole topology, and sending
// them together costs a handful of system calls.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace gyges::network {

class NetlinkBatch {
 public:
  // Begins a message of `type` whose fixed part is `header` (bytes); `words` name it in errors.
  // Every message asks for an acknowledgement unless `silent`.
  void begin(std::uint16_t type, std::uint16_t flags, std::string_view header, std::string words,
             bool silent = false);
  void attribute(std::uint16_t type, std::string_view value);
  void attribute_u32(std::uint16_t type, std::uint32_t value);
  void attribute_be32(std::uint16_t type, std::uint32_t value);
  void attribute_text(std::uint16_t type, std::string_view text);  // with its NUL
  // Nested attributes; each open() needs its close().
  void open(std::uint16_t type);
  void close();
  // Bytes inside the current nest, aligned to 4: a fixed structure before attributes.
  void raw(std::string_view bytes);

  // Sends everything as one datagram and reads the acknowledgements. The first refusal is the
  // error. Blocks for as long as the kernel works, at most 10 s.
  Status send(int socket);

 private:
  struct Request {
    std::uint32_t sequence;
    std::string words;
  };
  void finish_message();

  std::string bytes_;
  std::size_t message_ = 0;
  bool open_message_ = false;
  std::vector<std::size_t> nests_;
  std::vector<Request> requests_;
  std::uint32_t sequence_ = 0;
};

template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

}  // namespace gyges::network
