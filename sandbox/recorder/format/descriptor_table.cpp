#include "sandbox/recorder/format/descriptor_table.h"

#include <iterator>

namespace gyges::recorder {
namespace {

constexpr std::int32_t low_descriptors = 256;

}  // namespace

const Descriptor* DescriptorTable::find(std::int32_t fd) const {
  if (fd >= 0 && fd < low_descriptors) {
    const auto at = static_cast<std::size_t>(fd);
    return at < low_.size() && low_[at].name != no_path ? &low_[at] : nullptr;
  }
  auto at = high_.find(fd);
  return at == high_.end() ? nullptr : &at->second;
}

void DescriptorTable::set(std::int32_t fd, Descriptor descriptor) {
  count_ += find(fd) == nullptr ? 1 : 0;
  if (fd >= low_descriptors) {
    high_[fd] = descriptor;
    return;
  }
  const auto at = static_cast<std::size_t>(fd);
  if (low_.size() <= at) low_.resize(at + 1);
  low_[at] = descriptor;
}

void DescriptorTable::erase(std::int32_t fd) {
  if (find(fd) == nullptr) return;
  --count_;
  if (fd < low_descriptors)
    low_[static_cast<std::size_t>(fd)] = {};
  else
    high_.erase(fd);
}

void DescriptorTable::erase_closed_on_exec() {
  for (Descriptor& one : low_)
    if (one.name != no_path && one.close_on_exec) {
      one = {};
      --count_;
    }
  count_ -= std::erase_if(high_, [](const auto& entry) { return entry.second.close_on_exec; });
}

void DescriptorTable::erase(std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t at = first; at < low_.size() && at <= last; ++at)
    erase(static_cast<std::int32_t>(at));
  if (first > INT32_MAX || first > last) return;
  const auto from = high_.lower_bound(static_cast<std::int32_t>(first));
  const auto to =
      last >= INT32_MAX ? high_.end() : high_.upper_bound(static_cast<std::int32_t>(last));
  count_ -= static_cast<std::size_t>(std::distance(from, to));
  high_.erase(from, to);
}

void DescriptorTable::close_on_exec(std::uint64_t first, std::uint64_t last) {
  for (std::uint64_t at = first; at < low_.size() && at <= last; ++at)
    low_[at].close_on_exec = true;
  for (auto& [fd, descriptor] : high_)
    if (static_cast<std::uint64_t>(fd) >= first && static_cast<std::uint64_t>(fd) <= last)
      descriptor.close_on_exec = true;
}

}  // namespace gyges::recorder
