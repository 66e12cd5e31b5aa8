#include "tools/output_window.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gyges::tools {
namespace {

TEST(OutputWindow, KeepsEverythingUpToTheLimit) {
  OutputWindow window(10);
  window.append("01234");
  window.append("56789");
  EXPECT_FALSE(window.truncated());
  EXPECT_EQ(window.text(), "0123456789");
}

// Against the plain meaning, for pieces of every size.
TEST(OutputWindow, KeepsBeginningAndEnd) {
  std::string all;
  for (int i = 0; i < 500; ++i) all += static_cast<char>('a' + i % 26);
  for (std::size_t limit : {1U, 2U, 7U, 64U, 499U}) {
    for (std::size_t piece : {1U, 3U, 31U, 500U}) {
      OutputWindow window(limit);
      for (std::size_t at = 0; at < all.size(); at += piece) window.append(all.substr(at, piece));
      std::size_t head = limit - limit / 2;
      std::string expected = all.substr(0, head) + "\n[... " + std::to_string(500 - limit) +
                             " bytes left out ...]\n" + all.substr(500 - limit / 2);
      EXPECT_EQ(window.text(), expected) << limit << " " << piece;
      EXPECT_EQ(window.total(), 500U);
    }
  }
}

}  // namespace
}  // namespace gyges::tools
