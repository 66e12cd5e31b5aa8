// The times of a block (docs/trace_format.md, "Times"): how long after its thread's last exit each
// event began and how long it took, in steps of the clock where it has steps; those of the shapes
// that are most of the block apart, as each has times of its own.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sandbox/recorder/format/clock_steps.h"
#include "sandbox/recorder/format/column_stream.h"

namespace gyges::recorder {

inline constexpr std::size_t max_time_lanes = 15;  // besides the one for all other shapes
// What is beside the steps, as two halves of a byte; the greatest says that a time is not in steps.
inline constexpr std::uint64_t off_steps = 15;

class TimeColumnsEncoder {
 public:
  static constexpr std::size_t bytes_of_event = 6;  // about

  explicit TimeColumnsEncoder(ClockStep step) : step_(step) {}
  void clear() { stamps_.clear(); }
  // `expected`: the exit that the time is told from.
  void add(std::uint32_t shape, std::uint64_t time, std::uint64_t duration,
           std::uint64_t expected) {
    stamps_.push_back({time, duration, expected, shape});
  }
  // Fills the columns below.
  void finish();

  ColumnStream clock;                 // step and lanes
  ColumnStream beside;                // a byte for each event, if there are steps
  std::array<ColumnStream, 4> parts;  // lowest bytes and rests of time and duration
  // Where the lanes of each part begin and end.
  std::array<std::vector<std::size_t>, 4> seams;

 private:
  struct Stamp {
    std::uint64_t time;
    std::uint64_t duration;
    std::uint64_t expected;
    std::uint32_t shape;
  };
  struct Lane {
    std::uint64_t events = 0;
    std::array<ColumnStream, 4> parts;
  };
  void choose_lanes();
  ClockStep find_step();
  void write_in_steps(ClockStep step);
  void write_plainly();
  void put(const Stamp& stamp, std::uint64_t time, std::uint64_t duration);

  ClockStep step_;  // the last that was found
  std::vector<Stamp> stamps_;
  std::vector<std::uint32_t> counts_;  // by shape
  std::vector<std::uint8_t> lane_of_;  // by shape
  std::vector<std::uint32_t> lane_shapes_;
  std::array<Lane, 1 + max_time_lanes> lanes_;
};

class TimeColumnsDecoder {
 public:
  struct Columns {
    ColumnCursor clock, beside;
    std::array<ColumnCursor, 4> parts;
  };
  // False where they make no sense.
  bool begin(Columns columns, std::uint32_t events);
  bool read(std::uint32_t shape, std::uint64_t expected, std::uint64_t& time,
            std::uint64_t& duration);
  [[nodiscard]] bool at_end() const;

 private:
  struct Lane {
    std::uint32_t shape = 0;
    std::array<ColumnCursor, 4> parts;
  };
  Lane& lane_of(std::uint32_t shape);
  static bool read_number(ColumnCursor& low, ColumnCursor& high, std::uint64_t& number);

  bool has_steps_ = false;
  ClockSteps steps_{min_clock_step};
  ColumnCursor beside_;
  std::size_t lane_count_ = 0;
  std::array<Lane, 1 + max_time_lanes> lanes_;
};

}  // namespace gyges::recorder
