// How much of one episode is shown. What is left out is always counted.
#pragma once

#include <cstddef>

namespace gyges::analysis {

struct EpisodeLimits {
  std::size_t rows = 1500;        // of system calls; equal ones of a tool call share a row
  std::size_t text_bytes = 8000;  // of one message, argument list, output or report
  std::size_t line_bytes = 400;   // of one system call, path or flow
  std::size_t lines = 2000;       // of the transcript
  std::size_t flows = 1000;
  std::size_t files = 1000;
  std::size_t processes = 600;
  std::size_t bins = 160;  // of the activity over time
};

// On a page from a server, that has one episode at a time.
inline constexpr EpisodeLimits on_demand_limits{20000, 60000, 2000, 20000, 20000, 20000, 5000, 320};
// Inside a file, the widest first: the first of them that fits is taken. The bins of each
// divide those of the one before.
inline constexpr EpisodeLimits file_limits[] = {{2500, 12000, 600, 3000, 1500, 1500, 800, 240},
                                                {900, 5000, 400, 1200, 500, 500, 400, 120},
                                                {350, 2400, 300, 500, 200, 200, 200, 120},
                                                {150, 1000, 220, 200, 80, 80, 100, 60},
                                                {50, 300, 160, 60, 30, 30, 40, 30}};

}  // namespace gyges::analysis
