// The work that the recorders watch. Every arm runs the same program with the same arguments:
//
//   recorder_bench work NAME COUNT DIRECTORY
//
// It times itself, from after its start to before its end, so that what a recorder needs to begin
// and to finish is not in the figure, and prints one line:
//
//   seconds calls interrupted noticed
//
// calls: how many system calls a loop made (0: not counted); interrupted: of those that block, how
// many ended with EINTR; noticed: signals, and stops and continuations of children, that nobody
// inside caused.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace gyges::bench {

struct WorkReport {
  double seconds = 0;
  std::uint64_t calls = 0;
  std::uint64_t interrupted = 0;
  std::uint64_t noticed = 0;
};

// Files that the works read: a source file, a git repository, two files to race over. Exits with a
// message when git is missing.
void prepare_works(const std::filesystem::path& directory);

// getppid, files, race: COUNT rounds in a loop. git, find, gcc, tar, python: COUNT runs of that
// program. flood: COUNT seconds of getppid in four processes, two on each of two processors. idle:
// until the file "stop" stands in the directory.
int do_work(const std::string& name, long count, const std::filesystem::path& directory);

WorkReport parse_work_report(const std::string& line);

}  // namespace gyges::bench
