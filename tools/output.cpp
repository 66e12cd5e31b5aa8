#include "tools/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"

namespace gyges::tools {

std::uint64_t OutputStore::take(std::uint64_t bytes) {
  std::uint64_t left = left_;
  std::uint64_t taken = 0;
  do taken = std::min(left, bytes);
  while (!left_.compare_exchange_weak(left, left - taken));
  return taken;
}

Output::~Output() {
  std::error_code ignored;
  if (!partial_.empty()) std::filesystem::remove(partial_, ignored);
}

void Output::append(std::string_view bytes) {
  if (store_ != nullptr && window_.total() + bytes.size() > window_bytes_) {
    // Until now the window has held everything.
    if (partial_.empty() && problem_.empty()) keep(window_.bytes());
    keep(bytes);
  }
  window_.append(bytes);
}

void Output::keep(std::string_view bytes) {
  if (!problem_.empty()) return;
  if (partial_.empty()) {
    partial_ = store_->directory_ / (".output-" + std::to_string(++store_->last_));
    file_ = UniqueFd(
        ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file_) {
      problem_ = fail_errno("keep output", partial_.string()).value().line();
      partial_.clear();
      return;
    }
  }
  std::uint64_t room =
      store_->take(std::min<std::uint64_t>(store_->output_bytes_ - kept_, bytes.size()));
  if (bytes.size() > room) {
    cut_ = true;
    bytes = bytes.substr(0, static_cast<std::size_t>(room));
  }
  if (bytes.empty()) return;
  if (auto written = write_all(file_.get(), bytes); !written) {
    problem_ = written.error().line();
    return;
  }
  hasher_.update(bytes);
  kept_ += bytes.size();
}

std::optional<KeptOutput> Output::finish() {
  if (partial_.empty() || !problem_.empty() || kept_ == 0) return std::nullopt;
  KeptOutput kept{to_hex(hasher_.finish()), kept_, !cut_};
  std::error_code error;
  std::filesystem::rename(partial_, store_->directory_ / kept.sha256, error);
  if (error) {
    problem_ = fail_errno("keep output", partial_.string(), error.value()).value().line();
    return std::nullopt;
  }
  partial_.clear();
  return kept;
}

}  // namespace gyges::tools
