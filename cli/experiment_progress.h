// Progress of an experiment on standard error: one line that is overwritten on a terminal, plain
// lines at every tenth otherwise. Failed attempts get lines of their own in both.
#pragma once

#include <chrono>
#include <string>

#include "agent_runtime/experiment/runner.h"

namespace gyges::cli {

class ExperimentProgress {
 public:
  ExperimentProgress();
  void show(const experiment::Progress& progress);
  // Before the first run, on a terminal: how many scenarios of how many have been audited.
  void show_audit(std::size_t done, std::size_t of);
  // Ends the overwritten line.
  void finish();
  // A line between those of the progress.
  void say(const std::string& text);

 private:
  void clear_line();
  void draw(const std::string& line);
  std::chrono::steady_clock::time_point last_drawn_;
  std::string last_failure_;
  std::size_t failures_ = 0;
  std::size_t last_tenth_ = 0;
  bool terminal_ = false;
  bool line_open_ = false;
};

// "announced 5/12, announced_off 6/12, 2 running, 3 queued, 3.1/s, 0:04 left", cut to `width`
// columns.
std::string progress_line(const experiment::Progress& progress, std::size_t width);

}  // namespace gyges::cli
