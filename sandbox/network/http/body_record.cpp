#include "sandbox/network/http/body_record.h"

#include <algorithm>

namespace gyges::network {

BodyRecord::BodyRecord(std::uint64_t most_kept, const CanarySet* canaries, std::string place)
    : most_kept_(most_kept) {
  if (canaries != nullptr && !canaries->empty()) search_.emplace(*canaries, std::move(place));
}

void BodyRecord::feed(std::string_view bytes, std::vector<CanaryHit>& hits) {
  if (bytes.empty()) return;
  if (!hasher_) hasher_.emplace();
  hasher_->update(bytes);
  size_ += bytes.size();
  if (head_.size() < most_kept_)
    head_ += bytes.substr(0, static_cast<std::size_t>(
                                 std::min<std::uint64_t>(bytes.size(), most_kept_ - head_.size())));
  if (search_) search_->feed(bytes, hits);
}

FlowBody BodyRecord::finish(bool whole) {
  FlowBody body;
  body.head = std::move(head_);
  body.size = size_;
  if (whole && hasher_) body.sha256 = to_hex(hasher_->finish());
  return body;
}

}  // namespace gyges::network
