#include "sandbox/recorder/format/time_columns.h"

#include <algorithm>

namespace gyges::recorder {
namespace {

// A lane of its own pays for its tables of symbols from about so many events on.
constexpr std::uint32_t least_lane_events = 1024;
// So few times tell no step.
constexpr std::size_t least_events_in_steps = 64;

}  // namespace

void TimeColumnsEncoder::choose_lanes() {
  lane_shapes_.clear();
  for (const Stamp& stamp : stamps_) {
    if (stamp.shape >= counts_.size()) counts_.resize(stamp.shape + 1);
    if (++counts_[stamp.shape] == least_lane_events) lane_shapes_.push_back(stamp.shape);
  }
  std::sort(lane_shapes_.begin(), lane_shapes_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return counts_[a] != counts_[b] ? counts_[a] > counts_[b] : a < b;
  });
  if (lane_shapes_.size() > max_time_lanes) lane_shapes_.resize(max_time_lanes);
  lane_of_.assign(counts_.size(), 0);
  for (std::size_t i = 0; i < lane_shapes_.size(); ++i)
    lane_of_[lane_shapes_[i]] = static_cast<std::uint8_t>(i + 1);
  std::fill(counts_.begin(), counts_.end(), 0);
}

ClockStep TimeColumnsEncoder::find_step() {
  if (step_ == no_clock_step || stamps_.size() < least_events_in_steps) return no_clock_step;
  ClockStepFinder finder(step_);
  for (const Stamp& stamp : stamps_) finder.add(stamp.time);
  const ClockStep found = finder.step();
  if (!finder.fits() || found < min_clock_step || found > max_clock_step) return no_clock_step;
  return step_ = found;
}

void TimeColumnsEncoder::put(const Stamp& stamp, std::uint64_t time, std::uint64_t duration) {
  Lane& lane = lanes_[lane_of_[stamp.shape]];
  ++lane.events;
  lane.parts[0].byte(static_cast<std::uint8_t>(time));
  lane.parts[1].varint(time >> 8U);
  lane.parts[2].byte(static_cast<std::uint8_t>(duration));
  lane.parts[3].varint(duration >> 8U);
}

void TimeColumnsEncoder::write_plainly() {
  for (const Stamp& stamp : stamps_)
    put(stamp, zigzag_of(static_cast<std::int64_t>(stamp.time - stamp.expected)), stamp.duration);
}

void TimeColumnsEncoder::write_in_steps(ClockStep step) {
  ClockSteps steps(step);
  for (const Stamp& stamp : stamps_) {
    std::uint64_t time = zigzag_of(static_cast<std::int64_t>(stamp.time - stamp.expected));
    std::uint64_t time_beside = off_steps;
    if (steps.reaches(stamp.time)) {
      const std::int64_t to = steps.steps_to(stamp.time);
      const std::uint64_t off =
          zigzag_of(static_cast<std::int64_t>(stamp.time - steps.time_at(to)));
      if (off < off_steps) {
        time_beside = off;
        time = zigzag_of(to - (steps.reaches(stamp.expected) ? steps.steps_to(stamp.expected) : 0));
        steps.settle(stamp.time, to);
      }
    }
    if (time_beside == off_steps) steps.restart(stamp.time);
    const std::uint64_t exit = stamp.time + stamp.duration;
    std::uint64_t duration = stamp.duration;
    std::uint64_t exit_beside = off_steps;
    if (steps.reaches(exit)) {
      const std::int64_t to = steps.steps_to(exit);
      const std::uint64_t off = zigzag_of(static_cast<std::int64_t>(exit - steps.time_at(to)));
      if (off < off_steps) {
        exit_beside = off;
        duration = static_cast<std::uint64_t>(to);
        steps.settle(exit, to);
      }
    }
    if (exit_beside == off_steps) steps.restart(exit);
    beside.byte(static_cast<std::uint8_t>(time_beside | exit_beside << 4U));
    put(stamp, time, duration);
  }
}

void TimeColumnsEncoder::finish() {
  clock.used = beside.used = 0;
  for (ColumnStream& part : parts) part.used = 0;
  for (Lane& lane : lanes_) {
    lane.events = 0;
    for (ColumnStream& part : lane.parts) part.used = 0;
  }
  choose_lanes();
  const ClockStep step = find_step();
  if (step == no_clock_step)
    write_plainly();
  else
    write_in_steps(step);
  clock.varint(step);
  clock.varint(lane_shapes_.size());
  for (std::uint32_t shape : lane_shapes_) clock.varint(shape);
  for (std::size_t i = 0; i <= lane_shapes_.size(); ++i) {
    clock.varint(lanes_[i].events);
    clock.varint(lanes_[i].parts[1].used);
    clock.varint(lanes_[i].parts[3].used);
  }
  for (std::size_t part = 0; part < parts.size(); ++part) {
    seams[part].clear();
    for (std::size_t i = 0; i <= lane_shapes_.size(); ++i) {
      parts[part].append(lanes_[i].parts[part].view());
      seams[part].push_back(parts[part].used);
    }
  }
}

