#include "sandbox/recorder/format/clock_steps.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

namespace gyges::recorder {
namespace {

constexpr double step_scale = 4294967296.0;
// Steps shorter than this spare too little.
constexpr double least_step_ns = 4;

}  // namespace

ClockSteps::ClockSteps(ClockStep step)
    : step_(static_cast<std::int64_t>(step)),
      inverse_(static_cast<std::int64_t>((Wide{1} << 96U) / step)) {}

ClockStepFinder::ClockStepFinder(ClockStep guess)
    : step_(guess),
      about_(static_cast<double>(guess) / step_scale),
      guess_(about_),
      inverse_(1 / guess_) {}

void ClockStepFinder::begin(std::uint64_t time) {
  first_ = last_ = time;
  steps_ = 0;
  begun_ = true;
}

void ClockStepFinder::add(std::uint64_t time) {
  ++times_;
  const auto away = static_cast<double>(static_cast<std::int64_t>(time - last_));
  // How many steps it is must be certain.
  if (!begun_ || std::abs(away) * exact_to_ > guess_ / 8) {
    begin(time);
    return;
  }
  const auto steps = static_cast<std::int64_t>(away * inverse_ + (away < 0 ? -0.5 : 0.5));
  if (std::abs(away - static_cast<double>(steps) * guess_) <= 1.5) ++on_steps_;
  steps_ += steps;
  last_ = time;
  const auto span = static_cast<double>(static_cast<std::int64_t>(time - first_));
  if (span * exact_to_ < 4) return;
  const double found = span / static_cast<double>(steps_);
  // Times that are on no such steps may have none between them, or less than none.
  if (!(std::abs(found - about_) * 1000 < about_)) {
    begin(time);
    return;
  }
  guess_ = found;
  inverse_ = 1 / guess_;
  exact_to_ = std::max(1 / span, 1e-9);
  step_ = static_cast<ClockStep>(guess_ * step_scale);
}

ClockStep clock_step_of(const std::uint64_t* times, std::size_t count) {
  std::uint64_t least = ~std::uint64_t{0};
  for (std::size_t i = 1; i < count; ++i)
    if (times[i] > times[i - 1]) least = std::min(least, times[i] - times[i - 1]);
  if (least > 1000) return no_clock_step;
  // The least difference is some whole number of steps.
  for (int parts = 1; static_cast<double>(least) / parts >= least_step_ns; ++parts) {
    double step = (static_cast<double>(least) + 0.5) / parts;
    double span = 0;
    double steps = 0;
    std::size_t fitting = 0;
    std::size_t all = 0;
    for (std::size_t i = 1; i < count; ++i) {
      const auto away = static_cast<double>(times[i] - times[i - 1]);
      if (away > 16 * step) continue;  // it was interrupted
      ++all;
      const double here = std::nearbyint(away / step);
      if (std::abs(away - here * step) > 1) continue;
      ++fitting;
      span += away;
      steps += here;
      if (steps > 8) step = span / steps;
    }
    if (all * 2 >= count && fitting * 20 >= all * 19)
      return static_cast<ClockStep>(step * step_scale);
  }
  return no_clock_step;
}

ClockStep clock_step_of_machine() {
  static const ClockStep step = [] {
    std::array<std::uint64_t, 512> times{};
    for (std::uint64_t& time : times) {
      std::timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &now);
      time = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
             static_cast<std::uint64_t>(now.tv_nsec);
    }
    return clock_step_of(times.data(), times.size());
  }();
  return step;
}

}  // namespace gyges::recorder
