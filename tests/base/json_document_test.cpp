#include "base/json_document.h"
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gyges {
namespace {

using ::testing::HasSubstr;

std::string parse_error(std::string_view text) {
  auto parsed = parse_json(text, "x.json");
  return parsed ? "" : parsed.error().line();
}

TEST(ParseJson, NamesFileLineAndColumn) {
  EXPECT_THAT(parse_error("{\n  \"a\": 1,\n  oops\n}"), HasSubstr("x.json:3:3"));
}

TEST(ParseJson, SaysWhatIsWrong) {
  EXPECT_THAT(parse_error("\xff\xfe"), HasSubstr("invalid literal"));
  EXPECT_THAT(parse_error("{\"a\": \"b: c"), HasSubstr("missing closing quote"));
}

TEST(ParseJson, RefusesDuplicateKeys) {
  EXPECT_THAT(parse_error(R"({"a": {"b": 1, "b": 2}})"), HasSubstr("\"b\" stands twice"));
  EXPECT_EQ(parse_error(R"({"a": {"b": 1}, "c": {"b": 2}})"), "");
}

TEST(ParseJson, RefusesTrailingTextAndComments) {
  EXPECT_NE(parse_error("{} {}"), "");
  EXPECT_NE(parse_error("{ /* no */ }"), "");
}

TEST(ParseJson, RefusesAbsurdDepth) {
  EXPECT_THAT(parse_error(std::string(100, '[') + std::string(100, ']')), HasSubstr("deeper"));
}

TEST(ParseJson, SurvivesInvalidUtf8InText) {
  EXPECT_NE(parse_error("{\"a\xff\": 1}"), "");
}

TEST(ValidateJson, UnknownSchemaIsAnError) {
  EXPECT_FALSE(validate_json(nlohmann::json::object(), "no_such", "x.json"));
}

}  // namespace
}  // namespace gyges
