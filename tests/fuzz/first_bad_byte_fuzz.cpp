// A damaged frame of a stranger, in which the first bad byte is looked for; and what it finds must
// lie where it may.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "sandbox/recorder/format/first_bad_byte.h"
#include "sandbox/recorder/format/trace_frame.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges;
  using namespace gyges::recorder;
  static const int fd = ::memfd_create("trace", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, data, size, 0) != static_cast<ssize_t>(size))
    std::abort();
  const Sha256 before = sha256(trace_magic);
  for (const std::uint64_t frame : {std::uint64_t{trace_magic.size()}, std::uint64_t{300}}) {
    const auto bad = find_first_bad_byte(path, frame, before, "", 1U << 16U);
    if (!bad) std::abort();
    if (bad->from > bad->to || bad->to > std::max<std::uint64_t>(size, frame)) std::abort();
    if (bad_byte_text(*bad).empty()) std::abort();
  }
  return 0;
}
