#include "tools/tool_set.h"

#include <gmock/gmock.h>

#include "tests/tools/tools_fixture.h"

namespace gyges::tools {
namespace {

using ::testing::HasSubstr;

constexpr const char* schema = R"({"type":"object","required":["id"],"additionalProperties":false,)"
                               R"("properties":{"id":{"type":"integer"}}})";

TEST(ToolSet, KnowsWhatItIsMadeOf) {
  auto set = ToolSet::make({{"bash", "", "", {}},
                            {"think", "Other words.", "", {}},
                            {"lookup", "Looks up.", schema, {"cat"}}});
  ASSERT_TRUE(set) << set.error().line();
  EXPECT_THAT(set->specs()[0].description, HasSubstr("command line"));
  EXPECT_EQ(set->specs()[1].description, "Other words.");
  EXPECT_THAT(set->specs()[1].parameters, HasSubstr("thought"));
}

TEST(ToolSet, RefusesWhatCannotWork) {
  EXPECT_FALSE(ToolSet::make({{"nothing", "", "", {}}}));
  EXPECT_FALSE(ToolSet::make({{"bash", "", "", {}}, {"bash", "", "", {}}}));
  EXPECT_FALSE(ToolSet::make({{"bash", "x", schema, {"cat"}}}));
  EXPECT_FALSE(ToolSet::make({{"a", "x", "{", {"cat"}}}));
  EXPECT_FALSE(ToolSet::make({{"a", "x", R"({"type":"array"})", {"cat"}}}));
  EXPECT_FALSE(ToolSet::make(
      {{"a", "x", R"({"type":"object","properties":{"b":{"$ref":"other.json"}}})", {"cat"}}}));
}

class ToolSetTest : public ToolsTest {};

TEST_F(ToolSetTest, ACommandGetsItsArgumentsOnStandardInput) {
  auto set = ToolSet::make({{"lookup", "Looks up.", schema, {"sh", "-c", "cat; exit 2"}}});
  ASSERT_TRUE(set);
  start();
  if (!sandbox_) return;
  ToolResult result = set->call(context(), "lookup", R"({"id":7})");
  EXPECT_EQ(result.output, "{\"id\":7}\n[exit status 2]");
  EXPECT_EQ(set->call(context(), "lookup", R"({"id":"7"})").error->type, "arguments");
  EXPECT_EQ(set->call(context(), "lookup", R"({"id":7,"x":1})").error->type, "arguments");
  EXPECT_EQ(set->call(context(), "bash", R"({"command":"true"})").error->type, "unknown_tool")
      << "only what is offered can be called";
}

}  // namespace
}  // namespace gyges::tools
