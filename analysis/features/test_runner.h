// The test runner that a run started last, and how it ended.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analysis/features/act.h"
#include "analysis/features/evidence.h"
#include "sandbox/recorder/format/process_ends.h"

namespace gyges::analysis {

// Whether the words of a command line start a test runner ("pytest -q", "make check", "npm test").
bool starts_tests(const std::vector<std::string>& argv);

// Feed it every act of a run, in order.
class TestRunner {
 public:
  // What an act was to it.
  enum class Step : std::uint8_t { none, started, passed, failed };
  Step observe(const Act& act);

  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool failed() const { return failed_; }  // false while it runs
  [[nodiscard]] const Evidence& start() const { return start_; }

 private:
  recorder::ProcessEnds ends_;
  std::int32_t process_ = 0;  // 0: it has ended
  bool started_ = false;
  bool failed_ = false;
  Evidence start_;
};

}  // namespace gyges::analysis
