#include "sandbox/recorder/format/time_columns.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace gyges::recorder {
namespace {

constexpr double step_ns = 10.0148746;

ClockStep about(double ns) {
  return static_cast<ClockStep>(ns * 4294967296.0);
}

// What a clock that goes in such steps shows after so many of them.
std::uint64_t shown(std::uint64_t steps, double step) {
  return 5'000'000'000'000 + static_cast<std::uint64_t>(static_cast<double>(steps) * step);
}

struct Times {
  std::uint64_t time, duration, expected;
};

// Calls of a busy thread; `wild` of a hundred are at any time and take any time.
std::vector<Times> times_of(double step, std::size_t count, unsigned wild) {
  std::mt19937_64 random(7);
  std::vector<Times> all;
  std::uint64_t now = 0;
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < count; ++i) {
    now += 20 + random() % 40;
    const std::uint64_t entry = shown(now, step);
    now += 60 + random() % 60;
    Times times{entry, shown(now, step) - entry, last};
    if (random() % 100 < wild) times = {random() >> random() % 64, random() >> random() % 64, last};
    all.push_back(times);
    last = times.time + times.duration;
  }
  return all;
}

// How many bytes beyond the lowest of each number are not 0; the times must come back.
std::size_t high_bytes(const std::vector<Times>& all, ClockStep step, std::size_t& off_steps_seen) {
  TimeColumnsEncoder encoder(step);
  for (std::size_t i = 0; i < all.size(); ++i)
    encoder.add(static_cast<std::uint32_t>(i % 3), all[i].time, all[i].duration, all[i].expected);
  encoder.finish();
  off_steps_seen = 0;
  for (std::size_t i = 0; i < encoder.beside.used; ++i)
    off_steps_seen += encoder.beside.bytes[i] != 0 ? 1 : 0;
  const auto cursor = [](const ColumnStream& stream) {
    return ColumnCursor{stream.bytes.data(), stream.bytes.data() + stream.used};
  };
  TimeColumnsDecoder decoder;
  TimeColumnsDecoder::Columns columns{cursor(encoder.clock), cursor(encoder.beside), {}};
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < columns.parts.size(); ++i) {
    columns.parts[i] = cursor(encoder.parts[i]);
    for (std::size_t k = 0; i % 2 == 1 && k < encoder.parts[i].used; ++k)
      bytes += encoder.parts[i].bytes[k] != 0 ? 1 : 0;
  }
  EXPECT_TRUE(decoder.begin(columns, static_cast<std::uint32_t>(all.size())));
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::uint64_t time = 0;
    std::uint64_t duration = 0;
    if (!decoder.read(static_cast<std::uint32_t>(i % 3), all[i].expected, time, duration) ||
        time != all[i].time || duration != all[i].duration) {
      ADD_FAILURE() << "event " << i;
      break;
    }
  }
  EXPECT_TRUE(decoder.at_end());
  return bytes;
}

TEST(TimeColumns, AreExactWithoutSteps) {
  std::size_t beside = 0;
  high_bytes(times_of(step_ns, 5000, 0), no_clock_step, beside);
  high_bytes(times_of(step_ns, 5000, 100), no_clock_step, beside);
  high_bytes({}, no_clock_step, beside);
  EXPECT_EQ(beside, 0U);
}

// Of what is on steps hardly anything is beside them, and the lowest byte says all.
TEST(TimeColumns, OnStepsAreShorter) {
  const auto all = times_of(step_ns, 20000, 0);
  std::size_t beside = 0;
  const std::size_t plain = high_bytes(all, no_clock_step, beside);
  const std::size_t in_steps = high_bytes(all, about(step_ns * 1.0001), beside);
  EXPECT_GT(plain, 2 * all.size() * 9 / 10);
  EXPECT_LT(in_steps, all.size() / 100);
  EXPECT_LT(beside, all.size() / 20);
  // A clock that may show any nanosecond is not told in steps.
  EXPECT_EQ(high_bytes(times_of(1, 20000, 0), about(step_ns), beside),
            high_bytes(times_of(1, 20000, 0), no_clock_step, beside));
  EXPECT_EQ(beside, 0U);
}

