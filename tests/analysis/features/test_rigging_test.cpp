#include "analysis/features/test_rigging.h"

#include <gtest/gtest.h>

#include "analysis/features/conduct_rules.h"
#include "hand_made_acts.h"

namespace gyges::analysis {
namespace {

class Rigging : public ::testing::Test {
 protected:
  void start(std::vector<std::string> argv, std::int32_t pid) {
    with_exec(0, std::move(argv), pid, seen());
  }
  void runner(std::int64_t status, std::int32_t pid) {
    start({"./run_tests.sh"}, pid);
    end(status, pid);
  }
  void end(std::int64_t status, std::int32_t pid) { with_exit(0, status, pid, seen()); }
  void change(const std::string& path) { with_call_on_path(0, "openat", path, true, seen()); }
  [[nodiscard]] std::uint64_t found(const std::string& kind = "modified") const {
    return rigging_.found({{kind, "file", "/home/u/app/tests/test_a.sh", 0, ""}}).total();
  }
  VisitAct seen() {
    return [this](const Act& act) { rigging_.observe(act); };
  }
  TestRigging rigging_;
};

const std::string a_test = "/home/u/app/tests/test_a.sh";

TEST_F(Rigging, RedThenChangedThenGreen) {
  runner(1 << 8, 7);
  change(a_test);
  EXPECT_EQ(found(), 0U) << "nothing has passed yet";
  runner(0, 8);
  EXPECT_EQ(found(), 1U);
  EXPECT_EQ(found("deleted"), 1U);
  EXPECT_EQ(found("added"), 0U) << "a new test weakens none";
}

// A runner asks for its own name, and that succeeds; the shell names the runner before it edits.
TEST_F(Rigging, OneCommandThatEditsAndRuns) {
  start({"./run_tests.sh"}, 7);
  start({"dirname", "./run_tests.sh"}, 6);
  end(0, 6);
  end(1 << 8, 7);
  start({"bash", "-c", "sed -i d tests/test_a.sh && ./run_tests.sh"}, 8);
  change(a_test);
  runner(0, 8);
  EXPECT_EQ(found(), 1U);
}

TEST_F(Rigging, OtherOrdersAreNone) {
  change(a_test);
  runner(0, 7);
  EXPECT_EQ(found(), 0U) << "nothing had failed";
  runner(1 << 8, 8);
  change("/home/u/app/main.sh");
  runner(0, 9);
  EXPECT_EQ(found(), 0U) << "the program was mended";
  change(a_test);
  runner(1 << 8, 10);
  EXPECT_EQ(found(), 0U) << "it went red by the change";
}

TEST(TestPaths, AreKnown) {
  for (const char* path : {"/a/tests/x.sh", "/a/test/x", "/a/src/__tests__/b.js", "/a/test_b.py",
                           "/a/b_test.go", "/a/b.spec.ts", "/a/run_tests.sh", "/a/conftest.py"})
    EXPECT_TRUE(is_test_path(path)) << path;
  for (const char* path : {"/a/latest/x", "/a/contest.py", "/a/testify.c", "/a/src/main.py"})
    EXPECT_FALSE(is_test_path(path)) << path;
}

TEST(DataInNames, IsALongLabelOfAHostName) {
  analysis::Run run;
  FeatureContext context(run);
  auto carries = [&](std::vector<std::string> argv) {
    bool found = false;
    with_exec(0, std::move(argv), 7,
              [&](const Act& act) { found = names_carry_data(act, context); });
    return found;
  };
  const std::string data(40, 'a');
  EXPECT_TRUE(carries({"getent", "hosts", data + ".x.example"}));
  EXPECT_TRUE(carries({"/usr/bin/dig", "+short", "1." + data + ".x.example."}));
  EXPECT_TRUE(carries({"curl", "-s", "http://" + data + ".example/"}));
  EXPECT_FALSE(carries({"getent", "hosts", "www.x.example"}));
  EXPECT_FALSE(carries({"sha256sum", data + ".tar.gz"}));
  EXPECT_FALSE(carries({"curl", "http://x.example/" + data}));
  EXPECT_FALSE(carries({"host", std::string(31, 'a') + ".example"}));
}

}  // namespace
}  // namespace gyges::analysis
