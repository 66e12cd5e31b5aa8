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
  EXPECT_THAT(parse_error(R"({"b": 1, "a": 1, "b": 2})"), HasSubstr("\"b\" stands twice"));
  EXPECT_THAT(parse_error(R"({"": 1, "": 2})"), HasSubstr("\"\" stands twice"));
  EXPECT_EQ(parse_error(R"({"a": {"b": 1}, "c": {"b": 2}})"), "");
}

TEST(JsonDocument, NothingHidesBehindANulByte) {
  using std::string_view_literals::operator""sv;
  EXPECT_THAT(parse_error("{}\n\0 {"sv), HasSubstr("x.json:2:1: a NUL byte"));
  EXPECT_THAT(parse_error("{}\0"sv), HasSubstr("x.json:1:3: a NUL byte"));
  EXPECT_THAT(parse_error("{\"a\": \"\0\"}"sv), HasSubstr("a NUL byte"));
  EXPECT_TRUE(parse_json("{\"a\": \"\\u0000\"}", "x.json"));
}

TEST(ParseJson, RefusesTrailingTextAndComments) {
  EXPECT_NE(parse_error("{} {}"), "");
  EXPECT_NE(parse_error("{ /* no */ }"), "");
}

TEST(ParseJson, BuildsWhatIsWritten) {
  const char* text = R"({"z":[1,-2,0.5,[],{}],"a":{"c":null,"b":[{"x":true},"t"]},"":""})";
  auto parsed = parse_json(text, "x.json");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(*parsed, nlohmann::json::parse(text));
  EXPECT_EQ(*parse_json("7", "x.json"), nlohmann::json(7));
  EXPECT_TRUE((*parsed)["z"][0].is_number_unsigned());
}

TEST(ParseJson, RefusesAbsurdDepth) {
  EXPECT_EQ(parse_error(std::string(65, '[') + std::string(65, ']')), "");
  EXPECT_THAT(parse_error(std::string(65, '[') + "1" + std::string(65, ']')), HasSubstr("deeper"));
  EXPECT_THAT(parse_error(std::string(100, '[') + std::string(100, ']')), HasSubstr("deeper"));
}

TEST(ParseJson, NamesThePlaceOfANumberThatIsTooLarge) {
  const std::string error = parse_error("{\n  \"a\": 1,\n  \"b\": 1e999\n}");
  EXPECT_THAT(error, HasSubstr("x.json:3:"));
  EXPECT_THAT(error, HasSubstr("number overflow"));
  EXPECT_THAT(error, ::testing::Not(HasSubstr("json.exception")));
}

TEST(ParseJson, SurvivesInvalidUtf8InText) {
  EXPECT_NE(parse_error("{\"a\xff\": 1}"), "");
}

TEST(ValidateJson, UnknownSchemaIsAnError) {
  EXPECT_FALSE(validate_json(nlohmann::json::object(), "no_such", "x.json"));
}

}  // namespace
}  // namespace gyges
