// Events with structures whose words change as those of real ones do; always the same.
#pragma once

#include <array>
#include <cstring>

#include "sample_events.h"

namespace gyges::recorder::testing {

inline void add_structure_events(EventList& list) {
  std::array<std::uint64_t, 18> words{};  // a struct stat
  for (std::uint64_t i = 0; i < 40; ++i) {
    words[0] = 0x801;
    words[1] = 7000 + i * 13 % 97;
    words[2] = 1 + i % 2;
    words[6] = i * 7919 % 60000;
    words[8] = words[6] / 512;
    words[9] = 1'700'000'000 + i / 3;
    words[10] = i % 4 == 0 ? 0 : i * 1'000'003;
    words[11] = i % 2 == 0 ? words[9] : words[9] - 100 * i;
    words[12] = words[10];
    words[13] = i % 5 == 0 ? words[9] + 1 : words[11];
    Event& event = list.add();
    event.kind = EventKind::syscall;
    event.number = i % 3 == 0 ? 5 : 262;  // fstat, newfstatat
    event.pid = event.tid = 100;
    event.time_ns = 1000 * i;
    event.duration_ns = 100 + i;
    event.has_enter = event.has_exit = true;
    const std::string bytes(reinterpret_cast<const char*>(words.data()), sizeof(words));
    list.capture({1,
                  CaptureKind::structure_out,
                  Provenance::exit,
                  false,
                  static_cast<std::uint32_t>(bytes.size()),
                  {}},
                 bytes);
  }
}

}  // namespace gyges::recorder::testing
