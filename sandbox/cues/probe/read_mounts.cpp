#include <string.h>

#include <cerrno>
#include <cstring>

#include "sandbox/cues/probe/output.h"
#include "sandbox/cues/probe/readers.h"
#include "sandbox/cues/probe/text.h"

namespace gyges::probe {

// One observation for each mount point: root of the file system, options, type, source, options of
// the file system. Numbers of mounts and devices are left out: they count what was mounted before.
void read_mounts(const Channel& channel) {
  static char bytes[1U << 18U];
  const char* how = "read /proc/self/mountinfo";
  if (read_file("/proc/self/mountinfo", bytes, sizeof(bytes)) < 0)
    return say_error(channel, "table", how, errno);
  long count = 0;
  char* state = nullptr;
  for (char* line = ::strtok_r(bytes, "\n", &state); line != nullptr;
       line = ::strtok_r(nullptr, "\n", &state)) {
    ++count;
    const char* part[5] = {};
    std::size_t length[5] = {};
    bool whole = true;
    for (int i = 0; i < 4; ++i)  // root, mount point, options of the mount
      if (i < 3) whole = whole && find_word(line, 3 + i, &part[i], &length[i]);
    const char* rest = std::strstr(line, " - ");
    if (!whole || rest == nullptr) continue;
    char place[512];
    std::size_t size = length[1] < sizeof(place) - 1 ? length[1] : sizeof(place) - 1;
    std::memcpy(place, part[1], size);
    place[size] = 0;
    Text text;
    text.add("root=%.*s options=%.*s system=%s", static_cast<int>(length[0]), part[0],
             static_cast<int>(length[2]), part[2], rest + 3);
    say(channel, place, how, text.bytes);
  }
  say_number(channel, "number", how, count);
}

}  // namespace gyges::probe
