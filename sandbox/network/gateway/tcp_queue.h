// Bytes that wait to be sent on a connection: a string, and how many of its first are sent already.
#pragma once

#include <cstddef>
#include <string>

namespace gyges::network {

// Read or queued at a time while memory is short (Gateway::scarce()).
inline constexpr std::size_t scarce_step = 1024;

// Services take no more at a time.
inline constexpr std::size_t service_piece = 65536;

// The queue is empty. What was large does not stay with each of many connections.
inline void clear_queue(std::string& queue, std::size_t& sent) {
  sent = 0;
  if (queue.capacity() > 4096)
    std::string().swap(queue);
  else
    queue.clear();
}

// Keeps a queue that is never empty from growing for ever.
inline void drop_sent(std::string& queue, std::size_t& sent) {
  if (sent < 65536) return;
  queue.erase(0, sent);
  sent = 0;
}

}  // namespace gyges::network
