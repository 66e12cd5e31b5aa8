// What is promised of the recorder, measured: each function runs one group of
// measures over all arms, in turns, and gives rows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arms.h"

namespace gyges::bench {

struct Row {
  std::string measure;  // "null call", "git status", ...
  std::string arm;
  std::string unit;
  double best = 0;
  std::optional<double> median;
  std::optional<double> ratio;  // of the bests, to untraced
  std::optional<double> median_ratio;
  std::optional<std::uint64_t> lost;
  std::string target;       // in words; of gyges' arms
  std::optional<bool> met;  // none: there is no target for this row
  std::string note;
};

struct Settings {
  int rounds = 7;    // of quick arms; slow ones take a third
  double scale = 1;  // of the loops' counts
};

// getppid and open-read-close, best and median of the rounds.
std::vector<Row> measure_loops(const Arms& arms, const Settings& settings);
// git status, find, gcc -c, tar, python.
std::vector<Row> measure_programs(const Arms& arms, const Settings& settings);
// Four processes on two processors: records per second and how many were lost.
std::vector<Row> measure_flood(const Arms& arms, const Settings& settings);
// The same with the recorder stopped for three seconds in its middle.
std::vector<Row> measure_stall(const Arms& arms, const Settings& settings);
// A null call of a process that is not recorded, while another is.
std::vector<Row> measure_neighbour(const Arms& arms, const Settings& settings);
// How often the path that the record shows is not the file that was opened.
std::vector<Row> measure_race(const Arms& arms, const Settings& settings);
// The recorder's own memory, at its default settings, after a flood.
std::vector<Row> measure_memory(const Arms& arms, const Settings& settings);
// Bytes per system call of each program's trace with and without contents, and how fast one core
// encodes, compresses and hashes it, and reads it.
std::vector<Row> measure_traces(const Arms& arms, const Settings& settings);

}  // namespace gyges::bench
