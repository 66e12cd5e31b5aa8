// Programs run once under strace -f and once for each backend, their calls thread by thread.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "recorded_run.h"
#include "strace_output.h"

namespace gyges::recorder {

// Calls by the thread's place in the tree of creation: "0" is the first thread, "0.1" the second
// that it created.
using PlacedCalls = std::map<std::string, std::vector<StraceCall>>;

class TruthFixture : public testing::Test {
 protected:
  void SetUp() override;

  // The program in a fixed environment, directory and address layout.
  std::function<int()> prepared(const std::vector<std::string>& argv);
  int run(const std::vector<std::string>& argv);
  PlacedCalls calls_by_strace(const std::vector<std::string>& argv,
                              const std::vector<std::string>& options);
  PlacedCalls calls_by_backend(CaptureBackend& backend, const std::vector<std::string>& argv);

  std::optional<TemporaryDirectory> directory_;
  bool handlers_ = true;    // calls made by and after signal handlers are compared
  bool with_text_ = false;  // calls_by_backend() fills arguments
};

}  // namespace gyges::recorder
