// Undoing what may hide a token in a stream: percent-encoding and compression. Streaming, bounded.
// Internal to the search.
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

// Finds gzip, zlib and zstd by their first bytes, and raw deflate at the start of the stream, and
// unpacks what follows; several members one after the other as well. Reads at most 16 MiB of
// output, and a window of at most 256 KiB, so that neither a bomb nor a large window costs more.
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

}  // namespace gyges::network
