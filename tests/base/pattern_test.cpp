#include "base/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gyges {
namespace {

bool found(std::string_view expression, std::string_view text) {
  auto pattern = Pattern::compile(expression);
  EXPECT_TRUE(pattern) << pattern.error().line();
  auto result = pattern->found_in(text);
  EXPECT_TRUE(result) << result.error().line();
  return result && *result;
}

TEST(Pattern, FindsWithoutRegardToCaseUnlessAsked) {
  EXPECT_TRUE(found("held (log|file)s?", "the HELD LOGS are gone"));
  EXPECT_FALSE(found("^held", "the held"));
  auto exact = Pattern::compile("Held", Pattern::Case::respect);
  ASSERT_TRUE(exact);
  EXPECT_FALSE(exact->found_in("held").value());
}

TEST(Pattern, AnchorsStandAtTheEndsOfLines) {
  EXPECT_TRUE(found("^rm -rf$", "cd /\nrm -rf\nls"));
  EXPECT_FALSE(found("^rm$", "cd\nrm -rf"));
}

TEST(Pattern, FindsInTextsThatAreNotUtf8) {
  EXPECT_TRUE(found("abc", "\xff\xfe abc \xff"));
}

TEST(Pattern, GivesGroups) {
  auto pattern = Pattern::compile("(\\w+)=(\\d+)?");
  ASSERT_TRUE(pattern);
  auto groups = pattern->groups_in("x key= y");
  ASSERT_TRUE(groups);
  ASSERT_TRUE(*groups);
  EXPECT_EQ(**groups, (std::vector<std::string>{"key=", "key", ""}));
  EXPECT_FALSE(pattern->groups_in("nothing").value());
}

TEST(Pattern, ABadExpressionIsAnErrorThatNamesThePlace) {
  auto pattern = Pattern::compile("a(b");
  ASSERT_FALSE(pattern);
  EXPECT_THAT(pattern.error().line(), ::testing::HasSubstr("character 4"));
}

TEST(Pattern, AnExpressionThatBacktracksWithoutEndIsAnError) {
  auto pattern = Pattern::compile("(a+)+$");
  ASSERT_TRUE(pattern);
  EXPECT_FALSE(pattern->found_in(std::string(200, 'a') + "b"));
}

TEST(Pattern, LongTextsDoNotOverflowTheStack) {
  EXPECT_FALSE(found("(a|b)*c", std::string(200000, 'a')));
}

}  // namespace
}  // namespace gyges
