#include "sandbox/isolation/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>

namespace gyges::isolation {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

HostFacts ordinary_user() {
  return {false, 4242, 4242, true};
}
HostFacts root_user() {
  return {true, 0, 0, true};
}

Plan plan_for(const Policy& policy, const HostFacts& host,
              const std::vector<std::string>& seeds = {}) {
  auto plan = make_plan(policy, host, seeds);
  EXPECT_TRUE(plan) << plan.error().line();
  return plan ? *plan : Plan{};
}

bool has_step(const Plan& plan, init::Op op) {
  return std::any_of(plan.steps.begin(), plan.steps.end(),
                     [&](const Step& step) { return step.op == op; });
}

TEST(Plan, OrdinaryUserGetsAUserNamespaceMappedToThePolicysUser) {
  Plan plan = plan_for(load_policy("default").value(), ordinary_user());
  EXPECT_NE(plan.namespaces & CLONE_NEWUSER, 0U);
  auto map = std::find_if(plan.steps.begin(), plan.steps.end(),
                          [](const Step& step) { return step.a == "/proc/self/uid_map"; });
  ASSERT_NE(map, plan.steps.end());
  EXPECT_EQ(map->b, "1000 4242 1\n");
  EXPECT_EQ(plan.settings.change_user, 0U);
}

// A child that shares memory enters the time namespace with its program, where execve(2) does that.
TEST(Plan, CommandsShareMemoryWhereTheirProgramEntersTheTimeNamespace) {
  HostFacts host = root_user();
  EXPECT_EQ(plan_for(load_policy("default").value(), host).settings.own_memory, 0U);
  host.exec_enters_time = false;
  EXPECT_EQ(plan_for(load_policy("default").value(), host).settings.own_memory, 1U);
  host.time_namespaces = false;
  EXPECT_EQ(plan_for(load_policy("default").value(), host).settings.own_memory, 0U);
}

TEST(Plan, WhereOverlaysHaveNoMarksDirectoriesCannotGoAndThatIsSaid) {
  Policy policy = load_policy("default").value();
  Mount mount;
  mount.kind = Mount::Kind::overlay;
  mount.target = "/tmp";
  policy.filesystem.mounts.push_back(mount);
  HostFacts host = ordinary_user();
  const auto warned = HasSubstr("directories that /tmp has from the host");
  EXPECT_THAT(plan_for(policy, host).warnings, Not(Contains(warned)));
  host.overlay_marks = false;
  EXPECT_THAT(plan_for(policy, host).warnings, Contains(warned));
}

TEST(Plan, RootChangesUserInsteadOfMapping) {
  Plan plan = plan_for(load_policy("default").value(), root_user());
  EXPECT_EQ(plan.namespaces & CLONE_NEWUSER, 0U);
  EXPECT_EQ(plan.settings.change_user, 1U);
}

TEST(Plan, SourcesAreTakenBeforeTheNewRootCoversAnything) {
  Plan plan = plan_for(load_policy("default").value(), root_user());
  auto new_root = std::find_if(plan.steps.begin(), plan.steps.end(),
                               [](const Step& step) { return step.op == init::Op::new_root; });
  auto last_open = std::find_if(plan.steps.rbegin(), plan.steps.rend(),
                                [](const Step& step) { return step.op == init::Op::open_tree; });
  EXPECT_LT(last_open.base() - 1, new_root);
}

TEST(Plan, PrivilegesAreDroppedLast) {
  Plan plan = plan_for(load_policy("default").value(), root_user());
  EXPECT_EQ(plan.steps.back().op, init::Op::drop_privileges);
  EXPECT_TRUE(has_step(plan, init::Op::freeze_root));
}

TEST(Plan, ParentsAreMountedBeforeChildren) {
  Policy policy;
  policy.filesystem.mounts = {{.kind = Mount::Kind::fresh, .target = "/a/b/c"},
                              {.kind = Mount::Kind::fresh, .target = "/a"}};
  Plan plan = plan_for(policy, root_user());
  ASSERT_EQ(plan.areas.size(), 2U);
  EXPECT_EQ(plan.areas[0].target, "/a");
  EXPECT_TRUE(plan.areas[0].layered);  // it holds the other's mount point
  EXPECT_EQ(plan.mount_points, std::vector<std::string>{"/a/b/c/"});
}

TEST(Plan, OnlySeededFreshDirectoriesCostAnOverlay) {
  Policy policy;
  policy.filesystem.mounts = {{.kind = Mount::Kind::fresh, .target = "/a"},
                              {.kind = Mount::Kind::fresh, .target = "/b"}};
  Plan plan = plan_for(policy, root_user(), {"/b/file", "/bb"});
  EXPECT_FALSE(plan.areas[0].layered);
  EXPECT_TRUE(plan.areas[1].layered);
}

TEST(Plan, MissingSourceIsAnErrorUnlessOptional) {
  Policy policy;
  policy.filesystem.mounts = {{.kind = Mount::Kind::read_only, .target = "/no/such"}};
  EXPECT_FALSE(make_plan(policy, root_user(), {}));
  policy.filesystem.mounts[0].optional = true;
  EXPECT_TRUE(make_plan(policy, root_user(), {}));
}

TEST(Plan, EveryStepSaysWhatItDoes) {
  for (const Step& step : plan_for(load_policy("default").value(), ordinary_user()).steps)
    EXPECT_FALSE(step.words.empty());
}

}  // namespace
}  // namespace gyges::isolation
