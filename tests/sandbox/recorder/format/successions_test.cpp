#include "sandbox/recorder/format/successions.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "base/files.h"
#include "sample_events.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/format/trace_writer.h"

namespace gyges::recorder {
namespace {

Succession some(std::uint32_t number) {
  Succession now;
  now.shape = number;
  now.literals = {no_literal, number % 3 == 0 ? no_literal : number, no_literal};
  now.steps = {0, number, 0, std::uint64_t{number} << 40U, number % 2};
  return now;
}

std::uint32_t trail_of(std::uint32_t number) {
  Trail trail;
  trail.add(number);
  trail.add(number / 7);
  return trail.number();
}

TEST(Successions, KnowWhatTheyWereTold) {
  Successions known;
  constexpr std::uint32_t count = 20000;
  Succession found;
  EXPECT_FALSE(known.find(trail_of(1), found));
  for (std::uint32_t i = 0; i < count; ++i) known.put(trail_of(i), some(i));
  std::uint32_t right = 0;
  for (std::uint32_t i = 0; i < count; ++i)
    if (known.find(trail_of(i), found)) {
      ASSERT_EQ(found, some(i)) << i;
      ++right;
    }
  // Where three trails share two places one is forgotten.
  EXPECT_GT(right, count * 9 / 10);
  std::uint32_t strangers = 0;
  for (std::uint32_t i = count; i < 2 * count; ++i) strangers += known.find(trail_of(i), found);
  EXPECT_LT(strangers, 3U);
  known.put(trail_of(5), some(6));
  ASSERT_TRUE(known.find(trail_of(5), found));
  EXPECT_EQ(found, some(6));
  known.clear();
  EXPECT_FALSE(known.find(trail_of(5), found));
}

TEST(Successions, MemoryIsBounded) {
  Successions known;
  for (std::uint32_t i = 0; i < 1'000'000; ++i) known.put(trail_of(i), some(i));
  Succession found;
  std::uint32_t right = 0;
  for (std::uint32_t i = 0; i < 1'000'000; ++i) right += known.find(trail_of(i), found) ? 1 : 0;
  EXPECT_GT(right, 100'000U);
}

// Two passes of a program over the same files, or the second over others.
std::uint64_t trace_bytes(bool same) {
  testing::EventList list;
  std::uint64_t time = 1'000'000;
  for (int pass = 0; pass < 2; ++pass) {
    std::mt19937_64 random(same ? 9 : 9 + static_cast<unsigned>(pass));
    for (int i = 0; i < 10000; ++i) {
      Event& event = list.add();
      event.number = 262;
      event.pid = event.tid = 100 + pass;
      event.time_ns = time;
      event.duration_ns = 100;
      time += 200;
      const std::uint64_t base = 0x550000000000 + std::uint64_t(pass) * 0x123456000;
      event.args = {4, base + random() % 65536 * 16, base + 0x40, 0, 0, 0};
      std::string name;
      for (int k = 0; k < 12; ++k) name += static_cast<char>('a' + random() % 26);
      list.capture({1, CaptureKind::path, Provenance::enter, false, 12, {}}, name);
    }
  }
  auto directory = TemporaryDirectory::create("gyges_successions_test");
  const std::filesystem::path path = directory->path() / "trace.gyt";
  auto writer = TraceWriter::create(path, Backend::ebpf);
  for (const Event& event : list.finished()) EXPECT_TRUE((*writer)->append(event));
  Coverage coverage;
  EXPECT_TRUE((*writer)->finish(coverage));
  std::size_t seen = 0;
  EXPECT_TRUE(TraceReader::open(path)->for_each([&](const Event& event) {
    return static_cast<bool>(testing::same_event(list.events()[seen++], event));
  }));
  EXPECT_EQ(seen, list.events().size());
  return coverage.bytes;
}

// What is done again takes next to nothing: one argument of a thousand is not as foreseen.
TEST(Successions, WhatIsDoneAgainIsSmall) {
  const std::uint64_t other = trace_bytes(false);
  const std::uint64_t same = trace_bytes(true);
  EXPECT_GT(other, 2 * 10000 * 8U);
  EXPECT_LT(static_cast<double>(same), 0.53 * static_cast<double>(other));
}

}  // namespace
}  // namespace gyges::recorder
