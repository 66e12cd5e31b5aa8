// Classes of descriptors whose contents a policy may want whole (recorder.contents), and how they
// are read of a stopped tracee.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/tracee.h"

namespace gyges::recorder {

// A bit of wire::content_*; 0: none of them.
std::uint32_t content_class(const struct stat& about);

// A stretch of the tracee's memory.
struct Stretch {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
};

// Where the `moved` bytes of a call lie, as its plan says; empty if that cannot be read.
std::vector<Stretch> content_stretches(const Tracee& tracee, const wire::plan& plan,
                                       const Tracee::Arguments& args, std::uint64_t moved);

}  // namespace gyges::recorder