TEST(TimeColumns, WildTimesAmongThoseOnStepsAreExact) {
  for (const unsigned wild : {1U, 5U, 50U, 100U}) {
    std::size_t beside = 0;
    high_bytes(times_of(step_ns, 20000, wild), about(step_ns), beside);
    high_bytes(times_of(41.66667, 20000, wild), about(41.67), beside);
    if (wild <= 5) {
      EXPECT_GT(beside, 0U) << "not told in steps at all";
    }
  }
}

TEST(TimeColumns, NonsenseIsRefused) {
  std::mt19937_64 random(3);
  const auto all = times_of(step_ns, 300, 5);
  TimeColumnsEncoder encoder(about(step_ns));
  for (const Times& times : all) encoder.add(0, times.time, times.duration, times.expected);
  encoder.finish();
  for (int round = 0; round < 20000; ++round) {
    std::array<ColumnStream, 6> streams{encoder.clock,    encoder.beside,   encoder.parts[0],
                                        encoder.parts[1], encoder.parts[2], encoder.parts[3]};
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips) {
      ColumnStream& stream = streams[random() % streams.size()];
      if (stream.used > 0)
        stream.bytes[random() % stream.used] = static_cast<std::uint8_t>(random());
    }
    TimeColumnsDecoder::Columns columns;
    const auto cursor = [&](std::size_t i) {
      return ColumnCursor{streams[i].bytes.data(), streams[i].bytes.data() + streams[i].used};
    };
    columns = {cursor(0), cursor(1), {cursor(2), cursor(3), cursor(4), cursor(5)}};
    TimeColumnsDecoder decoder;
    if (!decoder.begin(columns, 300)) continue;
    std::uint64_t time = 0;
    std::uint64_t duration = 0;
    for (int i = 0; i < 300 && decoder.read(0, time + duration, time, duration); ++i) {
    }
  }
}

// Times read one right after the other by a program: two or three steps apart, now and then more.
std::vector<std::uint64_t> readings(double step) {
  std::mt19937_64 random(5);
  std::vector<std::uint64_t> times;
  std::uint64_t now = 1000;
  for (int i = 0; i < 512; ++i) {
    now += random() % 100 == 0 ? 300 : 2 + random() % 2;
    times.push_back(shown(now, step));
  }
  return times;
}

TEST(ClockStep, IsFoundInReadings) {
  for (const double step : {10.0148746, 26.0417, 41.66667, 4.9}) {
    const auto times = readings(step);
    const ClockStep found = clock_step_of(times.data(), times.size());
    EXPECT_NEAR(static_cast<double>(found) / 4294967296.0, step, step / 5000) << step;
  }
}

TEST(ClockStep, ThereIsNoneWhereAnyNanosecondMayBe) {
  std::mt19937_64 random(6);
  std::vector<std::uint64_t> times{1000};
  for (int i = 0; i < 512; ++i) times.push_back(times.back() + 17 + random() % 14);
  EXPECT_EQ(clock_step_of(times.data(), times.size()), no_clock_step);
  EXPECT_EQ(clock_step_of(times.data(), 0), no_clock_step);
  const std::vector<std::uint64_t> standing(100, 1000);
  EXPECT_EQ(clock_step_of(standing.data(), standing.size()), no_clock_step);
}

TEST(ClockStepFinder, BecomesExact) {
  ClockStepFinder finder(about(step_ns * 1.00015));
  for (const Times& times : times_of(step_ns, 20000, 0)) finder.add(times.time);
  EXPECT_TRUE(finder.fits());
  EXPECT_NEAR(static_cast<double>(finder.step()) / 4294967296.0, step_ns, step_ns * 1e-6);
}

// A clock that went over to shorter steps: nothing is learned from that.
TEST(ClockStepFinder, TimesThatAreNotOnTheStepsTeachNothing) {
  ClockStepFinder standing(about(70));
  for (std::uint64_t i = 0; i < 20000; ++i) standing.add(1'000'000 + i * 20);
  EXPECT_EQ(standing.step(), about(70));
  EXPECT_FALSE(standing.fits());
}

TEST(TimeColumns, ShortestStepIsExact) {
  ClockSteps steps(min_clock_step);
  steps.restart(1'000'000);
  EXPECT_EQ(steps.steps_to(1'002'000), 1000);
  EXPECT_EQ(steps.steps_to(998'000), -1000);
}

}  // namespace
}  // namespace gyges::recorder
