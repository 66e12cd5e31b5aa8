#include "tools/output_window.h"

#include <algorithm>

#include "base/text.h"

namespace gyges::tools {

void OutputWindow::append(std::string_view bytes) {
  total_ += bytes.size();
  std::size_t into_head = std::min(bytes.size(), head_limit_ - head_.size());
  head_ += bytes.substr(0, into_head);
  bytes.remove_prefix(into_head);
  if (bytes.size() > tail_limit_) bytes.remove_prefix(bytes.size() - tail_limit_);
  std::size_t grow = std::min(bytes.size(), tail_limit_ - tail_.size());
  tail_ += bytes.substr(0, grow);
  bytes.remove_prefix(grow);
  while (!bytes.empty()) {
    std::size_t piece = std::min(bytes.size(), tail_.size() - tail_start_);
    tail_.replace(tail_start_, piece, bytes.substr(0, piece));
    tail_start_ = (tail_start_ + piece) % tail_.size();
    bytes.remove_prefix(piece);
  }
}

std::string OutputWindow::bytes() const {
  return head_ + tail_.substr(tail_start_) + tail_.substr(0, tail_start_);
}

std::string OutputWindow::text() const {
  if (!truncated()) return valid_utf8(bytes());
  std::string end = tail_.substr(tail_start_) + tail_.substr(0, tail_start_);
  std::uint64_t left_out = total_ - head_.size() - tail_.size();
  return valid_utf8(head_) + "\n[... " + std::to_string(left_out) + " bytes left out ...]\n" +
         valid_utf8(end);
}

}  // namespace gyges::tools
