#include "sandbox/network/http/aside_hashing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "sandbox/network/http/body_record.h"
#include "sandbox/network/http/broken.h"
#include "sandbox/network/http/moved_pages.h"

namespace gyges::network {
namespace {

// Two ends of one connection over loopback.
struct LoopbackPair {
  UniqueFd one, other;
  LoopbackPair() {
    const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), generic, size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), generic, &size), 0);
    one.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(one.get(), generic, size), 0);
    other.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }
};

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

// What moves from one connection to another has the hash of the whole, also where it is copied in
// between and where the taker has no room.
// The supervisor learns from the status what did not hold.
TEST_F(AsideHashingTest, WhatDoesNotHoldIsNamed) {
  if (!AsideHashing::instance().runs()) GTEST_SKIP() << "this host has one processor";
  MovedPages pages;
  ASSERT_TRUE(pages.open().has_value());
  Sha256Hasher hasher;
  EXPECT_EXIT((void)pages.hash(hasher, 1000),  // nothing was taken
              testing::ExitedWithCode(static_cast<int>(Broken::pages_not_doubled)), "");
  EXPECT_NE(broken_by(static_cast<int>(Broken::pages_not_doubled)), "");
  EXPECT_EQ(broken_by(0), "");
  EXPECT_EQ(broken_by(1), "");
}

TEST_F(AsideHashingTest, MovedPagesAreHashed) {
  MovedPages& pages = MovedPages::instance();
  if (!AsideHashing::instance().runs()) GTEST_SKIP() << "this host has one processor";
  ASSERT_TRUE(pages.open().has_value());
  ASSERT_TRUE(pages.ready(true));
  LoopbackPair from;
  LoopbackPair to;
  const std::string bytes = bytes_of(20'000'003, 3);
  std::thread sender([&] {
    for (std::size_t at = 0; at < bytes.size();)
      at += static_cast<std::size_t>(
          ::send(from.one.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL));
    from.one.reset();
  });
  ASSERT_EQ(::fcntl(to.one.get(), F_SETFL, O_NONBLOCK), 0);
  const int little = 65536;
  ASSERT_EQ(::setsockopt(to.one.get(), SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)), 0);
  ASSERT_EQ(::setsockopt(to.other.get(), SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
  std::string arrived;
  auto drain = [&](std::size_t size) {
    if (size == 0) return;
    const std::size_t before = arrived.size();
    arrived.resize(before + size);
    ASSERT_EQ(::recv(to.other.get(), arrived.data() + before, size, MSG_WAITALL),
              static_cast<ssize_t>(size));
  };
  BodyRecord record(0, nullptr, {});
  std::size_t moved = 0;
  std::size_t turned_away = 0;
  std::size_t in_socket = 0;
  for (unsigned turn = 0;; ++turn) {
    if (turn % 16 == 0) {  // copied
      auto& buffer = AsideHashing::instance().piece();
      const ssize_t n = ::recv(from.other.get(), buffer.data(), buffer.size(), 0);
      ASSERT_GE(n, 0);
      if (n == 0) break;
      record.feed({buffer.data(), static_cast<std::size_t>(n)}, hits_);
      drain(std::exchange(in_socket, 0));
      arrived.append(buffer.data(), static_cast<std::size_t>(n));
      continue;
    }
    const ssize_t n = pages.take(from.other.get());
    ASSERT_GE(n, 0);
    if (n == 0) break;
    const auto count = static_cast<std::size_t>(n);
    ASSERT_TRUE(record.has_seen_enough());
    record.feed_moved(pages, count);
    std::string rest;
    pages.give(to.one.get(), count, rest);
    moved += count - rest.size();
    turned_away += rest.size();
    in_socket += count - rest.size();
    if (rest.empty()) continue;  // until it is full
    drain(std::exchange(in_socket, 0));
    arrived += rest;
  }
  drain(in_socket);
  sender.join();
  EXPECT_GT(moved, bytes.size() / 4);
  EXPECT_GT(turned_away, 0U);
  EXPECT_TRUE(arrived == bytes);
  FlowBody body = record.finish(true);
  EXPECT_EQ(body.size, bytes.size());
  EXPECT_EQ(body.sha256, to_hex(sha256(bytes)));
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
