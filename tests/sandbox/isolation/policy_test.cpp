#include "sandbox/isolation/policy.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/assets.h"
#include "base/files.h"
#include "base/json_document.h"

namespace gyges::isolation {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

json minimal() {
  return {{"$schema", "gyges/policy.schema.json"}, {"version", 1}, {"name", "test"}};
}

std::string error_of(const json& value) {
  auto policy = policy_from_json(value, "p.json");
  return policy ? "" : policy.error().line();
}

TEST(Policy, PresetsLoadAndSurviveARoundTrip) {
  for (const char* name : {"default"}) {
    auto policy = load_policy(name);
    ASSERT_TRUE(policy) << policy.error().line();
    json value = policy_to_json(*policy);
    auto again = policy_from_json(value, "again");
    ASSERT_TRUE(again) << again.error().line();
    EXPECT_EQ(policy_to_json(*again), value);
  }
}

TEST(Policy, EveryPresetMatchesTheSchema) {
  auto presets = assets_below("policies/presets/");
  ASSERT_GE(presets.size(), 2U);
  for (std::string_view name : presets) {
    auto value = parse_json(*asset(name), name);
    ASSERT_TRUE(value) << value.error().line();
    auto policy = policy_from_json(*value, name);
    EXPECT_TRUE(policy) << policy.error().line();
  }
}

TEST(Policy, AbsentSectionsGiveNothing) {
  auto policy = policy_from_json(minimal(), "p.json");
  ASSERT_TRUE(policy) << policy.error().line();
  EXPECT_TRUE(policy->filesystem.mounts.empty());
  EXPECT_TRUE(policy->environment_pass.empty());
  EXPECT_TRUE(policy->seccomp.socket_families.empty());
}

TEST(Policy, ContentsAreNamedByClass) {
  json value = minimal();
  value["recorder"] = {{"contents", {"sockets", "pipes"}}, {"content_bytes", 1000}};
  auto policy = policy_from_json(value, "p.json");
  ASSERT_TRUE(policy) << policy.error().line();
  EXPECT_EQ(policy->recorder.contents, (std::vector<std::string>{"sockets", "pipes"}));
  EXPECT_EQ(policy->recorder.content_bytes, 1000U);
  value["recorder"] = {{"contents", {"everything"}}};
  EXPECT_FALSE(policy_from_json(value, "p.json"));
  value["recorder"] = {{"content_bytes", 0}};
  EXPECT_FALSE(policy_from_json(value, "p.json"));
}

// Nothing is left unrecorded because a filter was thought to refuse it.
TEST(Policy, WhereIoUringMayBeUsed) {
  json value = minimal();
  EXPECT_FALSE(may_use_io_uring(*policy_from_json(value, "p.json")));
  value["grants"] = {"io_uring"};
  EXPECT_TRUE(may_use_io_uring(*policy_from_json(value, "p.json")));
  Policy own = *policy_from_json(minimal(), "p.json");
  own.seccomp.profile = "./own.json";
  EXPECT_TRUE(may_use_io_uring(own));
  Policy allowed = *policy_from_json(minimal(), "p.json");
  allowed.seccomp.allow.push_back({.syscall = "io_uring_setup"});
  EXPECT_TRUE(may_use_io_uring(allowed));
}

TEST(Policy, UnknownKeyNamesFilePlaceAndCure) {
  json value = minimal();
  value["filesystem"] = {{"mount", json::array()}};
  EXPECT_THAT(error_of(value), AllOf(HasSubstr("p.json"), HasSubstr("/filesystem"),
                                     HasSubstr("unknown key \"mount\""), HasSubstr("mounts")));
}

TEST(Policy, WrongTypeNamesPlaceAndWhatIsAllowed) {
  json value = minimal();
  value["limits"] = {{"processes", "many"}};
  EXPECT_THAT(error_of(value), AllOf(HasSubstr("/limits/processes"), HasSubstr("type integer")));
}

TEST(Policy, WrongVersionIsRefused) {
  json value = minimal();
  value["version"] = 2;
  EXPECT_THAT(error_of(value), HasSubstr("/version"));
}

TEST(Policy, DangerousThingsNeedTheirGrant) {
  json value = minimal();
  value["filesystem"]["mounts"] = {{{"kind", "read_write"}, {"target", "/srv"}}};
  EXPECT_THAT(error_of(value), HasSubstr("writable_host_mount"));
  value["grants"] = {"writable_host_mount"};
  EXPECT_EQ(error_of(value), "");
  value = minimal();
  value["capabilities"] = {"CAP_NET_RAW"};
  EXPECT_THAT(error_of(value), HasSubstr("capability:CAP_NET_RAW"));
}

TEST(Policy, UnknownCapabilityIsAnErrorEvenWithItsGrant) {
  json value = minimal();
  value["capabilities"] = {"CAP_FOO"};
  value["grants"] = {"capability:CAP_FOO"};
  EXPECT_THAT(error_of(value), HasSubstr("no such capability"));
}

TEST(Policy, PathsMustBeInTheirShortestForm) {
  for (const char* path : {"/a/../b", "/a//b", "/a/", "/./a"}) {
    json value = minimal();
    value["filesystem"]["mounts"] = {{{"kind", "fresh"}, {"target", path}}};
    EXPECT_NE(error_of(value), "") << path;
  }
}

TEST(Policy, ProcAndDevCannotBeReplaced) {
  for (const char* path : {"/", "/proc", "/proc/sys", "/dev", "/dev/mem"}) {
    json value = minimal();
    value["filesystem"]["mounts"] = {{{"kind", "read_only"}, {"target", path}}};
    EXPECT_NE(error_of(value), "") << path;
  }
}

TEST(Policy, UnknownPresetNamesTheKnownOnes) {
  auto policy = load_policy("defualt");
  ASSERT_FALSE(policy);
  EXPECT_THAT(policy.error().line(), HasSubstr("default"));
}

TEST(Policy, MissingFileIsNamed) {
  auto policy = load_policy("./no-such.json");
  ASSERT_FALSE(policy);
  EXPECT_THAT(policy.error().line(), HasSubstr("no-such.json"));
}

}  // namespace
}  // namespace gyges::isolation
