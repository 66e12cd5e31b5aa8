// gyges on a host that has no thread left.
#include <gmock/gmock.h>

#include <cstdlib>

#include "gyges_process.h"

namespace gyges {
namespace {

using ::testing::HasSubstr;

using Threads = EndToEnd;

// Whichever of its threads is not to be had, a run does the work without it or says why it did not;
// it neither waits for it nor ends as a defect.
TEST_F(Threads, OneThatIsNotToBeHadIsDoneWithoutOrSaid) {
  int whole = 0;
  int said = 0;
  for (int i = 1; i <= 16; ++i) {
    ::setenv("LD_PRELOAD", GYGES_WITHOUT_THREAD, 1);
    ::setenv("GYGES_TEST_THREAD", std::to_string(i).c_str(), 1);
    const Finished run = gyges({"run", "--quiet", "--recorder", "off", "--persona", "vm-production",
                                "--", "sh", "-c", "echo it runs"});
    ::unsetenv("LD_PRELOAD");
    ::unsetenv("GYGES_TEST_THREAD");
    if (run.status == 0) {
      ++whole;
      EXPECT_EQ(run.output, "it runs\n") << i;
      continue;
    }
    ++said;
    EXPECT_EQ(run.status, 125) << i;
    EXPECT_EQ(run.output, "") << i;
    EXPECT_THAT(run.error, HasSubstr("thread that ")) << i;
    EXPECT_THAT(run.error, HasSubstr("lower the number of parallel runs")) << i;
  }
  // The control: some are needed, and some are not.
  EXPECT_GE(whole, 4);
  EXPECT_GE(said, 2);
}

}  // namespace
}  // namespace gyges
