// Clocks that go in steps. Many processors count time at 100, 38.4 or 25 MHz and the kernel turns
// the count into nanoseconds: on an AMD EPYC all times of CLOCK_MONOTONIC are 10.0149 ns apart or a
// multiple of it. A time stored as a number of such steps and the little by which it differs from
// them is exact and takes three bits less.
//
// Everything here is integer arithmetic, as writer and reader must agree to the bit.
#pragma once

#include <cstdint>

namespace gyges::recorder {

// Length of a step in 2^-32 nanoseconds.
using ClockStep = std::uint64_t;
inline constexpr ClockStep no_clock_step = 0;  // any nanosecond may be
// More than 2 ns, as 2^96 / step is a signed number of 64 bits.
inline constexpr ClockStep min_clock_step = (std::uint64_t{2} << 32U) + 1;
inline constexpr ClockStep max_clock_step = std::uint64_t{1024} << 32U;

// Where on the steps of its clock a sequence of times is: each tells anew where the steps are.
class ClockSteps {
 public:
  // `step` between the two bounds. The steps begin at time 0.
  explicit ClockSteps(ClockStep step);

  // False for times that are too far (two seconds) from the last one to be told in steps.
  [[nodiscard]] bool reaches(std::uint64_t time) const {
    const auto away = static_cast<std::int64_t>(time - last_);
    return away > -max_away && away < max_away;
  }
  // The step from the last time that is nearest to `time`, which reaches.
  [[nodiscard]] std::int64_t steps_to(std::uint64_t time) const {
    if (time == last_) return 0;
    // From the middle of the nanosecond that the clock showed.
    const std::int64_t away =
        (static_cast<std::int64_t>(time - last_) << 32U) - fraction_ + one_ns / 2;
    return static_cast<std::int64_t>((Wide{away} * inverse_ + (Wide{1} << 95U)) >> 96U);
  }
  // The time that so many steps from the last one is expected.
  [[nodiscard]] std::uint64_t time_at(std::int64_t steps) const {
    return last_ + static_cast<std::uint64_t>((Wide{steps} * step_ + fraction_) >> 32U);
  }
  // `time` was, so many steps from the last one.
  void settle(std::uint64_t time, std::int64_t steps) {
    const Wide place =
        Wide{steps} * step_ + fraction_ - (Wide{static_cast<std::int64_t>(time - last_)} << 32U);
    last_ = time;
    fraction_ = place < 0 ? 0 : place >= one_ns ? one_ns - 1 : static_cast<std::int64_t>(place);
  }
  // `time` was, somewhere.
  void restart(std::uint64_t time) {
    last_ = time;
    fraction_ = one_ns / 2;
  }

 private:
  __extension__ using Wide = __int128;
  static constexpr std::int64_t max_away = (std::int64_t{1} << 31U) - 1;
  static constexpr std::int64_t one_ns = std::int64_t{1} << 32U;
  std::int64_t step_;
  std::int64_t inverse_;       // 2^96 / step
  std::uint64_t last_ = 0;     // the last time
  std::int64_t fraction_ = 0;  // how far behind it the step is, in 2^-32 ns: below one_ns
};

// Finds the length of a step from times that mostly follow each other closely.
class ClockStepFinder {
 public:
  // `guess`: what it is about, to 1 in 5000.
  explicit ClockStepFinder(ClockStep guess);
  void add(std::uint64_t time);
  [[nodiscard]] ClockStep step() const { return step_; }
  // Whether the times were on its steps.
  [[nodiscard]] bool fits() const { return on_steps_ * 8 >= times_ * 7; }

 private:
  void begin(std::uint64_t time);
  ClockStep step_;
  double about_;            // the first guess, in ns
  double guess_;            // in ns
  double inverse_;          // of it
  double exact_to_ = 2e-4;  // relative
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::int64_t steps_ = 0;  // from the first to the last
  std::uint64_t times_ = 0;
  std::uint64_t on_steps_ = 0;
  bool begun_ = false;
};

// Of times that were read one right after the other; no_clock_step if there are none that pay.
ClockStep clock_step_of(const std::uint64_t* times, std::size_t count);
// Of this machine's CLOCK_MONOTONIC, looked at once.
ClockStep clock_step_of_machine();

}  // namespace gyges::recorder
