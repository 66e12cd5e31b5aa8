#include "sandbox/recorder/capture/contents.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {
namespace {

// A stretch of the tracee's memory.
struct Stretch {
  std::uint64_t address = 0;
  std::uint64_t length = 0;
};

// Where the bytes lie; fewer than `moved` where the program's own list of them cannot be read.
std::vector<Stretch> stretches(const Tracee& tracee, const wire::plan& plan,
                               const Tracee::Arguments& args, bool narrow, std::uint64_t moved) {
  constexpr std::uint64_t most_elements = 1024;  // UIO_MAXIOV
  const std::size_t argument = plan.content - 1U;
  const std::uint8_t operation = plan.arguments[argument].operation;
  std::uint64_t vectors = args[argument];
  if (operation == wire::plan_bytes) return {{vectors, moved}};
  if (narrow) return {};  // 32-bit arrays of pointers are not followed
  std::uint64_t count = args[2];
  if (operation == wire::plan_msghdr) {
    const std::optional<std::string> message = tracee.read(vectors, 56);
    if (!message) return {};
    std::memcpy(&vectors, message->data() + 16, sizeof(vectors));
    std::memcpy(&count, message->data() + 24, sizeof(count));
  }
  std::vector<Stretch> found;
  for (std::uint64_t i = 0; i < std::min(count, most_elements) && moved != 0; ++i) {
    const std::optional<std::string> vector = tracee.read(vectors + 16 * i, 16);
    if (!vector) break;
    Stretch stretch;
    std::memcpy(&stretch.address, vector->data(), sizeof(stretch.address));
    std::memcpy(&stretch.length, vector->data() + 8, sizeof(stretch.length));
    stretch.length = std::min(stretch.length, moved);
    moved -= stretch.length;
    found.push_back(stretch);
  }
  return found;
}

}  // namespace

std::uint32_t content_bits(const std::vector<std::string>& words) {
  static constexpr std::string_view names[] = {"files", "pipes", "sockets", "terminals"};
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < std::size(names); ++i)
    if (std::find(words.begin(), words.end(), names[i]) != words.end()) bits |= 1U << i;
  return bits;
}

std::uint32_t content_class(const struct stat& about) {
  if (S_ISREG(about.st_mode)) return wire::content_files;
  if (S_ISFIFO(about.st_mode)) return wire::content_pipes;
  if (S_ISSOCK(about.st_mode)) return wire::content_sockets;
  const unsigned number = major(about.st_rdev);
  if (S_ISCHR(about.st_mode) && (number == 4 || number == 5 || (number >= 136 && number <= 143)))
    return wire::content_terminals;
  return 0;
}

std::vector<ContentPiece> read_contents(const Tracee& tracee, const wire::plan& plan,
                                        const Tracee::Arguments& args, bool narrow,
                                        std::uint64_t moved, std::uint64_t limit) {
  const std::size_t argument = plan.content - 1U;
  const wire::plan_argument& spec = plan.arguments[argument];
  const bool filled = (plan.exit_mask >> argument & 1U) != 0;
  std::vector<ContentPiece> pieces;
  ContentPiece piece;
  piece.total = moved;
  piece.argument = static_cast<std::uint8_t>(argument);
  piece.kind = static_cast<CaptureKind>(filled ? spec.kind_out : spec.kind_in);
  const std::uint64_t wanted = std::min(moved, limit);
  for (Stretch stretch : stretches(tracee, plan, args, narrow, moved)) {
    while (stretch.length != 0 && piece.offset < wanted) {
      piece.length = static_cast<std::uint32_t>(std::min<std::uint64_t>(
          {stretch.length, wanted - piece.offset, std::uint64_t{wire::content_chunk}}));
      std::optional<std::string> bytes = tracee.read(stretch.address, piece.length);
      piece.missing = !bytes;
      piece.bytes = std::move(bytes).value_or(std::string());
      pieces.push_back(piece);
      stretch.address += piece.length;
      stretch.length -= piece.length;
      piece.offset += piece.length;
    }
  }
  if (pieces.empty()) {
    piece.missing = true;
    pieces.push_back(piece);
  }
  pieces.back().last = true;
  return pieces;
}

Event content_event(const Event& call, const ContentPiece& piece, Capture& capture) {
  capture.argument = piece.argument;
  capture.kind = piece.kind;
  capture.provenance = piece.missing ? Provenance::missing : Provenance::exit;
  capture.truncated = piece.last && piece.offset + piece.length < piece.total;
  capture.full_length = piece.length;
  capture.bytes = piece.bytes;
  Event event = call;
  event.kind = EventKind::content;
  event.verdict = Verdict::allowed;
  event.has_enter = event.has_exit = false;
  event.result = 0;
  event.duration_ns = 0;
  event.args = {call.args[0], piece.offset, piece.total};
  event.captures = {&capture, 1};
  return event;
}

}  // namespace gyges::recorder
