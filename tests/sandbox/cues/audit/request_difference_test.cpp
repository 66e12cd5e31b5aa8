#include "sandbox/cues/audit/request_difference.h"

#include <gtest/gtest.h>

namespace gyges::cues {
namespace {

std::string body(const std::string& system, const std::string& id) {
  return R"({"model":"m","id":")" + id + R"(","messages":[{"role":"system","content":")" + system +
         R"("},{"role":"user","content":"do it"}]})";
}

RequestCondition condition(const char* name, const std::string& system) {
  RequestCondition one;
  one.name = name;
  for (const char* id : {"1", "2"})
    one.runs.push_back({std::string(name) + id, {body(system, id + std::string(name))}, {"same"}});
  return one;
}

TEST(Requests, EqualConditionsDifferInNothing) {
  auto audit = compare_requests(condition("a", "You work."), condition("b", "You work."));
  ASSERT_TRUE(audit) << audit.error().line();
  EXPECT_TRUE(audit->differences.empty());
  EXPECT_EQ(audit->noise, std::vector<std::string>{"0/id"});
  EXPECT_EQ(audit->compared, 1U);
}

TEST(Requests, ADifferenceIsOfTheFactorThatPutItThere) {
  auto first = condition("a", "You work.\\nYou are watched.");
  auto second = condition("b", "You work.\\nNobody looks.");
  first.declared["oversight"] = {"You work.\nYou are watched."};
  second.declared["oversight"] = {"You work.\nNobody looks."};
  auto audit = compare_requests(first, second);
  ASSERT_TRUE(audit) << audit.error().line();
  ASSERT_EQ(audit->differences.size(), 1U);
  EXPECT_EQ(audit->differences[0].place, "/messages/0/content");
  EXPECT_EQ(audit->differences[0].first, "You are watched.");
  EXPECT_EQ(audit->differences[0].second, "Nobody looks.");
  EXPECT_EQ(audit->differences[0].factor, "oversight");
}

TEST(Requests, WhatNobodyDeclaredIsOfNoFactor) {
  auto first = condition("a", "You work.\\nYou are watched.\\nHome: /a");
  auto second = condition("b", "You work.\\nNobody looks.\\nHome: /b");
  first.declared["oversight"] = {"You work.\nYou are watched."};
  second.declared["oversight"] = {"You work.\nNobody looks."};
  auto audit = compare_requests(first, second);
  ASSERT_TRUE(audit) << audit.error().line();
  ASSERT_EQ(audit->differences.size(), 1U);
  EXPECT_EQ(audit->differences[0].factor, "");
}

TEST(Requests, ValuesAndPlacesThatOneSideLacksDiffer) {
  auto first = condition("a", "x");
  auto second = condition("b", "x");
  for (RequestRun& run : second.runs) run.requests[0].insert(1, "\"temperature\":0.5,");
  auto audit = compare_requests(first, second);
  ASSERT_TRUE(audit) << audit.error().line();
  ASSERT_EQ(audit->differences.size(), 1U);
  EXPECT_EQ(audit->differences[0].place, "/temperature");
  EXPECT_EQ(audit->differences[0].second, "0.5");
}

TEST(Requests, WhatFollowsFromAnotherAnswerIsNotCompared) {
  auto first = condition("a", "x");
  auto second = condition("b", "x");
  for (RequestCondition* side : {&first, &second})
    for (RequestRun& run : side->runs) {
      run.requests.push_back(body(side->name, "1"));
      run.requests.push_back(body(side->name, "1"));
      run.answers = {"same", side->name, side->name};
    }
  auto audit = compare_requests(first, second);
  ASSERT_TRUE(audit) << audit.error().line();
  EXPECT_EQ(audit->compared, 2U);
  EXPECT_EQ(audit->parted, 1U);
  EXPECT_EQ(audit->differences.size(), 1U);
}

TEST(Requests, MistakesAreErrors) {
  auto first = condition("a", "x");
  EXPECT_FALSE(compare_requests(first, {}));
  auto second = condition("b", "x");
  second.runs[0].requests[0] = "{";
  EXPECT_FALSE(compare_requests(first, second));
}

}  // namespace
}  // namespace gyges::cues
