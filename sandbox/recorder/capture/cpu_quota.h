// The second stage of back-pressure: while the rings stay well filled, the consumer lowers the
// processor time that the sandbox's control group may use. The third stage, waiting in the kernel,
// needs no group and is what keeps records from being lost; this one comes before it and makes a
// sandbox that is long ahead of its recorder run evenly instead of in fits and starts.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {

// When to lower and when to restore. Knows no files, so that it can be tested.
class QuotaSteps {
 public:
  explicit QuotaSteps(std::uint32_t cpus) : whole_(cpus * 100) {}

  // `used` of `ring_bytes` are filled, by the sandbox in question. Returns the share that it may
  // use from now on, in percent of one processor; whole() for all.
  std::uint32_t look(std::uint64_t used, std::uint64_t ring_bytes, std::uint64_t now_ns);
  [[nodiscard]] std::uint32_t whole() const { return whole_; }

 private:
  std::uint32_t whole_;
  std::uint32_t share_ = whole_;
  std::uint64_t full_since_ = 0;   // 0: the fullest ring is not
  std::uint64_t empty_since_ = 0;  // 0: it is not
};

// A time in which the sandbox was slowed down.
struct Throttling {
  std::uint64_t began_ns = 0;
  std::uint64_t duration_ns = 0;
  std::uint32_t least_percent = 0;  // of one processor
};

class CpuQuota {
 public:
  // Takes a duplicate of the file. Fails if it cannot be written.
  static Result<CpuQuota> take(const CpuQuotaFile& file, std::uint32_t cpus);
  CpuQuota(CpuQuota&&) = default;
  CpuQuota& operator=(CpuQuota&&) = default;
  ~CpuQuota() { static_cast<void>(restore(0)); }

  // As QuotaSteps::look(), and sets it. A throttling that is over is returned. A share that the
  // kernel refuses (a group further up has less) is tried again at the next look.
  std::optional<Throttling> look(std::uint64_t used, std::uint64_t ring_bytes,
                                 std::uint64_t now_ns);
  // Why the kernel refused a share; empty: it never did.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }
  // Ends it now.
  std::optional<Throttling> restore(std::uint64_t now_ns);

 private:
  CpuQuota(UniqueFd file, bool v2, std::uint32_t cpus)
      : file_(std::move(file)), v2_(v2), steps_(cpus), share_(steps_.whole()) {}
  Status set(std::uint32_t percent);

  UniqueFd file_;
  bool v2_;
  QuotaSteps steps_;
  std::uint32_t share_;  // as it is set
  Throttling now_;       // the one in progress
  std::string refusal_;
};

}  // namespace gyges::recorder
