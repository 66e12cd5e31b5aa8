#include "sandbox/recorder/capture/contents.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

#include "sandbox/recorder/recorder.h"

namespace gyges::recorder {

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

std::vector<Stretch> content_stretches(const Tracee& tracee, const wire::plan& plan,
                                       const Tracee::Arguments& args, std::uint64_t moved) {
  constexpr std::uint64_t most_elements = 1024;  // UIO_MAXIOV
  const std::size_t argument = plan.content - 1U;
  const std::uint8_t operation = plan.arguments[argument].operation;
  std::uint64_t vectors = args[argument];
  if (operation == wire::plan_bytes) return {{vectors, moved}};
  std::uint64_t count = args[2];
  if (operation == wire::plan_msghdr) {
    const std::optional<std::string> message = tracee.read(vectors, 56);
    if (!message) return {};
    std::memcpy(&vectors, message->data() + 16, sizeof(vectors));
    std::memcpy(&count, message->data() + 24, sizeof(count));
  }
  std::vector<Stretch> stretches;
  for (std::uint64_t i = 0; i < std::min(count, most_elements) && moved != 0; ++i) {
    const std::optional<std::string> vector = tracee.read(vectors + 16 * i, 16);
    if (!vector) break;
    Stretch stretch;
    std::memcpy(&stretch.address, vector->data(), sizeof(stretch.address));
    std::memcpy(&stretch.length, vector->data() + 8, sizeof(stretch.length));
    stretch.length = std::min(stretch.length, moved);
    moved -= stretch.length;
    stretches.push_back(stretch);
  }
  return stretches;
}

}  // namespace gyges::recorder
