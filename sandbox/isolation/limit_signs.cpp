#include "sandbox/isolation/limit_signs.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

namespace gyges::isolation {

void add_limits_of_record(const Limits& limits, const recorder::ResourceSigns& signs,
                          std::vector<LimitHit>& hits) {
  struct Row {
    const char* limit;
    std::uint64_t value;
    std::uint64_t count;
    const char* sign;
    const char* words;
    int resource;  // that processes can lower themselves; -1: none
  };
  const Row rows[] = {
      {"open_files", limits.open_files, signs.no_descriptor, "EMFILE", "descriptors were refused",
       RLIMIT_NOFILE},
      {"memory_bytes", limits.memory_bytes, signs.no_memory, "ENOMEM", "memory was refused",
       RLIMIT_DATA},
      {"file_bytes", limits.file_bytes, signs.file_too_large, "EFBIG",
       "a file would have become too large", RLIMIT_FSIZE},
      {"cpu_seconds", limits.cpu_seconds, signs.processor_time, "SIGXCPU",
       "a process had used up its processor time", RLIMIT_CPU},
      {"processes", limits.processes, signs.no_process, "EAGAIN", "processes were refused",
       RLIMIT_NPROC},
      {"disk_bytes", limits.disk_bytes, signs.no_space, "ENOSPC", "there was no space to write to",
       -1},
      {"inodes", limits.inodes, signs.no_inode, "ENOSPC", "files could not be made", -1},
  };
  for (const Row& row : rows) {
    if (row.value == 0 || row.count == 0) continue;
    if (std::any_of(hits.begin(), hits.end(),
                    [&](const LimitHit& hit) { return hit.limit == row.limit; }))
      continue;
    const bool own =
        row.resource >= 0 && (signs.changed >> static_cast<unsigned>(row.resource) & 1U) != 0;
    hits.push_back({row.limit, fmt::format("{} x{}: {}{}", row.sign, row.count, row.words,
                                           own ? "; a process had set this limit itself" : "")});
  }
}

}  // namespace gyges::isolation
