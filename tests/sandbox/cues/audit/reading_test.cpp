#include "sandbox/cues/audit/reading.h"

#include <gtest/gtest.h>

namespace gyges::cues {
namespace {

const std::string begin = "{\"probe\":\"gyges\",\"version\":1}\n";

std::string line(const std::string& channel, const std::string& rest) {
  return "{\"channel\":\"" + channel + "\",\"how\":\"read x\",\"class\":\"fact\"," + rest + "}\n";
}

TEST(Reading, KnowsValuesAndErrors) {
  auto reading =
      parse_reading(begin + line("A.b", "\"value\":\"1\"") + line("A.c", "\"error\":\"ENOENT\"") +
                        "{\"end\":2,\"microseconds\":7}\n",
                    "test");
  ASSERT_TRUE(reading) << reading.error().line();
  EXPECT_EQ(reading->find("A.b")->value, "1");
  EXPECT_FALSE(reading->find("A.c")->present());
  EXPECT_EQ(reading->find("A.c")->shown(), "(ENOENT)");
  EXPECT_EQ(reading->microseconds, 7U);
}

TEST(Reading, JoinsAChannelThatStandsTwice) {
  auto reading = parse_reading(
      begin + line("F2", "\"value\":\"a\"") + line("F2", "\"value\":\"b\"") + "{\"end\":2}\n",
      "test");
  ASSERT_TRUE(reading) << reading.error().line();
  EXPECT_EQ(reading->find("F2")->value, "a | b");
}

// What an agent could make of the output must not pass for a reading.
TEST(Reading, RefusesEverythingElse) {
  const std::string good = line("A.b", "\"value\":\"1\"");
  const std::string end = "{\"end\":1}\n";
  EXPECT_TRUE(parse_reading(begin + good + end, "test"));  // the control
  for (const std::string& bad : {
           std::string(),
           good + end,                      // no first line
           begin + good,                    // ends early
           begin + good + "{\"end\":2}\n",  // counts another number
           begin + good + end + "more\n",   // goes on behind the end
           begin + "not JSON\n" + end,
           begin + "[1]\n" + end,
           begin + line("A.b", "\"value\":1") + end,                      // a number
           begin + line("A.b", "\"value\":\"1\",\"error\":\"E\"") + end,  // both
           begin + line("A.b", "\"other\":\"1\"") + end,
           begin + line("", "\"value\":\"1\"") + end,
           begin + line("A b", "\"value\":\"1\"") + end,
           begin + line(std::string(400, 'a'), "\"value\":\"1\"") + end,
           begin + line("A.b", "\"value\":\"" + std::string(70000, 'a') + "\"") + end,
           begin + std::string(100000, '[') + "\n" + end,
       })
    EXPECT_FALSE(parse_reading(bad, "test")) << bad.substr(0, 120);
}

}  // namespace
}  // namespace gyges::cues
