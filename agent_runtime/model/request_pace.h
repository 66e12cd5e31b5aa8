// How many requests a minute an endpoint gets from all processes of a user together: the workers of
// an experiment share its key, and each alone cannot know what the others send.
//
// What they share is a file with the time from which on the next request may go. It lies in the
// user's state directory, so where that is on a shared file system, nodes of a cluster keep one
// pace (clocks that differ shift it by as much). Requests are evenly spaced; a pause saves nothing
// up.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"

namespace gyges::model {

class RequestPace {
 public:
  // `whom` is what those who share a pace agree in, such as address and key; only its hash is kept.
  // `per_minute` is 0.1 or more.
  RequestPace(const std::filesystem::path& directory, std::string_view whom, double per_minute);

  // Takes the next turn and says how long to wait for it. An error, and no turn is taken, when it
  // would come after `most`, or more than about an hour from now.
  Result<std::chrono::milliseconds> take_turn(std::chrono::milliseconds most) const;

  // Nobody's turn comes before `pause` is over: the endpoint has asked for it.
  Status hold(std::chrono::milliseconds pause) const;

 private:
  std::filesystem::path file_;
  std::chrono::nanoseconds spacing_;
};

// Below state_directory(); empty where that is.
std::filesystem::path pace_directory();

}  // namespace gyges::model
