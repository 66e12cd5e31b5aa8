#include "sandbox/network/http/body_record.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "sandbox/network/http/aside_hashing.h"
#include "sandbox/network/http/moved_pages.h"

namespace gyges::network {
namespace {

// Slots of one length in a file, each of one record.
struct Spill {
  UniqueFd file;
  std::uint64_t slot_bytes = 0;
  std::uint32_t most_slots = 0;
  std::uint32_t used = 0;
  std::vector<std::uint32_t> free;
  std::size_t in_memory = 0;
};

Spill& spilled() {
  static Spill spill;
  return spill;
}

}  // namespace

void BodyRecord::spill_to(UniqueFd file, std::uint64_t most_kept, std::uint32_t most_records) {
  Spill& all = spilled();
  all.file = std::move(file);
  all.slot_bytes = most_kept;
  all.most_slots = most_records;
}

BodyRecord::BodyRecord(std::uint64_t most_kept, const CanarySet* canaries, std::string place,
                       Hash hash)
    : most_kept_(most_kept), hashes_(hash == Hash::yes) {
  if (canaries != nullptr && !canaries->empty()) search_.emplace(*canaries, std::move(place));
}

BodyRecord::BodyRecord(BodyRecord&& other) noexcept
    : most_kept_((other.settle(), other.most_kept_)),
      hashes_(other.hashes_),
      head_(std::move(other.head_)),
      counted_(std::exchange(other.counted_, 0)),
      slot_(std::exchange(other.slot_, no_slot)),
      spilled_(other.spilled_),
      full_(other.full_),
      size_(other.size_),
      hasher_(std::move(other.hasher_)),
      search_(std::move(other.search_)) {}

void BodyRecord::settle() {
  AsideHashing::instance().settle(std::exchange(job_, 0));
}

void BodyRecord::drop() {
  settle();
  Spill& all = spilled();
  all.in_memory -= counted_;
  counted_ = 0;
  if (slot_ != no_slot) all.free.push_back(slot_);
  slot_ = no_slot;
}

bool BodyRecord::spill(std::string_view bytes) {
  Spill& all = spilled();
  if (slot_ == no_slot) {
    if (!all.file || most_kept_ > all.slot_bytes) return false;
    if (!all.free.empty()) {
      slot_ = all.free.back();
      all.free.pop_back();
    } else if (all.used < all.most_slots) {
      slot_ = all.used++;
    } else {
      return false;
    }
  }
  while (!bytes.empty()) {
    ssize_t n = ::pwrite(all.file.get(), bytes.data(), bytes.size(),
                         static_cast<off_t>(slot_ * all.slot_bytes + spilled_));
    if (n <= 0) return false;
    spilled_ += static_cast<std::uint64_t>(n);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

void BodyRecord::keep(std::string_view bytes) {
  constexpr std::size_t little = 512;  // stays in memory in any case
  Spill& all = spilled();
  if (slot_ == no_slot &&
      (all.in_memory <= most_in_memory || head_.size() + bytes.size() <= little)) {
    head_ += bytes;
    all.in_memory += head_.capacity() - counted_;
    counted_ = head_.capacity();
    return;
  }
  if (!head_.empty()) {
    full_ = !spill(head_);
    if (full_) return;
    std::string().swap(head_);
    all.in_memory -= counted_;
    counted_ = 0;
  }
  full_ = !spill(bytes);
}

std::string BodyRecord::head() const {
  if (slot_ == no_slot || !head_.empty()) return head_;
  Spill& all = spilled();
  std::string bytes(static_cast<std::size_t>(spilled_), '\0');
  std::size_t have = 0;
  while (have < bytes.size()) {
    ssize_t n = ::pread(all.file.get(), bytes.data() + have, bytes.size() - have,
                        static_cast<off_t>(slot_ * all.slot_bytes + have));
    if (n <= 0) break;
    have += static_cast<std::size_t>(n);
  }
  bytes.resize(have);
  return bytes;
}

void BodyRecord::feed(std::string_view bytes, std::vector<CanaryHit>& hits) {
  if (bytes.empty()) return;
  if (hashes_) {
    if (!hasher_) hasher_.emplace();
    const std::uint64_t job = AsideHashing::instance().hash(*hasher_, bytes);
    if (job == 0) {
      settle();
      hasher_->update(bytes);
    } else {
      job_ = job;
    }
  }
  if (size_ < most_kept_ && !full_)
    keep(bytes.substr(
        0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), most_kept_ - size_))));
  size_ += bytes.size();
  if (search_) search_->feed(bytes, hits);
}

void BodyRecord::feed_moved(MovedPages& pages, std::size_t bytes) {
  size_ += bytes;
  if (!hashes_) return;
  if (!hasher_) hasher_.emplace();
  job_ = pages.hash(*hasher_, bytes);
}

FlowBody BodyRecord::finish(bool whole) {
  settle();
  FlowBody body;
  body.head = slot_ == no_slot ? std::move(head_) : head();
  head_.clear();
  drop();
  body.size = size_;
  if (whole && hasher_) body.sha256 = to_hex(hasher_->finish());
  return body;
}

}  // namespace gyges::network
