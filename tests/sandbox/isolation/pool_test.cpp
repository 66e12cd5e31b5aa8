#include "sandbox/isolation/pool.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "sandbox_fixture.h"
#include "tests/own_groups.h"

namespace gyges::isolation {
namespace {

using Clock = std::chrono::steady_clock;

// Host pids of the living pid 1s that `parent` started.
std::vector<pid_t> members_of(pid_t parent) {
  std::vector<pid_t> found = children_named("init", parent);
  std::erase_if(found, [](pid_t pid) {
    auto status = read_file("/proc/" + std::to_string(pid) + "/status");
    return !status || status->find("\nState:\tZ") != std::string::npos;
  });
  return found;
}

template <class Condition>
bool becomes_true(Condition condition) {
  auto deadline = Clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::unique_ptr<SandboxPool> make_pool(const SandboxSpec& spec, std::uint32_t size) {
  auto pool = SandboxPool::create(spec, size);
  EXPECT_TRUE(pool) << pool.error().line();
  return pool ? std::move(*pool) : nullptr;
}

class PoolTest : public SandboxTest {
 protected:
  void take_from(SandboxPool& pool) {
    auto sandbox = pool.take(nullptr);
    ASSERT_TRUE(sandbox) << sandbox.error().line();
    sandbox_ = std::move(*sandbox);
  }
};

TEST_F(PoolTest, MembersAreFreshSeededAndNeverMoreThanAsked) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  SeedFile seed;
  seed.path = "/tmp/seed";
  seed.content = "given";
  spec.seed.push_back(seed);
  auto pool = make_pool(spec, 3);
  ASSERT_TRUE(pool);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(becomes_true([&] { return pool->counts().ready == 3; }));
    EXPECT_EQ(members_of(::getpid()).size(), 3U + (sandbox_ ? 1 : 0));
    take_from(*pool);
    EXPECT_EQ(run("cat /tmp/seed; ls -A /tmp | wc -l; touch /tmp/mine").output, "given1\n");
  }
  EXPECT_EQ(pool->counts().warm, 5U);
  EXPECT_EQ(pool->counts().cold, 0U);
}

TEST_F(PoolTest, TheWallClockStartsWhenASandboxIsTaken) {
  SandboxSpec spec{test_policy(), {}, nullptr};
  spec.policy.limits.wall_seconds = 2;
  auto pool = make_pool(spec, 1);
  ASSERT_TRUE(pool);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  take_from(*pool);
  ASSERT_EQ(pool->counts().warm, 1U) << "the member did not outlive its wall clock";
  auto begin = Clock::now();
  EXPECT_EQ(run("echo still").output, "still\n");
  Command command;
  command.argv = {"/bin/sleep", "60"};
  command.environment = command_environment(policy_);
  command.directory = "/";
  auto id = sandbox_->spawn(command);
  ASSERT_TRUE(id) << id.error().line();
  auto end = sandbox_->wait(*id, begin + std::chrono::seconds(20));
  ASSERT_TRUE(end) << end.error().line();
  ASSERT_TRUE(end->has_value()) << "the wall clock did not end it";
  EXPECT_EQ((*end)->signal, SIGKILL);
  auto lived = Clock::now() - begin;
  EXPECT_GT(lived, std::chrono::milliseconds(1500));
  EXPECT_LT(lived, std::chrono::seconds(15));
  ASSERT_EQ(sandbox_->limits_hit().size(), 1U);
  EXPECT_EQ(sandbox_->limits_hit()[0].limit, "wall_seconds");
}

TEST_F(PoolTest, AMemberThatDiedIsReplacedByAnother) {
  auto pool = make_pool({test_policy(), {}, nullptr}, 2);
  ASSERT_TRUE(pool);
  ASSERT_TRUE(becomes_true([&] { return pool->counts().ready == 2; }));
  auto members = members_of(::getpid());
  ASSERT_EQ(members.size(), 2U);
  for (pid_t member : members) ASSERT_EQ(::kill(member, SIGKILL), 0);
  ASSERT_TRUE(becomes_true([&] { return members_of(::getpid()).empty(); }));
  take_from(*pool);
  EXPECT_EQ(run("echo alive").output, "alive\n");
  EXPECT_EQ(pool->counts().dead, 2U);
  EXPECT_EQ(pool->counts().cold, 1U);
}

TEST_F(PoolTest, ATakenSandboxOutlivesThePool) {
  auto pool = make_pool({test_policy(), {}, nullptr}, 2);
  ASSERT_TRUE(pool);
  take_from(*pool);
  ASSERT_EQ(pool->counts().warm, 1U);
  pool.reset();
  EXPECT_TRUE(becomes_true([&] { return members_of(::getpid()).size() == 1; }));
  EXPECT_EQ(run("echo alive").output, "alive\n");
  stop();
  sandbox_.reset();
  EXPECT_TRUE(members_of(::getpid()).empty());
}

TEST_F(PoolTest, NothingIsLeftWhenTheOwnerIsKilled) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  // Orphans come to this process, which then can tell the dead from those that went elsewhere.
  ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
  const std::size_t children_before = children_of(::getpid()).size();
  pid_t owner = ::fork();
  if (owner == 0) {
    auto pool = SandboxPool::create({test_policy(), {}, nullptr}, 3);
    while (pool && (*pool)->counts().ready < 3) ::usleep(1000);
    auto taken = pool ? (*pool)->take(nullptr) : Result<std::unique_ptr<Sandbox>>(fail("", "", ""));
    char answer = pool && taken ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) == 1) ::pause();
    ::_exit(1);
  }
  char answer = 'n';
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  std::vector<pid_t> members = members_of(owner);
  EXPECT_GE(members.size(), 3U) << "the control: they were there";
  bool grouped = ::geteuid() == 0 && ::access("/sys/fs/cgroup/pids", W_OK) == 0;
  if (grouped) {
    EXPECT_FALSE(groups_of(owner).empty()) << "the control: they had one";
  }
  ::kill(owner, SIGKILL);
  // Those that its pool was making or had begun when they were counted come here as well.
  EXPECT_TRUE(becomes_true([&] {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    for (pid_t member : members)
      if (::kill(member, 0) == 0) return false;
    return children_of(::getpid()).size() <= children_before;
  }));
  EXPECT_TRUE(becomes_true([&] { return groups_of(owner).empty(); })) << "a cgroup is left";
  ::prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

