// Classes of descriptors whose contents a policy may want whole (recorder.contents), and how they
// are read of a stopped tracee.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "sandbox/recorder/capture/kernel/record.h"
#include "sandbox/recorder/capture/tracee.h"
#include "sandbox/recorder/format/event.h"

namespace gyges::recorder {

// A bit of wire::content_*; 0: none of them.
std::uint32_t content_class(const struct stat& about);

// A piece of what a call moved.
struct ContentPiece {
  std::uint64_t offset = 0;  // of its first byte in all that was moved
  std::uint64_t total = 0;   // bytes that were moved
  std::uint32_t length = 0;
  bool missing = false;  // it could not be read
  bool last = false;     // what follows it, if anything, is not recorded
  std::uint8_t argument = 0;
  CaptureKind kind = CaptureKind::buffer_in;
  std::string bytes;
};

// The first `limit` bytes of the `moved` ones of a call, as its plan says where they lie; at least
// one piece, if only to say that nothing could be read.
std::vector<ContentPiece> read_contents(const Tracee& tracee, const wire::plan& plan,
                                        const Tracee::Arguments& args, bool narrow,
                                        std::uint64_t moved, std::uint64_t limit);

// The event of a piece. `call` is that of the call; its captures are replaced by `capture`.
Event content_event(const Event& call, const ContentPiece& piece, Capture& capture);

}  // namespace gyges::recorder
