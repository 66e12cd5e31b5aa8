#include "base/text.h"

#include <gtest/gtest.h>

namespace gyges {
namespace {

TEST(Printable, KeepsOrdinaryTextAndUtf8) {
  EXPECT_EQ(printable("naïve α 日本"), "naïve α 日本");
}

TEST(Printable, EscapesTerminalControlAndNewlines) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\td\re"), "a\\x1b[31mb\\nc\\td\\re");
}

TEST(Printable, EscapesInvalidUtf8ByByte) {
  EXPECT_EQ(printable("\xff\xc0\x80x"), "\\xff\\xc0\\x80x");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82");           // cut short
}

TEST(Printable, EscapesBidiAndC1Controls) {
  EXPECT_EQ(printable("a\u202eb"), "a\\u{202e}b");
  EXPECT_EQ(printable("\u0085"), "\\u{85}");
}

TEST(Quoted, EscapesQuotesAndBackslashes) {
  EXPECT_EQ(quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
}

TEST(ValidUtf8, ReplacesInvalidBytesOnly) {
  EXPECT_EQ(valid_utf8("a\xff\n"), "a\xEF\xBF\xBD\n");
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(split("a::b:", ':'), (std::vector<std::string>{"a", "", "b", ""}));
}

}  // namespace
}  // namespace gyges
