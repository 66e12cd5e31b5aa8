#include "sandbox/network/name_table.h"

#include <gtest/gtest.h>

namespace gyges::network {
namespace {

IpAddress numbered(std::uint32_t number) {
  IpAddress address;
  for (int i = 0; i < 4; ++i) address.bytes[i] = static_cast<std::uint8_t>(number >> (24 - 8 * i));
  return address;
}

TEST(NameTable, KnowsTheLatestNameFirst) {
  NameTable table;
  table.note("a.example", numbered(1));
  table.note("b.example", numbered(1));
  EXPECT_EQ(table.names_of(numbered(1)), (std::vector<std::string>{"b.example", "a.example"}));
  auto version = table.version();
  table.note("a.example", numbered(1));
  EXPECT_EQ(table.names_of(numbered(1)).front(), "a.example");
  EXPECT_EQ(table.version(), version);
  EXPECT_TRUE(table.names_of(numbered(2)).empty());
}

TEST(NameTable, ForgetsTheOldestPastItsBounds) {
  NameTable table;
  for (std::uint32_t i = 0; i <= NameTable::max_entries; ++i) table.note("x.example", numbered(i));
  EXPECT_EQ(table.size(), NameTable::max_entries);
  EXPECT_TRUE(table.names_of(numbered(0)).empty());
  for (std::size_t i = 0; i <= NameTable::max_names; ++i)
    table.note("n" + std::to_string(i), numbered(7));
  EXPECT_EQ(table.names_of(numbered(7)).size(), NameTable::max_names);
}

}  // namespace
}  // namespace gyges::network
