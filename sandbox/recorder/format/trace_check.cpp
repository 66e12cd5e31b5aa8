#include "sandbox/recorder/format/trace_check.h"

#include <fmt/format.h>

#include "sandbox/recorder/format/trace_reader.h"

namespace gyges::recorder {
namespace {

std::string with_byte(const std::string& fault, const BadByte& bad) {
  return fmt::format("{}; {}", fault, bad_byte_text(bad));
}

}  // namespace

Result<TraceCheck> check_trace(const std::filesystem::path& path, const std::string& sealed_head) {
  TraceCheck check;
  auto reader = TraceReader::open(path);
  if (!reader) {
    auto bad = find_bad_header_byte(path);
    if (!bad || !*bad) return tl::unexpected<Error>(std::move(reader.error()));
    check.first_bad_byte = std::move(*bad);
    check.fault = with_byte("its header is bad", *check.first_bad_byte);
    return check;
  }
  check.chain_head = to_hex(reader->chain_head());
  const std::optional<TraceDamage>& damage = reader->damage();
  if (!damage) return check;
  check.fault = fmt::format("block {} at byte {}: {}; {} events before it are good", damage->block,
                            damage->offset, damage->reason, damage->first_missing);
  if (!damage->is_frame) {
    check.first_bad_byte = BadByte{damage->offset, damage->offset, damage->reason};
    return check;
  }
  GYGES_TRY(check.first_bad_byte,
            find_first_bad_byte(path, damage->offset, reader->chain_head(), sealed_head));
  check.fault = with_byte(check.fault, *check.first_bad_byte);
  return check;
}

}  // namespace gyges::recorder
