// The ends of the pipes through which Gyges talks with a process inside the sandbox. All of them
// are non-blocking: whoever is at the other end decides nothing about how long a call takes here.
#pragma once

#include <signal.h>

#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace gyges::tools {

class Output;

// Writing to a pipe whose reader is gone raises SIGPIPE; blocks it in this thread and takes a
// pending one away, so that the process's own disposition stays as it is.
class SigpipeBlock {
 public:
  SigpipeBlock();
  ~SigpipeBlock();
  SigpipeBlock(const SigpipeBlock&) = delete;
  SigpipeBlock& operator=(const SigpipeBlock&) = delete;

 private:
  sigset_t set_{};
  sigset_t before_{};
  bool was_pending_ = false;
};

Status make_nonblocking(int fd);

// A pipe of which Gyges keeps one end; that end does not block.
Result<Pipe> pipe_to_read();
Result<Pipe> pipe_to_write();

// Whether it polls readable now; false for -1.
bool is_readable(int fd);

// Takes what is there, at most a mebibyte. False at the end of the stream, which is then closed.
bool read_some(UniqueFd& from, Output& output);

// Writes what the pipe takes and removes it from `unwritten`. False when nothing more can be
// written, because all of it is or because the process does not read it.
bool write_some(const UniqueFd& to, std::string_view& unwritten);

}  // namespace gyges::tools
