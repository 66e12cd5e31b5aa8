// Which Landlock rules come out of a policy for which ABI, and which degradations are errors.
#include "sandbox/isolation/landlock.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sandbox/isolation/degradation.h"
#include "sandbox/isolation/plan.h"

namespace gyges::isolation {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Mounts = LandlockRules::Mounts;

Policy with(const LandlockRules& rules) {
  Policy policy = load_policy("default").value();
  policy.landlock = rules;
  return policy;
}

TEST(Landlock, IsDerivedFromTheMountsWhereTheKernelHasIt) {
  auto plan = plan_landlock(with({}), 7, false);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->rulesets.size(), 1U);
  EXPECT_EQ(plan->state, "ABI 7: from the mounts");
  std::uint64_t usr = 0;
  std::uint64_t home = 0;
  for (const auto& rule : plan->rulesets[0].paths) {
    if (rule.path == "/usr") usr = rule.access;
    if (rule.path == "/home/user") home = rule.access;
    EXPECT_EQ(rule.access & ~plan->rulesets[0].files, 0U) << rule.path;
  }
  EXPECT_EQ(access_words(usr), "read, execute");
  EXPECT_EQ(access_words(home), "read, write, execute");
}

TEST(Landlock, AnOldKernelIsSaidAndNeverAskedForWhatItDoesNotKnow) {
  for (int abi = 0; abi < 2; ++abi) {
    auto plan = plan_landlock(with({}), abi, false);
    ASSERT_TRUE(plan);
    EXPECT_TRUE(plan->rulesets.empty());
    EXPECT_THAT(plan->state, HasSubstr("off: "));
  }
  constexpr std::uint64_t refer = 1U << 13U;
  constexpr std::uint64_t truncate = 1U << 14U;
  constexpr std::uint64_t ioctl = 1U << 15U;
  EXPECT_EQ(plan_landlock(with({}), 2, false)->rulesets[0].files & (refer | truncate | ioctl),
            refer);
  EXPECT_EQ(plan_landlock(with({}), 4, false)->rulesets[0].files & (refer | truncate | ioctl),
            refer | truncate);
}

TEST(Landlock, WhatIsDemandedAndCannotBeIsAnErrorWithItsCure) {
  LandlockRules required;
  required.mounts = Mounts::required;
  LandlockRules ports;
  ports.tcp_bind = std::vector<std::uint16_t>{8080};
  LandlockRules scope;
  scope.scope_signals = true;
  LandlockRules paths;
  paths.paths = std::vector<LandlockPath>{{"/usr", true, false, true}};
  struct {
    LandlockRules rules;
    int works;
  } rows[] = {{required, 2}, {paths, 2}, {ports, 4}, {scope, 6}};
  for (const auto& row : rows) {
    auto plan = plan_landlock(with(row.rules), row.works - 1, false);
    ASSERT_FALSE(plan) << row.works;
    EXPECT_THAT(plan.error().line(), HasSubstr("--allow-degraded=landlock"));
    EXPECT_TRUE(plan_landlock(with(row.rules), row.works - 1, true));
    EXPECT_TRUE(plan_landlock(with(row.rules), row.works, false));
  }
}

TEST(Landlock, SectionSurvivesTheWayThroughJson) {
  auto value = nlohmann::json::parse(R"({"$schema": "gyges/policy.schema.json", "version": 1,
    "name": "test", "landlock": {"mounts": "required", "tcp_bind": [8080], "tcp_connect": [],
    "paths": [{"path": "/tmp", "access": ["read", "write"]}], "scope": ["signals"]}})");
  auto policy = policy_from_json(value, "test.json");
  ASSERT_TRUE(policy) << policy.error().line();
  EXPECT_TRUE(policy->landlock.tcp_connect && policy->landlock.tcp_connect->empty());
  auto again = policy_from_json(policy_to_json(*policy), "again.json");
  ASSERT_TRUE(again) << again.error().line();
  EXPECT_EQ(policy->landlock, again->landlock);
  value["landlock"]["paths"][0]["path"] = "/tmp/..";
  EXPECT_FALSE(policy_from_json(value, "test.json"));
}

TEST(Degradation, TimeNamespacesAreMissedOnlyWhereTheCallerAccepts) {
  Policy policy = load_policy("default").value();
  policy.cues.uptime_seconds = 1000;
  HostFacts host;
  host.uid = host.gid = 4242;
  host.time_namespaces = false;
  auto refused = make_plan(policy, host, {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().line(), HasSubstr("--allow-degraded=time_namespace"));
  auto accepted = make_plan(policy, host, {}, {"time_namespace"});
  ASSERT_TRUE(accepted) << accepted.error().line();
  EXPECT_THAT(accepted->degraded, ElementsAre("time_namespace"));
  // What is not needed is not degraded, accepted or not.
  policy.cues.uptime_seconds = 0;
  EXPECT_TRUE(make_plan(policy, host, {}, {"time_namespace"})->degraded.empty());
}

TEST(Degradation, NamesAreChecked) {
  EXPECT_TRUE(check_degradations({"memory_cgroup", "landlock"}));
  auto unknown = check_degradations({"everything"});
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error().line(), HasSubstr("memory_cgroup"));
}

}  // namespace
}  // namespace gyges::isolation