bool TimeColumnsDecoder::begin(Columns columns, std::uint32_t events) {
  std::uint64_t step = 0;
  std::uint64_t count = 0;
  if (!columns.clock.varint(step) || !columns.clock.varint(count) || count > max_time_lanes)
    return false;
  has_steps_ = step != no_clock_step;
  if (has_steps_ && (step < min_clock_step || step > max_clock_step)) return false;
  if (has_steps_) steps_ = ClockSteps(step);
  if (columns.beside.left() != (has_steps_ ? events : 0)) return false;
  beside_ = columns.beside;
  lane_count_ = 1 + static_cast<std::size_t>(count);
  for (std::size_t i = 1; i < lane_count_; ++i) {
    std::uint64_t shape = 0;
    if (!columns.clock.varint(shape) || shape > 0xFFFFFFFFU) return false;
    lanes_[i].shape = static_cast<std::uint32_t>(shape);
  }
  for (std::size_t i = 0; i < lane_count_; ++i) {
    std::array<std::uint64_t, 4> sizes{};
    if (!columns.clock.varint(sizes[0]) || !columns.clock.varint(sizes[1]) ||
        !columns.clock.varint(sizes[3]))
      return false;
    sizes[2] = sizes[0];
    for (std::size_t part = 0; part < sizes.size(); ++part)
      if (!columns.parts[part].split(sizes[part], lanes_[i].parts[part])) return false;
  }
  return columns.clock.left() == 0 &&
         std::all_of(columns.parts.begin(), columns.parts.end(),
                     [](const ColumnCursor& part) { return part.left() == 0; });
}

TimeColumnsDecoder::Lane& TimeColumnsDecoder::lane_of(std::uint32_t shape) {
  for (std::size_t i = 1; i < lane_count_; ++i)
    if (lanes_[i].shape == shape) return lanes_[i];
  return lanes_[0];
}

bool TimeColumnsDecoder::read_number(ColumnCursor& low, ColumnCursor& high, std::uint64_t& number) {
  std::uint8_t byte = 0;
  if (!low.byte(byte) || !high.varint(number) || number >> 56U != 0) return false;
  number = number << 8U | byte;
  return true;
}

bool TimeColumnsDecoder::read(std::uint32_t shape, std::uint64_t expected, std::uint64_t& time,
                              std::uint64_t& duration) {
  Lane& lane = lane_of(shape);
  if (!read_number(lane.parts[0], lane.parts[1], time) ||
      !read_number(lane.parts[2], lane.parts[3], duration))
    return false;
  if (!has_steps_) {
    time = expected + static_cast<std::uint64_t>(of_zigzag(time));
    return true;
  }
  std::uint8_t beside = 0;
  if (!beside_.byte(beside)) return false;
  const std::uint64_t time_beside = beside & 0xFU;
  const std::uint64_t exit_beside = beside >> 4U;
  if (time_beside == off_steps) {
    time = expected + static_cast<std::uint64_t>(of_zigzag(time));
    steps_.restart(time);
  } else {
    const std::int64_t from = steps_.reaches(expected) ? steps_.steps_to(expected) : 0;
    const auto to = static_cast<std::int64_t>(static_cast<std::uint64_t>(of_zigzag(time)) +
                                              static_cast<std::uint64_t>(from));
    time = steps_.time_at(to) + static_cast<std::uint64_t>(of_zigzag(time_beside));
    steps_.settle(time, to);
  }
  if (exit_beside == off_steps) {
    steps_.restart(time + duration);
  } else {
    const auto to = static_cast<std::int64_t>(duration);
    const std::uint64_t exit =
        steps_.time_at(to) + static_cast<std::uint64_t>(of_zigzag(exit_beside));
    steps_.settle(exit, to);
    duration = exit - time;
  }
  return true;
}

bool TimeColumnsDecoder::at_end() const {
  if (beside_.left() != 0) return false;
  for (std::size_t i = 0; i < lane_count_; ++i)
    for (const ColumnCursor& part : lanes_[i].parts)
      if (part.left() != 0) return false;
  return true;
}

}  // namespace gyges::recorder
