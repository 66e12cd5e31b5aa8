// Lines of bounded length from a descriptor, as they come.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"

namespace gyges::experiment {

class LineStream {
 public:
  explicit LineStream(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  // Reads once from `fd`. False: end of file, or nothing to read now on a non-blocking descriptor
  // (end() tells which). A line longer than the bound is an error, for good.
  Result<bool> fill(int fd);
  // The next whole line without its newline; none: fill() again.
  std::optional<std::string> next();
  [[nodiscard]] bool end() const { return end_; }

 private:
  std::size_t max_bytes_;
  std::string pending_;
  std::size_t start_ = 0;
  bool end_ = false;
};

}  // namespace gyges::experiment
