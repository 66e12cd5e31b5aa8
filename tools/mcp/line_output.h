// Lines to a reader that may be slow, or never read: written by a thread of its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "base/fd.h"

namespace gyges::mcp {

class LineOutput {
 public:
  // `fd` is borrowed and stays as it is: other processes may share it, so it is not made
  // non-blocking. `max_unsent` bounds the bytes that wait.
  LineOutput(int fd, std::size_t max_unsent);
  // Drops what is not sent.
  ~LineOutput();
  LineOutput(const LineOutput&) = delete;
  LineOutput& operator=(const LineOutput&) = delete;

  // Adds a line break. Never blocks.
  void send(std::string line);
  // Waits until all is written, the reader is gone, or it takes nothing for `patience_ms`.
  void flush(int patience_ms);
  // The reader closed its end, or too much waits.
  [[nodiscard]] bool broken() const;
  // Polls readable once broken. Borrowed.
  [[nodiscard]] int broken_fd() const { return broken_fd_.get(); }

 private:
  void run();
  // False: the reader is gone or the output is being closed.
  bool write_out(const std::string& bytes);
  void set_broken();

  int fd_;
  std::size_t max_unsent_;
  UniqueFd broken_fd_;
  UniqueFd close_fd_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::string> lines_;
  std::size_t unsent_ = 0;  // bytes, those being written too
  bool broken_ = false;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace gyges::mcp
