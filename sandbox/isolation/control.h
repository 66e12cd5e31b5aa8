// The supervisor's end of the control socket to pid 1.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"
#include "sandbox/init/protocol.h"

namespace gyges::isolation {

struct Message {
  init::Reply reply;
  UniqueFd fd;
  UniqueFd second;
};

// `payload` follows in the same message; at most init::most_in_message bytes.
Status send_request(int socket, const init::Request& request, std::span<const int> fds = {},
                    std::string_view payload = {});

// The next message; nullopt at the deadline. Fails with ECONNRESET when pid 1 is gone.
Result<std::optional<Message>> receive_reply(int socket,
                                             std::chrono::steady_clock::time_point deadline);

}  // namespace gyges::isolation
