#include "sandbox/network/http/aside_hashing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "sandbox/network/http/body_record.h"

namespace gyges::network {
namespace {

class AsideHashingTest : public ::testing::Test {
 protected:
  void SetUp() override { AsideHashing::instance().start(); }

  // As a connection does: reads `bytes` into the buffer and feeds what was read.
  void pass(BodyRecord& record, std::string_view bytes) {
    while (!bytes.empty()) {
      auto& buffer = AsideHashing::instance().piece();
      const std::size_t size = std::min(bytes.size(), buffer.size());
      std::copy_n(bytes.begin(), size, buffer.begin());
      record.feed({buffer.data(), size}, hits_);
      bytes.remove_prefix(size);
    }
  }

  static std::string bytes_of(std::size_t size, unsigned seed) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1103515245 + 12345) >> 16U);
    return bytes;
  }

  std::vector<CanaryHit> hits_;
};

TEST_F(AsideHashingTest, LargePiecesHaveTheHashOfTheWhole) {
  const std::string bytes = bytes_of(5'000'001, 1);
  BodyRecord record(1000, nullptr, {});
  pass(record, bytes);
  FlowBody body = record.finish(true);
  EXPECT_EQ(body.sha256, to_hex(sha256(bytes)));
  EXPECT_EQ(body.size, bytes.size());
  EXPECT_EQ(body.head, bytes.substr(0, 1000));
}

// What is too small for the thread comes after what the thread still has.
TEST_F(AsideHashingTest, SmallAndLargePiecesStayInOrder) {
  BodyRecord record(10, nullptr, {});
  std::string whole;
  for (unsigned i = 0; i < 200; ++i) {
    const std::string bytes = bytes_of(i % 3 == 0 ? AsideHashing::piece_bytes : 1 + i * 7, i);
    pass(record, bytes);
    whole += bytes;
  }
  EXPECT_EQ(record.finish(true).sha256, to_hex(sha256(whole)));
}

TEST_F(AsideHashingTest, RecordsTakeTurns) {
  BodyRecord one(0, nullptr, {});
  BodyRecord other(0, nullptr, {});
  std::string of_one;
  std::string of_other;
  for (unsigned i = 0; i < 60; ++i) {
    const std::string bytes = bytes_of(100'000 + i, i);
    pass(i % 2 == 0 ? one : other, bytes);
    (i % 2 == 0 ? of_one : of_other) += bytes;
  }
  EXPECT_EQ(one.finish(true).sha256, to_hex(sha256(of_one)));
  EXPECT_EQ(other.finish(true).sha256, to_hex(sha256(of_other)));
}

TEST_F(AsideHashingTest, RecordsMayMoveAndEndAtAnyTime) {
  const std::string bytes = bytes_of(AsideHashing::piece_bytes, 7);
  for (int i = 0; i < 200; ++i) {
    auto record = std::make_unique<BodyRecord>(0, nullptr, "");
    pass(*record, bytes);
    if (i % 2 == 0) continue;
    BodyRecord moved(std::move(*record));
    record.reset();
    pass(moved, bytes);
    EXPECT_EQ(moved.finish(true).sha256, to_hex(sha256(bytes + bytes)));
  }
}

TEST_F(AsideHashingTest, OnlyTheBufferItselfIsHandedOver) {
  Sha256Hasher hasher;
  AsideHashing& aside = AsideHashing::instance();
  auto& buffer = aside.piece();
  const std::string elsewhere(AsideHashing::piece_bytes, 'x');
  EXPECT_EQ(aside.hash(hasher, elsewhere), 0U);
  EXPECT_EQ(aside.hash(hasher, {buffer.data() + 1, AsideHashing::least_bytes}), 0U);
  EXPECT_EQ(aside.hash(hasher, {buffer.data(), AsideHashing::least_bytes - 1}), 0U);
  aside.settle(0);
}

}  // namespace
}  // namespace gyges::network
