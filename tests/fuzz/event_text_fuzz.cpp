// Events with any number, arguments and captures, as a hostile program or file can make them.
#include <fuzzer/FuzzedDataProvider.h>

#include <deque>
#include <string>
#include <vector>

#include "tests/fuzz/event_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gyges::recorder;
  FuzzedDataProvider source(data, size);
  fuzz::EventChecks checks;
  for (int events = 0; events < 16 && source.remaining_bytes() > 0; ++events) {
    Event event;
    event.kind = static_cast<EventKind>(source.ConsumeIntegralInRange(1, 11));
    event.abi = static_cast<Abi>(source.ConsumeIntegralInRange(0, 2));
    event.verdict = static_cast<Verdict>(source.ConsumeIntegralInRange(0, 3));
    event.has_enter = source.ConsumeBool();
    event.has_exit = source.ConsumeBool();
    event.number = source.ConsumeBool() ? source.ConsumeIntegralInRange<std::uint32_t>(0, 480)
                                        : source.ConsumeIntegral<std::uint32_t>();
    event.pid = event.tid = source.ConsumeIntegralInRange(0, 3);
    event.origin_call = source.ConsumeIntegralInRange<std::uint32_t>(0, 3);
    for (std::uint64_t& argument : event.args) argument = source.ConsumeIntegral<std::uint64_t>();
    event.result = source.ConsumeBool() ? source.ConsumeIntegralInRange(-4096, 64)
                                        : source.ConsumeIntegral<std::int64_t>();
    event.duration_ns = source.ConsumeIntegral<std::uint64_t>();
    std::deque<std::string> bytes;
    std::vector<Capture> captures(source.ConsumeIntegralInRange<std::size_t>(0, 6));
    for (Capture& capture : captures) {
      capture.argument =
          static_cast<std::uint8_t>(source.ConsumeIntegralInRange<int>(0, result_argument));
      capture.kind = static_cast<CaptureKind>(
          source.ConsumeIntegralInRange(1, static_cast<int>(CaptureKind::absolute_path)));
      capture.provenance = static_cast<Provenance>(
          source.ConsumeIntegralInRange(0, static_cast<int>(Provenance::exit)));
      capture.truncated = source.ConsumeBool();
      capture.bytes = bytes.emplace_back(source.ConsumeRandomLengthString(400));
      capture.full_length = source.ConsumeBool() ? source.ConsumeIntegral<std::uint32_t>()
                                                 : static_cast<std::uint32_t>(capture.bytes.size());
    }
    event.captures = captures;
    checks(event);
  }
  checks.finish();
  return 0;
}
