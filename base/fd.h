// Owned file descriptors. Every descriptor Gyges opens is close-on-exec; what a sandbox gets is
// passed explicitly.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace gyges {

// Owns one descriptor; closes it on destruction. Movable, not copyable. -1 means none.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  explicit operator bool() const { return valid(); }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

// A close-on-exec pipe.
Result<Pipe> make_pipe();

// A connected pair of close-on-exec AF_UNIX sockets of `type` (SOCK_SEQPACKET, SOCK_STREAM).
Result<Pipe> make_socket_pair(int type);

// An anonymous, close-on-exec memory file with the given bytes, sealed against every change.
Result<UniqueFd> make_sealed_memfd(const char* name, std::string_view bytes);

// Writes all bytes, over EINTR and short writes; waits for room on a non-blocking descriptor.
Status write_all(int fd, std::string_view bytes);

// Reads to the end of file, at most `limit` bytes; more is an error.
Result<std::string> read_all(int fd, std::size_t limit);

}  // namespace gyges
