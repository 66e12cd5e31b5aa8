// A whole trace file of a stranger. Hashes are put right first: whoever forges a file can do that,
// and without it hardly any mutation would get past them.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "sandbox/recorder/format/trace_frame.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "tests/fuzz/event_checks.h"

namespace {
using namespace gyges;
using namespace gyges::recorder;

void put_hashes_right(std::string& file) {
  Sha256 chain = sha256(trace_magic);
  std::size_t at = trace_magic.size();
  while (at + frame_head_bytes + frame_hash_bytes <= file.size()) {
    std::string_view frame = std::string_view(file).substr(at);
    FrameHead head;
    if (!decode_frame_head(frame, head).empty()) return;
    if (head.stored_bytes > frame.size() - frame_head_bytes - frame_hash_bytes) return;
    chain = frame_hash(chain, frame.substr(0, frame_head_bytes),
                       frame.substr(frame_head_bytes, head.stored_bytes));
    at += frame_head_bytes + head.stored_bytes;
    std::copy(chain.begin(), chain.end(), file.begin() + static_cast<std::ptrdiff_t>(at));
    at += frame_hash_bytes;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string file(reinterpret_cast<const char*>(data), size);
  put_hashes_right(file);
  static const int fd = ::memfd_create("trace", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  if (::ftruncate(fd, 0) != 0 ||
      ::pwrite(fd, file.data(), file.size(), 0) != static_cast<ssize_t>(file.size()))
    std::abort();
  auto reader = TraceReader::open(path);
  if (!reader) return 0;
  fuzz::EventChecks checks;
  std::uint64_t events = 0;
  Status read = reader->for_each([&](const Event& event) {
    if (event.sequence != events++) std::abort();
    checks(event);
    return true;
  });
  if (read && (reader->damage() || events != reader->extent().events)) std::abort();
  checks.finish();
  return 0;
}
