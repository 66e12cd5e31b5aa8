#include "agent_runtime/experiment/clock.h"

#include <cstdio>
#include <ctime>

namespace gyges::experiment {

std::string utc_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  std::tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char text[32];
  std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof text - length, ".%03dZ",
                static_cast<int>(now.tv_nsec / 1'000'000));
  return text;
}

std::string utc_today() {
  return utc_now().substr(0, 10);
}

}  // namespace gyges::experiment
