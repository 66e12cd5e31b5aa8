// Sandboxes where the host shows control groups in other ways than this one does: version 2 alone,
// read-only, or none. Each view is made in a mount namespace of a child process; nothing of the
// host changes. What version 2 can limit here depends on the controllers that version 1 has left
// it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "base/files.h"
#include "base/text.h"
#include "sandbox/isolation/cgroup.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* groups = "/sys/fs/cgroup";

bool no_groups() {
  return ::umount2(groups, MNT_DETACH) == 0 || errno == EINVAL || errno == ENOENT;
}

bool version_2_alone() {
  return no_groups() && ::mount("cgroup2", groups, "cgroup2", 0, nullptr) == 0;
}

bool read_only_groups() {
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  return ::mount_setattr(AT_FDCWD, groups, AT_RECURSIVE, &attributes, sizeof(attributes)) == 0;
}

class CgroupViews : public SandboxTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0)
      GTEST_SKIP() << "an ordinary user has the view without groups in every other test";
  }

  // What `body` says in a child process with that view of control groups.
  static std::string in_view(bool (*make)(), const std::function<std::string()>& body) {
    auto pipe = make_pipe();
    if (!pipe) return pipe.error().line();
    pid_t pid = ::fork();
    if (pid == 0) {
      std::string said = "could not make the view";
      if (::unshare(CLONE_NEWNS) == 0 &&
          ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 && make())
        said = body();
      (void)write_all(pipe->write.get(), said);
      ::_exit(0);
    }
    pipe->write.reset();
    auto said = read_all(pipe->read.get(), 1U << 16U);
    ::waitpid(pid, nullptr, 0);
    return said ? *said : said.error().line();
  }

  // Starts a sandbox with limits of memory and processes, forks against the latter, and tells what
  // was enforced and what was hit.
  static std::string bombed(const std::vector<std::string>& accepted, bool whole) {
    SandboxSpec spec{test_policy(), {}, nullptr};
    // Without a group all processes of the user on the host count: one that nobody else has.
    spec.policy.identity.uid = 54321;
    spec.policy.limits.processes = 30;
    spec.policy.limits.memory_bytes = 512U << 20U;
    spec.policy.limits.memory_of_sandbox = whole;
    spec.policy.limits.processes_of_sandbox = whole;
    spec.allow_degraded = accepted;
    auto sandbox = Sandbox::start(spec);
    if (!sandbox) return "error: " + sandbox.error().line();
    const Enforcement& enforced = (*sandbox)->enforcement();
    std::string said = "memory=" + enforced.memory + " processes=" + enforced.processes +
                       " degraded=" + join(enforced.degraded, ",");
    auto pipe = make_pipe();
    if (!pipe) return pipe.error().line();
    Command command;
    command.argv = {"/bin/sh", "-c",
                    "i=0; while [ $i -lt 60 ]; do sleep 1 & i=$((i+1)); done 2>&1; wait"};
    command.environment = command_environment(spec.policy);
    command.directory = "/";
    command.standard_output = pipe->write.get();
    command.standard_error = pipe->write.get();
    auto id = (*sandbox)->spawn(command);
    if (!id) return "error: " + id.error().line();
    pipe->write.reset();
    auto output = read_all(pipe->read.get(), 1U << 16U);
    if (output && output->find("fork") != std::string::npos) said += " refused";
    auto end = (*sandbox)->stop("");
    if (!end) return "error: " + end.error().line();
    for (const LimitHit& hit : end->limits_hit) said += " hit=" + hit.limit;
    return said;
  }

  static std::string lenient() { return bombed({}, false); }
  static std::string demanding() { return bombed({}, true); }
  static std::string accepting() { return bombed({"memory_cgroup", "process_cgroup"}, true); }

  // Every demand is an error that names the cure, every acceptance is in the record, and what
  // stands for the missing groups holds.
  static void expect_fallback(bool (*view)()) {
    EXPECT_EQ(in_view(view, lenient),
              "memory=process processes=user degraded= refused hit=processes");
    EXPECT_THAT(in_view(view, demanding), HasSubstr("--allow-degraded=memory_cgroup"));
    EXPECT_EQ(in_view(view, accepting),
              "memory=process processes=user degraded=memory_cgroup,process_cgroup refused "
              "hit=processes");
  }
};

TEST_F(CgroupViews, WithoutAnyGroup) {
  expect_fallback(no_groups);
}

TEST_F(CgroupViews, ReadOnlyGroups) {
  // Nothing to make read-only is the case without groups, which has its test.
  if (::access(groups, F_OK) != 0) GTEST_SKIP() << "no " << groups;
  expect_fallback(read_only_groups);
}

TEST_F(CgroupViews, VersionTwoAlone) {
  const std::string controllers = in_view(version_2_alone, [] {
    auto text = read_file(std::string(groups) + "/cgroup.controllers");
    return text ? *text : text.error().line();
  });
  if (controllers.find("pids") != std::string::npos) {
    const bool memory = controllers.find("memory") != std::string::npos;
    EXPECT_EQ(in_view(version_2_alone, lenient),
              std::string("memory=") + (memory ? "sandbox" : "process") +
                  " processes=sandbox degraded= refused hit=processes");
    return;
  }
  std::printf("version 2 has no pids controller here, only: %s", controllers.c_str());
  expect_fallback(version_2_alone);
}

// Whatever the view, no directory of ours stays in it.
TEST_F(CgroupViews, NothingStays) {
  for (auto view : {no_groups, read_only_groups, version_2_alone})
    EXPECT_THAT(
        in_view(view,
                [] {
                  std::string said = lenient();
                  std::error_code ignored;
                  for (const auto& entry : std::filesystem::directory_iterator(groups, ignored))
                    said += "\n" + entry.path().string();
                  return said;
                }),
        Not(HasSubstr(std::string(groups) + "/gyges-")));
}

// The control: here, as it is, the groups are used where they can be written.
TEST_F(CgroupViews, ThisHostAsItIs) {
  auto can = Cgroup::create({16, 64U << 20U});
  ASSERT_TRUE(can) << can.error().line();
  const bool memory = *can && (*can)->limits_memory();
  EXPECT_EQ(lenient(), std::string("memory=") + (memory ? "sandbox" : "process") + " processes=" +
                           (*can ? "sandbox" : "user") + " degraded= refused hit=processes");
}

}  // namespace
}  // namespace gyges::isolation
