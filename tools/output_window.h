// Keeps the beginning and the end of a stream of any length in bounded memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace gyges::tools {

class OutputWindow {
 public:
  // Keeps at most `limit` bytes: half from the beginning, half from the end.
  explicit OutputWindow(std::size_t limit)
      : head_limit_(limit - limit / 2), tail_limit_(limit / 2) {}

  void append(std::string_view bytes);

  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] bool truncated() const { return total_ > head_limit_ + tail_limit_; }

  // What is kept, head before tail; the whole stream as long as nothing is left out.
  [[nodiscard]] std::string bytes() const;

  // Valid UTF-8, with a note where bytes were left out.
  [[nodiscard]] std::string text() const;

 private:
  std::size_t head_limit_;
  std::size_t tail_limit_;
  std::string head_;
  std::string tail_;  // ring once full
  std::size_t tail_start_ = 0;
  std::uint64_t total_ = 0;
};

}  // namespace gyges::tools
