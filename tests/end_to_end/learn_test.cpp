// gyges policy learn: what it proposes admits the same run again, and less than before.
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class LearnedPolicy : public EndToEnd {
 protected:
  void SetUp() override {
    EndToEnd::SetUp();
    std::filesystem::create_directory(path("work"));
  }

  // As `as`, in a workspace of its own; `bundle` is a name below the test's directory.
  Finished run(const std::string& policy, const std::string& bundle,
               const std::vector<std::string>& command) {
    std::vector<std::string> arguments = {"run",         "-q",
                                          "--policy",    policy,
                                          "--workspace", path("work").string(),
                                          "--out",       path(bundle).string(),
                                          "--"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return gyges(arguments, as_);
  }

  // Records the command under `base`, learns from it and runs it again.
  void learns(const std::string& name, const std::vector<std::string>& command,
              const std::string& base = "default") {
    Finished first = run(base, name + ".first", command);
    ASSERT_EQ(first.status, 0) << name << ": " << first.error << first.output;
    std::string file = path(name + ".json").string();
    Finished learned =
        gyges({"policy", "learn", path(name + ".first").string(), "--out", file}, as_);
    ASSERT_EQ(learned.status, 0) << name << ": " << learned.error;
    EXPECT_THAT(learned.error, HasSubstr("wall_seconds"));
    EXPECT_EQ(gyges({"policy", "check", file}, as_).status, 0) << name;
    Finished again = run(file, name + ".again", command);
    EXPECT_EQ(again.status, 0) << name << ": " << again.error << again.output << learned.error;
    EXPECT_EQ(again.output, first.output) << name;
    policy_ = read_json(file);
  }

  json policy_;
  RunAs as_;
};

class LearnedPolicyOfUser : public LearnedPolicy {
 protected:
  void SetUp() override {
    LearnedPolicy::SetUp();
    auto user = test_user();
    if (!user) GTEST_SKIP() << "no throw-away user: GYGES_TEST_UID is not set or not root";
    as_ = *user;
    if (gyges({"--version"}, as_).status != 0)
      GTEST_SKIP() << "the throw-away user cannot execute " << GYGES_BINARY;
    ASSERT_EQ(::chown(directory_->path().c_str(), as_.uid, as_.gid), 0);
    ASSERT_EQ(::chown(path("work").c_str(), as_.uid, as_.gid), 0);
  }
};

TEST_F(LearnedPolicy, AdmitsAShellAndNothingMore) {
  learns("sh", {"sh", "-c", "echo hello > out; cat out; uname"});
  EXPECT_TRUE(policy_["grants"].empty());
  EXPECT_TRUE(policy_["seccomp"]["socket_families"].empty()) << policy_["seccomp"].dump();
  EXPECT_EQ(policy_["filesystem"]["workspace"], "overlay");
  for (const json& mount : policy_["filesystem"]["mounts"])
    EXPECT_NE(mount["target"], "/usr") << "the whole of it is not the smallest";
  EXPECT_LT(policy_["seccomp"]["allow"].size(), 90U);
  // What the run did not need is gone; under the first policy it is there.
  std::vector<std::string> other = {"python3", "-c", "print(1)"};
  EXPECT_EQ(run("default", "control", other).status, 0);
  EXPECT_EQ(run(path("sh.json").string(), "denied", other).status, 127);
}

TEST_F(LearnedPolicy, AdmitsPythonGitAndACompiler) {
  learns("python", {"python3", "-c",
                    "import json, subprocess, tempfile; print(json.dumps([1])); "
                    "print(subprocess.run(['uname'], capture_output=True).stdout)"});
  learns("git", {"sh", "-c",
                 "git init -q repo && cd repo && git config user.email a@example.org && "
                 "git config user.name a && echo x > f && git add f && git commit -qm one && "
                 "git status --short && git log --format=%s"});
  learns("gcc",
         {"sh", "-c",
          "echo '#include <stdio.h>\nint main(void) { puts(\"built\"); }' > a.c && "
          "gcc -O1 -o a a.c && ./a"},
         "coding_agent");
}

TEST_F(LearnedPolicyOfUser, AdmitsAShellAndPython) {
  learns("sh", {"sh", "-c", "echo hello > out; cat out; ls /etc/passwd"});
  learns("python", {"python3", "-c", "import json; print(json.dumps([1]))"});
}

TEST_F(LearnedPolicy, UnitesRuns) {
  ASSERT_EQ(run("default", "one", {"sh", "-c", "echo 1"}).status, 0);
  ASSERT_EQ(run("default", "two", {"uname"}).status, 0);
  std::string file = path("both.json").string();
  Finished learned =
      gyges({"policy", "learn", path("one").string(), path("two").string(), "--out", file});
  ASSERT_EQ(learned.status, 0) << learned.error;
  EXPECT_EQ(run(file, "one.again", {"sh", "-c", "echo 1"}).status, 0);
  EXPECT_EQ(run(file, "two.again", {"uname"}).status, 0);
}

TEST_F(LearnedPolicy, ProposesNothingDangerousUnasked) {
  json policy = json::parse(gyges({"policy", "explain", "default", "--json"}).output)["policy"];
  policy["grants"] = {"nested_namespaces"};
  policy["name"] = "open";
  std::string open = path("open.json").string();
  ASSERT_TRUE(write_file_atomically(open, policy.dump()));
  std::vector<std::string> command = {"unshare", "--uts", "--user", "true"};
  ASSERT_EQ(run(open, "run", command).status, 0);
  // The policy is no preset: it must be named.
  EXPECT_THAT(gyges({"policy", "learn", path("run").string()}).error, HasSubstr("--policy"));
  Finished learned = gyges({"policy", "learn", path("run").string(), "--policy", open, "--json"});
  ASSERT_EQ(learned.status, 0) << learned.error;
  json result = json::parse(learned.output);
  EXPECT_TRUE(result["policy"]["grants"].empty());
  EXPECT_THAT(result["policy"]["seccomp"]["allow"].get<std::vector<std::string>>(),
              Not(Contains("unshare")));
  std::vector<std::string> left;
  for (const json& entry : result["left_out"]) left.push_back(entry["name"]);
  EXPECT_THAT(left, Contains("unshare"));
  EXPECT_THAT(left, Contains("nested_namespaces"));
  std::string file = path("granted.json").string();
  ASSERT_EQ(gyges({"policy", "learn", path("run").string(), "--policy", open, "--grant",
                   "nested_namespaces", "--out", file})
                .status,
            0);
  EXPECT_EQ(run(file, "again", command).status, 0);
  EXPECT_EQ(
      gyges({"policy", "learn", path("run").string(), "--policy", open, "--grant", "io_uring"})
          .status,
      125);
}

TEST_F(LearnedPolicy, ListsWhatWasRefusedAndWhatWasNotThere) {
  ASSERT_EQ(run("default", "run", {"sh", "-c", "unshare -U true; cat /root/x /etc/shadow; exit 0"})
                .status,
            0);
  Finished learned = gyges({"policy", "learn", path("run").string()});
  ASSERT_EQ(learned.status, 0) << learned.error;
  EXPECT_THAT(learned.error, HasSubstr("unshare: refused in the runs"));
  EXPECT_THAT(learned.error, HasSubstr("/etc/shadow"));
}

TEST_F(LearnedPolicy, ARunWithoutARecordIsAnErrorWithACure) {
  ASSERT_EQ(
      gyges({"run", "--recorder", "off", "--out", path("bare").string(), "--", "true"}).status, 0);
  Finished learned = gyges({"policy", "learn", path("bare").string()});
  EXPECT_EQ(learned.status, 125);
  EXPECT_THAT(learned.error, HasSubstr("Cure"));
}

TEST_F(EndToEnd, ExplainsNamedCalls) {
  Finished explained = gyges({"policy", "explain", "bpf", "socket(AF_VSOCK, 1, 0)", "openat"});
  ASSERT_EQ(explained.status, 0) << explained.error;
  EXPECT_THAT(explained.output, HasSubstr("the grant kernel_interfaces"));
  EXPECT_THAT(explained.output, HasSubstr("EAFNOSUPPORT"));
  EXPECT_THAT(explained.output, HasSubstr("no rule refuses it"));
  json result = json::parse(gyges({"policy", "explain", "strict", "semget", "--json"}).output);
  ASSERT_EQ(result["calls"].size(), 1U);
  EXPECT_EQ(result["calls"][0]["verdict"], "EPERM");
  EXPECT_EQ(result["calls"][0]["by"], "the profile strict");
  EXPECT_EQ(gyges({"policy", "explain", "opneat"}).status, 125);
  // Every call has its verdict in the plain form too.
  Finished whole = gyges({"policy", "explain", "strict"});
  for (const char* word : {"openat", "semget", "io_uring_setup", "enter the new root"})
    EXPECT_THAT(whole.output, HasSubstr(word));
}

TEST_F(EndToEnd, ExplainsWhatAPersonaAdds) {
  const std::string bus = "a system bus at /run";
  EXPECT_THAT(gyges({"policy", "explain", "default"}).output, HasSubstr(bus));
  json policy = json::parse(gyges({"policy", "explain", "default", "--json"}).output)["policy"];
  policy["cues"]["system_bus"] = false;
  std::ofstream(path("quiet.json")) << policy.dump();
  const Finished quiet = gyges({"policy", "explain", path("quiet.json").string()});
  ASSERT_EQ(quiet.status, 0) << quiet.error;
  EXPECT_THAT(quiet.output, Not(HasSubstr(bus)));
  EXPECT_THAT(quiet.output, HasSubstr("switched off: system_bus"));
}

}  // namespace
}  // namespace gyges