// The one of a pool that is made for one user.
TEST_F(PoolTest, OneAheadIsTakenOnceAndNotReplaced) {
  auto pool = SandboxPool::ahead({test_policy(), {}, nullptr}, std::chrono::seconds(60));
  take_from(*pool);  // waits for it
  EXPECT_EQ(pool->counts().warm, 1U);
  EXPECT_EQ(members_of(::getpid()).size(), 1U);
  EXPECT_EQ(run("echo alive").output, "alive\n");
  auto second = pool->take(nullptr);
  ASSERT_TRUE(second) << second.error().line();
  EXPECT_EQ(pool->counts().cold, 1U);
  EXPECT_EQ(members_of(::getpid()).size(), 2U);
}

TEST_F(PoolTest, OneAheadThatIsTooOldOrDeadOrCannotBeHad) {
  auto old = SandboxPool::ahead({test_policy(), {}, nullptr}, std::chrono::milliseconds(0));
  take_from(*old);
  EXPECT_EQ(old->counts().dead, 1U);
  EXPECT_EQ(old->counts().cold, 1U);
  EXPECT_EQ(run("echo alive").output, "alive\n");
  SandboxSpec spec{test_policy(), {}, nullptr};
  Mount mount;
  mount.kind = Mount::Kind::read_only;
  mount.target = "/no/such/source";
  spec.policy.filesystem.mounts.push_back(mount);
  auto taken = SandboxPool::ahead(spec, std::chrono::seconds(60))->take(nullptr);
  ASSERT_FALSE(taken);
  EXPECT_NE(taken.error().line().find("/no/such/source"), std::string::npos);
}

TEST_F(PoolTest, SaysAtOnceWhatCannotBeHad) {
  auto none = SandboxPool::create({test_policy(), {}, nullptr}, 0);
  EXPECT_FALSE(none);
  SandboxSpec spec{test_policy(), {}, nullptr};
  Mount mount;
  mount.kind = Mount::Kind::read_only;
  mount.target = "/no/such/source";
  spec.policy.filesystem.mounts.push_back(mount);
  auto missing = SandboxPool::create(spec, 2);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().line().find("/no/such/source"), std::string::npos);
}

}  // namespace
}  // namespace gyges::isolation
