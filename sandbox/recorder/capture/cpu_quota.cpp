#include "sandbox/recorder/capture/cpu_quota.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

namespace gyges::recorder {
namespace {

constexpr std::uint64_t ms = 1000000;
constexpr std::uint64_t patience_ns = 20 * ms;  // short bursts are what rings are for
constexpr std::uint64_t relief_ns = 40 * ms;
constexpr std::uint32_t least_percent = 10;  // of one processor: 1 ms of each period

}  // namespace

std::uint32_t QuotaSteps::look(std::uint64_t used, std::uint64_t ring_bytes, std::uint64_t now_ns) {
  if (used < ring_bytes / 4) full_since_ = 0;
  if (used >= ring_bytes / 16) empty_since_ = 0;
  if (used >= ring_bytes / 4) {
    if (full_since_ == 0) full_since_ = now_ns;
    if (now_ns - full_since_ >= patience_ns) {
      share_ = std::max(share_ / 2, std::min(least_percent, whole_));
      full_since_ = now_ns;
    }
  } else if (share_ != whole_ && used < ring_bytes / 16) {
    if (empty_since_ == 0) empty_since_ = now_ns;
    if (now_ns - empty_since_ >= relief_ns) {
      share_ = std::min(share_ * 2, whole_);
      empty_since_ = now_ns;
    }
  }
  return share_;
}

Result<CpuQuota> CpuQuota::take(const CpuQuotaFile& file, std::uint32_t cpus) {
  UniqueFd own(fcntl(file.file, F_DUPFD_CLOEXEC, 0));
  if (!own) return fail_errno("take processor quota", "descriptor");
  CpuQuota quota(std::move(own), file.v2, cpus);
  GYGES_CHECK(quota.set(quota.steps_.whole()));
  return quota;
}

Status CpuQuota::set(std::uint32_t percent) {
  const bool none = percent >= steps_.whole();
  const std::uint32_t quota_us = cpu_quota_period_us / 100 * percent;
  std::string text = none ? (v2_ ? "max" : "-1") : std::to_string(quota_us);
  if (v2_) text += " " + std::to_string(cpu_quota_period_us);
  if (pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return fail_errno("set processor quota", text);
  return ok();
}

std::optional<Throttling> CpuQuota::look(std::uint64_t used, std::uint64_t ring_bytes,
                                         std::uint64_t now_ns) {
  const std::uint32_t wanted = steps_.look(used, ring_bytes, now_ns);
  if (wanted == share_) return std::nullopt;
  if (const Status done = set(wanted); !done) {
    refusal_ = done.error().reason;
    return std::nullopt;
  }
  const std::uint32_t before = std::exchange(share_, wanted);
  if (before == steps_.whole()) now_ = {now_ns, 0, wanted};
  now_.least_percent = std::min(now_.least_percent, wanted);
  if (wanted != steps_.whole()) return std::nullopt;
  now_.duration_ns = now_ns - now_.began_ns;
  return now_;
}

std::optional<Throttling> CpuQuota::restore(std::uint64_t now_ns) {
  if (!file_ || share_ == steps_.whole()) return std::nullopt;
  share_ = steps_.whole();
  static_cast<void>(set(share_));  // the group is about to go, and its last processes with it
  now_.duration_ns = now_ns > now_.began_ns ? now_ns - now_.began_ns : 0;
  return now_;
}

}  // namespace gyges::recorder
