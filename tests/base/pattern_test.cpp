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
  auto pattern = Pattern::compile("(?=a)(a+)+$");
  ASSERT_TRUE(pattern);
  EXPECT_FALSE(pattern->linear());
  EXPECT_FALSE(pattern->found_in(std::string(200, 'a') + "b"));
}

TEST(Pattern, WorkThatStaysBelowTheBoundAtEachPlaceEndsToo) {
  // From every place some hundred thousand steps, from all together hours.
  auto pattern = Pattern::compile("(?!y)x*x*[zw]");
  ASSERT_TRUE(pattern);
  std::string text;
  while (text.size() < 200'000) text += std::string(800, 'x') + "\n";
  EXPECT_FALSE(pattern->found_in(text));
}

TEST(Pattern, BacktrackingIsSearchedAsWell) {
  EXPECT_TRUE(found("(\\w)\\1$", "no\nsee\n"));
  EXPECT_FALSE(found("^(?!rm)\\w+ -rf", "rm -rf"));
  EXPECT_TRUE(found("a(?# the lookbehind )(?<=a)b|c", "C"));
  auto pattern = Pattern::compile("(?<name>a)(?=b)");
  ASSERT_TRUE(pattern);
  auto groups = pattern->groups_in("xab");
  ASSERT_TRUE(groups && *groups);
  EXPECT_EQ(**groups, (std::vector<std::string>{"a", "a"}));
}

TEST(Pattern, AnchorsStandAtTheEndsOfTheTextWhereAsked) {
  for (const char* expression : {"^b$", "(?!c)^b$"}) {
    auto pattern = Pattern::compile(expression, Pattern::Case::respect, Pattern::Anchors::text);
    ASSERT_TRUE(pattern);
    EXPECT_TRUE(pattern->found_in("b").value());
    EXPECT_FALSE(pattern->found_in("a\nb").value());
    EXPECT_FALSE(pattern->found_in("b\n").value());
  }
}

TEST(Pattern, TextsOfTenMegabytesAreSearchedToTheirEnd) {
  std::string text(10'000'000, 'a');
  EXPECT_FALSE(found("(a|b)*c", text));
  EXPECT_FALSE(found("(a+)+b$", text));
  EXPECT_FALSE(found("a.*a.*a.*b", text));
  EXPECT_TRUE(found("secret", text + " the SECRET"));
}

TEST(Pattern, ATextThatIsTooLongIsAnErrorAndNoAnswer) {
  auto linear = Pattern::compile("a");
  ASSERT_TRUE(linear);
  EXPECT_FALSE(linear->found_in(std::string(max_searched_bytes + 1, 'a')));
  auto backtracking = Pattern::compile("a(?=b)");
  ASSERT_TRUE(backtracking);
  EXPECT_FALSE(backtracking->found_in(std::string(max_backtracked_bytes + 1, 'a')));
}

TEST(Pattern, ExpressionsOfStrangersAreBounded) {
  for (const char* expression : {"((a{1000}){1000}){1000}", "(?=a)((a{60000}){60000}){60000}"})
    EXPECT_FALSE(Pattern::compile(expression)) << expression;
  // Whatever is made of it, the stack holds.
  static_cast<void>(Pattern::compile(std::string(100'000, '(') + std::string(100'000, ')')));
}

}  // namespace
}  // namespace gyges
