// Moves what a destination sends on to the client without copying it: the kernel hands its pages
// from one socket to the other, and the thread that hashes (aside_hashing.h) reads them in between.
//
// What is hashed is moved only where the sandbox did not send it: a program can write on to pages
// that it has sent (sendfile, vmsplice), and what arrived would be other bytes than those that were
// hashed.
//
// Thread-safety: as AsideHashing.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/fd.h"
#include "base/hash.h"

namespace gyges::network {

class MovedPages {
 public:
  // Of the process.
  static MovedPages& instance();

  // Makes the pipes; before system calls are filtered. Without them nothing can be moved.
  Status open();
  // Whether there are pipes, and a thread if what is moved is to be hashed.
  [[nodiscard]] bool ready(bool to_hash) const;

  // Takes what the socket has, at most AsideHashing::piece_bytes; as recv().
  ssize_t take(int socket);
  // Has the hasher fed with the `bytes` that were just taken; as AsideHashing::hash().
  std::uint64_t hash(Sha256Hasher& hasher, std::size_t bytes);
  // Gives these bytes to the socket; those that it has no room for are appended to `rest`.
  void give(int socket, std::size_t bytes, std::string& rest);

 private:
  Pipe taken_;
  Pipe hashed_;                          // the same pages once more, to be read
  std::array<std::uint64_t, 2> jobs_{};  // the last ones
};

}  // namespace gyges::network
