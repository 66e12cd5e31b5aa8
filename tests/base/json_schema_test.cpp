#include "base/json_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace gyges {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::size_t ten_megabytes = 10'000'000;

std::string compile_error(const char* schema) {
  auto compiled = JsonSchema::compile(json::parse(schema), "test");
  return compiled ? "" : compiled.error().line();
}

// "" where it fits, else "POINTER: REASON".
std::string fault(const char* schema, const json& value) {
  auto compiled = JsonSchema::compile(json::parse(schema), "test");
  EXPECT_TRUE(compiled) << compiled.error().line();
  if (!compiled) return "no schema";
  auto found = compiled->check(value);
  return found ? found->pointer + ": " + found->reason : "";
}

struct Row {
  const char* schema;
  const char* fits;
  const char* does_not;
};

TEST(JsonSchema, EachKeywordAcceptsAndRefuses) {
  const Row rows[] = {
      {"true", "1", nullptr},
      {"false", nullptr, "1"},
      {R"({"type": "null"})", "null", "0"},
      {R"({"type": "boolean"})", "false", "0"},
      {R"({"type": "integer"})", "-3", "1.5"},
      {R"({"type": "number"})", "3", "\"3\""},
      {R"({"type": ["string", "array"]})", "[]", "{}"},
      {R"({"const": {"a": [1]}})", R"({"a": [1]})", R"({"a": [2]})"},
      {R"({"enum": ["a", 1, null]})", "null", "\"b\""},
      {R"({"minimum": 1, "maximum": 3})", "3", "4"},
      {R"({"minimum": 1, "maximum": 3})", "1", "0.999"},
      {R"({"exclusiveMinimum": 1})", "1.001", "1"},
      {R"({"exclusiveMaximum": 3})", "2", "3"},
      {R"({"maximum": 18446744073709551614})", "18446744073709551614", "18446744073709551615"},
      {R"({"multipleOf": 0.1})", "0.3", "0.35"},
      {R"({"minLength": 2, "maxLength": 3})", "\"\u00e4\u00e4\"", "\"\u00e4\""},
      {R"({"maxLength": 3})", "\"abc\"", "\"abcd\""},
      {R"({"pattern": "^[a-z]+$"})", "\"abc\"", "\"abc\\nABC\""},
      {R"({"pattern": "b"})", "\"abc\"", "\"aBc\""},
      {R"({"pattern": "^(?!x)a"})", "\"abc\"", "\"xabc\""},
      {R"({"items": {"type": "integer"}})", "[1, 2]", "[1, \"2\"]"},
      {R"({"items": [{"const": 1}], "additionalItems": false})", "[1]", "[1, 2]"},
      {R"({"prefixItems": [{"const": 1}], "items": {"const": 2}})", "[1, 2, 2]", "[1, 2, 1]"},
      {R"({"minItems": 1, "maxItems": 2})", "[1]", "[]"},
      {R"({"contains": {"const": 1}})", "[2, 1]", "[2]"},
      {R"({"contains": {"const": 1}, "minContains": 2, "maxContains": 2})", "[1, 1]", "[1, 1, 1]"},
      {R"({"uniqueItems": true})", R"([1, "1", {"a": 1}, {"a": 2}])", R"([{"a": 1}, 3, {"a": 1}])"},
      {R"({"properties": {"a": {"type": "string"}}})", R"({"b": 1})", R"({"a": 1})"},
      {R"({"properties": {"a": true}, "additionalProperties": false})", R"({"a": 1})",
       R"({"b": 1})"},
      {R"({"patternProperties": {"^x": {"const": 1}}, "additionalProperties": {"const": 2}})",
       R"({"x1": 1, "y": 2})", R"({"x1": 2})"},
      {R"({"propertyNames": {"pattern": "^[a-z]+$"}})", R"({"ab": 1})", R"({"Ab": 1})"},
      {R"({"required": ["a", "b"]})", R"({"a": 1, "b": 2})", R"({"a": 1})"},
      {R"({"minProperties": 1, "maxProperties": 1})", R"({"a": 1})", "{}"},
      {R"({"dependencies": {"a": ["b"]}})", R"({"a": 1, "b": 1})", R"({"a": 1})"},
      {R"({"dependentSchemas": {"a": {"required": ["b"]}}})", R"({"b": 1})", R"({"a": 1})"},
      {R"({"allOf": [{"minimum": 1}, {"maximum": 2}]})", "2", "3"},
      {R"({"anyOf": [{"const": 1}, {"const": 2}]})", "2", "3"},
      {R"({"oneOf": [{"minimum": 1}, {"minimum": 2}]})", "1", "2"},
      {R"({"not": {"const": 1}})", "2", "1"},
      {R"({"if": {"const": 1}, "then": false, "else": {"const": 2}})", "2", "1"},
      {R"({"if": {"const": 1}, "then": true, "else": {"const": 2}})", "1", "3"},
      {R"({"$defs": {"n/o": {"type": "null"}}, "items": {"$ref": "#/$defs/n~1o"}})", "[null]",
       "[0]"},
      {R"({"properties": {"next": {"$ref": "#"}}, "additionalProperties": false})",
       R"({"next": {"next": {}}})", R"({"next": {"last": {}}})"},
  };
  for (const Row& row : rows) {
    if (row.fits != nullptr) {
      EXPECT_EQ(fault(row.schema, json::parse(row.fits)), "") << row.schema;
    }
    if (row.does_not != nullptr) {
      EXPECT_NE(fault(row.schema, json::parse(row.does_not)), "") << row.schema;
    }
  }
}

