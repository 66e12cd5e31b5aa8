// An unpacked block payload of a stranger: one byte says how many events it claims to hold.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "sandbox/recorder/format/block_decoder.h"
#include "tests/fuzz/event_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges::recorder;
  if (size < 1) return 0;
  std::string_view payload(reinterpret_cast<const char*>(data) + 1, size - 1);
  fuzz::EventChecks checks;
  // As each layout of columns that there was.
  for (std::uint32_t version :
       {trace_version, word_lanes_version, word_lanes_version - 1, oldest_trace_version}) {
    BlockDecoder decoder(version);
    // Twice, the second time with the tables that the first left.
    for (bool fresh : {true, false}) {
      bool stopped = false;
      gyges::Status decoded = decoder.decode(
          payload, data[0], fresh, 0,
          [&](const Event& event) {
            checks(event);
            return true;
          },
          stopped);
      if (!decoded) break;
    }
  }
  checks.finish();
  return 0;
}
