// A test that is run once with each backend, and that loses nothing.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>
#include <memory>

#include "recorded_run.h"

namespace gyges::recorder {

class CaptureTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (GetParam() == Backend::ebpf) {
      if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
      static const std::shared_ptr<CaptureBackend> shared = [] {
        auto opened = open_bpf_backend({});
        EXPECT_TRUE(opened) << opened.error().line();
        return opened ? std::shared_ptr<CaptureBackend>(std::move(*opened)) : nullptr;
      }();
      backend_ = shared;
    } else {
      backend_ = *open_ptrace_backend({});
    }
    ASSERT_NE(backend_, nullptr);
  }

  Recording run(const std::function<int()>& body, std::uint32_t tool_call = 0) {
    Recording result = record(*backend_, body, tool_call);
    const Counters& c = result.coverage.counters;
    EXPECT_TRUE(result.coverage.complete)
        << "enters " << c.enters << "/" << c.recorded_enters << " exits " << c.exits << "/"
        << c.recorded_exits << " lost " << c.lost;
    EXPECT_EQ(c.lost, 0U);
    return result;
  }

  [[nodiscard]] bool bpf() const { return GetParam() == Backend::ebpf; }

  std::shared_ptr<CaptureBackend> backend_;
};

inline const auto both_backends = testing::Values(Backend::ebpf, Backend::ptrace);
inline std::string backend_of_test(const testing::TestParamInfo<Backend>& info) {
  return info.param == Backend::ebpf ? "ebpf" : "ptrace";
}

}  // namespace gyges::recorder