TEST(JsonSchema, AFaultNamesThePlaceAndTheReason) {
  const char* schema = R"({"properties": {"a": {"items": {"type": "integer", "maximum": 9}}},
                           "additionalProperties": false, "required": ["a"]})";
  EXPECT_EQ(fault(schema, json::parse(R"({"a": [1, 2, 10]})")), "/a/2: is above 9");
  EXPECT_EQ(fault(schema, json::parse(R"({"a": [], "b": 0})")), "/: unknown key \"b\"");
  EXPECT_EQ(fault(schema, json::parse("{}")), "/: the key \"a\" is missing");
  EXPECT_EQ(fault(schema, json::parse(R"({"a": ["x"]})")), "/a/0: \"x\" is not an integer");
}

TEST(JsonSchema, OfSeveralFormsTheOneMeantIsExplained) {
  const char* schema = R"({"oneOf": [
    {"properties": {"type": {"const": "a"}, "x": {"type": "string"}}, "additionalProperties": false},
    {"properties": {"type": {"const": "b"}, "y": {"type": "string"}}, "additionalProperties": false}]})";
  EXPECT_EQ(fault(schema, json::parse(R"({"type": "b", "y": 3})")), "/y: 3 is not a text");
}

TEST(JsonSchema, FaultsAreBoundedAndPrintable) {
  std::string text = fault(R"({"type": "integer"})", json(std::string(ten_megabytes, '\x1b')));
  EXPECT_LT(text.size(), 1000U);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  text = fault(R"({"additionalProperties": {"type": "integer"}})",
               json{{std::string(ten_megabytes, 'k'), "x"}});
  EXPECT_LT(text.size(), 1000U);
}

TEST(JsonSchema, WhatIsNoSchemaIsAnError) {
  for (const char* schema : {"3", R"({"type": "text"})", R"({"enum": 1})", R"({"minLength": "a"})",
                             R"({"minItems": -1})", R"({"pattern": "a(b"})", R"({"pattern": 1})",
                             R"({"multipleOf": 0})", R"({"anyOf": []})", R"({"properties": [1]})",
                             R"({"items": 3})", R"({"required": [1]})", R"({"uniqueItems": 1})"})
    EXPECT_NE(compile_error(schema), "") << schema;
}

TEST(JsonSchema, WhatCannotBeHonouredIsAnError) {
  EXPECT_THAT(compile_error(R"({"$ref": "https://192.0.2.1/a.json"})"), HasSubstr("$ref"));
  EXPECT_THAT(compile_error(R"({"$ref": "#/definitions/none"})"), HasSubstr("names nothing"));
  EXPECT_THAT(compile_error(R"({"unevaluatedProperties": false})"), HasSubstr("not supported"));
}

// Ends a process whose stack is used up, where a check recurses over its text.
TEST(JsonSchema, ExpressionsAreSearchedInTextsOfTenMegabytes) {
  std::string text(ten_megabytes, 'a');
  EXPECT_EQ(fault(R"({"pattern": "^[a-z]+$"})", text), "");
  EXPECT_NE(fault(R"({"pattern": "^(a|b)*c"})", text), "");
  EXPECT_NE(fault(R"({"pattern": "(a+)+$"})", text + "!"), "");
  EXPECT_EQ(fault(R"({"propertyNames": {"pattern": "^(a|b)*$"}})", json{{text, 1}}), "");
  EXPECT_NE(fault(R"({"patternProperties": {"(a*)*$": false}})", json{{text, 1}}), "");
}

TEST(JsonSchema, AnExpressionThatNeedsBacktrackingIsUndecidedOverLongTexts) {
  auto schema = JsonSchema::compile(json::parse(R"({"pattern": "^(?=a)(a+)+$"})"), "test");
  ASSERT_TRUE(schema);
  auto found = schema->check(std::string(ten_megabytes, 'a'));
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->undecided);
  EXPECT_FALSE(schema->check("aaa"));
}

TEST(JsonSchema, ASchemaThatLeadsBackToItselfIsUndecided) {
  for (const char* schema :
       {R"({"$ref": "#"})", R"({"allOf": [{"$ref": "#"}]})", R"({"not": {"$ref": "#"}})",
        R"({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]})"}) {
    auto compiled = JsonSchema::compile(json::parse(schema), "test");
    ASSERT_TRUE(compiled) << schema;
    auto found = compiled->check(1);
    ASSERT_TRUE(found) << schema;
    EXPECT_TRUE(found->undecided) << schema;
  }
}

TEST(JsonSchema, ACheckWhoseWorkDoublesWithEachLevelEnds) {
  json schema = {{"$defs", json::object()}};
  for (int i = 0; i < 60; ++i) {
    std::string next = "#/$defs/" + std::to_string(i + 1);
    schema["$defs"][std::to_string(i)] = {{"allOf", {{{"$ref", next}}, {{"$ref", next}}}}};
  }
  schema["$defs"]["60"] = true;
  schema["$ref"] = "#/$defs/0";
  auto compiled = JsonSchema::compile(schema, "test");
  ASSERT_TRUE(compiled);
  auto found = compiled->check(1);
  ASSERT_TRUE(found);
  EXPECT_TRUE(found->undecided);
}

TEST(JsonSchema, LargeValuesAreChecked) {
  json list = json::array();
  for (int i = 0; i < 200'000; ++i) list.push_back(i);
  EXPECT_EQ(fault(R"({"uniqueItems": true, "items": {"type": "integer"}})", list), "");
  list.push_back(5);
  EXPECT_EQ(fault(R"({"uniqueItems": true})", list), "/: 5 stands there twice");
}

}  // namespace
}  // namespace gyges
