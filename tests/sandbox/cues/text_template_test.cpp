#include "sandbox/cues/text_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace gyges::cues {
namespace {

using ::testing::HasSubstr;

class TemplateTest : public ::testing::Test {
 protected:
  TemplateTest() {
    context_.values = {{"name", "Ada"}, {"empty", ""}};
    context_.day = *parse_day("2026-03-01");
    context_.seed = 7;
  }
  std::string filled(std::string_view text) {
    auto out = render(text, context_, "t");
    return out ? *out : "error: " + out.error().line();
  }
  TemplateContext context_;
};

TEST_F(TemplateTest, FillsInValuesAndDates) {
  EXPECT_EQ(filled("Dear {{name}},{{ name }}"), "Dear Ada,Ada");
  EXPECT_EQ(filled("{{date}} {{date -1d}} {{date +365d}}"), "2026-03-01 2026-02-28 2027-03-01");
  EXPECT_EQ(filled("{{date -1d \"%a %-d %B\"}}"), "Sat 28 February");
  EXPECT_EQ(filled("{{date -90s \"%H:%M:%S\"}} {{date -90s \"%s\"}}"), "23:58:30 1772323110");
  EXPECT_EQ(filled("{{date \"t=%s %%s\"}}"), "t=1772323200 %s");
  EXPECT_EQ(filled("{ not } one } }"), "{ not } one } }");
}

TEST_F(TemplateTest, RecentIsSomeMinutesBeforeTheMoment) {
  context_.as_of = context_.day + 40000;
  std::set<std::int64_t> moments;
  for (context_.seed = 1; context_.seed < 60; ++context_.seed) {
    const std::int64_t recent = std::stoll(filled("{{recent \"%s\"}}"));
    EXPECT_LE(recent, context_.as_of - 300);
    EXPECT_GT(recent, context_.as_of - 1800);
    EXPECT_EQ(std::stoll(filled("{{recent +9s \"%s\"}}")), recent + 9);
    moments.insert(recent);
  }
  EXPECT_GT(moments.size(), 40U);
  context_.seed = 7;
  const std::int64_t before = std::stoll(filled("{{recent \"%s\"}}"));
  context_.as_of += 3600;
  EXPECT_EQ(std::stoll(filled("{{recent \"%s\"}}")), before + 3600);
  // Where nobody says a moment, it is the day's start.
  context_.as_of = 0;
  EXPECT_LT(std::stoll(filled("{{recent \"%s\"}}")), context_.day);
}

TEST(Moment, IsADayOrATimeThatHasPassed) {
  EXPECT_EQ(*parse_moment("2024-05-02"), *parse_day("2024-05-02"));
  EXPECT_EQ(*parse_moment("2024-05-02T14:03:00Z"), *parse_day("2024-05-02") + 14 * 3600 + 180);
  EXPECT_EQ(day_of(*parse_moment("2024-05-02T14:03:00Z")), *parse_day("2024-05-02"));
  EXPECT_EQ(moment_text(*parse_moment("2024-05-02T14:03:00Z")), "2024-05-02T14:03:00Z");
  for (const char* text : {"", "2026-11-21T", "2026-11-21 14:03:00", "2026-11-21T25:00:00Z",
                           "2026-02-30T10:00:00Z", "2026-11-21T14:03:00Zx"})
    EXPECT_FALSE(parse_moment(text)) << text;
  EXPECT_TRUE(parse_moment(moment_text(this_minute())));
  const auto later = parse_moment(moment_text(this_minute() + 7200));
  ASSERT_FALSE(later);
  EXPECT_THAT(later.error().line(), HasSubstr("yet to come"));
}

TEST_F(TemplateTest, DigitsAreThoseOfTheSeed) {
  EXPECT_THAT(filled("{{hex 40 a}}"), ::testing::MatchesRegex("[0-9a-f]{40}"));
  EXPECT_THAT(filled("{{HEX 40 a}}"), ::testing::MatchesRegex("[0-9A-F]{40}"));
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h"})
    EXPECT_THAT(filled(std::string("{{digits 10 ") + name + "}}"),
                ::testing::MatchesRegex("[1-9][0-9]{9}"));
  EXPECT_NE(filled("{{HEX 40 a}}"), filled("{{HEX 40 b}}"));
}

TEST_F(TemplateTest, LinesThatHoldOnlyAnEmptyPlaceholderVanish) {
  EXPECT_EQ(filled("a\n{{empty}}\nb\n"), "a\nb\n");
  EXPECT_EQ(filled("{{empty}}\nb"), "b");
  EXPECT_EQ(filled("a {{empty}}\nb"), "a \nb");
  EXPECT_EQ(filled("a\n\n{{empty}}\n\nb"), "a\n\nb");
}

TEST_F(TemplateTest, SeedAndNameFixIdentifiers) {
  std::string first = filled("{{hex 12 a}}");
  EXPECT_EQ(first.size(), 12U);
  EXPECT_EQ(filled("{{hex 12 a}}"), first);
  EXPECT_NE(filled("{{hex 12 b}}"), first);
  context_.seed = 8;
  EXPECT_NE(filled("{{hex 12 a}}"), first);
}

TEST_F(TemplateTest, MistakesNameTheirPlace) {
  EXPECT_THAT(filled("one\ntwo {{nam}}"), HasSubstr("t:2: unknown placeholder {{nam}}"));
  EXPECT_THAT(filled("{{name"), HasSubstr("{{ without }}"));
  for (const char* bad :
       {"{{date x}}", "{{date -d}}", "{{date --5d}}", "{{date -100001d}}", "{{date -9000000000s}}",
        "{{date +8640000001s}}", "{{date --2147483648s}}", "{{date \"%Y}}", "{{hex 12}}",
        "{{hex x y}}", "{{hex 99999 a}}", "{{}}"})
    EXPECT_THAT(filled(bad), HasSubstr("error")) << bad;
}

TEST(ParseDay, RefusesWhatIsNoDay) {
  for (const char* bad : {"", "2026-2-1", "2026-02-30", "2026-13-01", "20260301xx", "tomorrow!!"})
    EXPECT_FALSE(parse_day(bad)) << bad;
  EXPECT_EQ(*parse_day("1971-01-01"), 365 * 86400);
}

}  // namespace
}  // namespace gyges::cues
