// Group B15: the record of a run that lies in the directory that the run works in.
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

struct Finished {
  int status = -1;
  std::string output;
};

Finished gyges(const std::string& arguments) {
  Finished finished;
  FILE* pipe = ::popen((std::string(GYGES_BINARY) + " " + arguments + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return finished;
  char chunk[4096];
  for (std::size_t n; (n = ::fread(chunk, 1, sizeof(chunk), pipe)) > 0;)
    finished.output.append(chunk, n);
  int status = ::pclose(pipe);
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return finished;
}

class Record : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::access(GYGES_BINARY, X_OK) != 0) GTEST_SKIP() << GYGES_BINARY << " is out of reach";
    auto directory = TemporaryDirectory::create("gyges-record");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    work_ = fs::canonical(directory_->path()) / "work";
    fs::create_directory(work_);
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  fs::path work_;
};

constexpr const char* attempt =
    "sh -c 'ls run; cat run/trace.gyt; echo forged > run/trace.gyt; rm -rf run; mv run elsewhere; "
    "mkdir -p run/files; echo forged > run/files/changes.jsonl; echo forged > run/run.json; true'";

TEST_F(Record, ABundleInTheWorkingDirectoryIsOutOfReach) {
  std::string bundle = (work_ / "run").string();
  Finished run = gyges("run --recorder ptrace --workspace " + work_.string() + " --out " + bundle +
                       " -- " + attempt);
  EXPECT_EQ(run.status, 0) << run.output;
  EXPECT_THAT(run.output, Not(HasSubstr("trace.gyt\n")));
  EXPECT_EQ(gyges("verify " + bundle).status, 0);
  EXPECT_TRUE(fs::exists(work_ / "run/seal.json"));
  EXPECT_FALSE(fs::exists(work_ / "elsewhere"));
}

// The same where the policy lets the command write to the host's directory itself.
TEST_F(Record, ABundleBelowAWritableMountIsOutOfReach) {
  nlohmann::json json = policy_to_json(test_policy());
  json["filesystem"]["mounts"].push_back({{"kind", "read_write"}, {"target", work_.string()}});
  json["grants"].push_back("writable_host_mount");
  fs::path policy = directory_->path() / "policy.json";
  ASSERT_TRUE(write_file_atomically(policy, json.dump()));
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(work_.c_str(), 1000, 1000), 0);
  }
  std::string bundle = (work_ / "run").string();
  Finished run =
      gyges("run --recorder ptrace --policy " + policy.string() + " --workspace " +
            directory_->path().string() + " --out " + bundle + " -- sh -c 'cd " + work_.string() +
            " && echo reached > here; " + std::string(attempt).substr(7));
  EXPECT_EQ(run.status, 0) << run.output;
  EXPECT_THAT(run.output, Not(HasSubstr("trace.gyt\n")));
  // The control: the directory is the host's, and what is not the record can be written.
  EXPECT_EQ(read_file(work_ / "here").value_or(""), "reached\n");
  EXPECT_EQ(gyges("verify " + bundle).status, 0);
}

TEST_F(Record, ABundleThatIsTheWorkingDirectoryIsRefused) {
  Finished run = gyges("run --recorder off --workspace " + work_.string() + " --out " +
                       work_.string() + " -- true");
  EXPECT_EQ(run.status, 125);
  EXPECT_THAT(run.output, HasSubstr("works in"));
}

}  // namespace
}  // namespace gyges::isolation
