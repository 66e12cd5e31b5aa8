// Undoing what may hide a token in a stream: percent-encoding, separators, base64 around other
// encodings, and compression. Streaming, bounded. Internal to the search.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace gyges::network {

class PercentDecoder {
 public:
  // The decoded text, from the first escape of the stream on; empty while there was none, because
  // the text is then what the stream is.
  std::string feed(std::string_view bytes);
  // Whether `bytes` would be the first ones with an escape.
  [[nodiscard]] bool starts_with(std::string_view bytes) const {
    return !active_ && bytes.find('%') != std::string_view::npos;
  }

 private:
  std::string held_;  // "%" or "%4" at the end of a piece
  bool active_ = false;
};

// Leaves out what stands between the digits of a dump or the lines of an encoded text: everything
// but letters, digits and the digits of base64, and the prefixes 0x, \\x and \\u00 of numbers.
class Squeezer {
 public:
  std::string feed(std::string_view bytes);

 private:
  enum class State : std::uint8_t { inside, between, zero, escape, unicode, unicode_zero };
  State state_ = State::between;
};

// Decodes whatever looks like base64 of either alphabet, over line ends as well. What another
// encoding or compression hides is in no spelling of the token.
class Base64Runs {
 public:
  static constexpr std::size_t shortest_run = 16;  // digits; fewer hold no token
  // `run` is called with what was decoded of a run; `first`: of a new one.
  using Output = std::function<void(std::string_view bytes, bool first)>;
  void feed(std::string_view bytes, const Output& run);

 private:
  std::string held_;  // of a run that may be too short
  std::uint32_t bits_ = 0;
  unsigned count_ = 0;  // of digits in bits_
  bool running_ = false;
  bool escape_ = false;  // after a backslash: \\n and \\r of JSON are line ends
};

// Finds gzip, zlib, zstd and members of zip by their first bytes, and raw deflate at the start of
// the stream, and unpacks what follows; several members one after the other as well. Reads at most
// 16 MiB of output, and a window of at most 256 KiB, so that neither a bomb nor a large window
// costs more.
class Decompressor {
 public:
  Decompressor();
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  using Output = std::function<void(const char* format, std::string_view bytes)>;
  void feed(std::string_view bytes, const Output& output);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Whether the text begins like what a Decompressor finds by its first bytes.
bool is_packed(std::string_view bytes);

}  // namespace gyges::network
