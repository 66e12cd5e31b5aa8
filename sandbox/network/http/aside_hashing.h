// Hashes what is relayed in a second thread: of the time that a relayed byte takes the gateway, its
// hash is half, and the thread that moves bytes can read and send meanwhile.
//
// Pieces are read into buffers that are used in turn. One that is handed over with hash() is read
// by both threads and used again when it has been hashed; of one that is not, nothing is shared.
//
// Thread-safety: all but the thread's own work is for one thread, the one that calls start().
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/hash.h"

namespace gyges::network {

class AsideHashing {
 public:
  static constexpr std::size_t piece_bytes = 262144;
  // Shorter ones are not worth waking a thread.
  static constexpr std::size_t least_bytes = 65536;

  // Of the process. Its thread is never ended; the buffers take memory once they are used.
  static AsideHashing& instance();

  // Starts the thread and waits until it runs, so that what is asked of the kernel at the start of
  // a thread is asked before system calls are filtered. Without it, or where there is one processor
  // or no thread to be had, everything is hashed at once.
  void start();

  // The buffer to read the next bytes into; stays the same until some of it is handed over. Waits
  // while all are being hashed.
  std::array<char, piece_bytes>& piece();

  // Has the thread feed `bytes` to the hasher, which must stay until settle(), and returns what to
  // give to that. 0: it is for the caller to do (too few, not at the beginning of the buffer, no
  // thread). The bytes stay readable until the next but one call of piece().
  std::uint64_t hash(Sha256Hasher& hasher, std::string_view bytes);

  // The same for the next `bytes` of a pipe, which are in it already. Only while runs().
  std::uint64_t hash_piped(Sha256Hasher& hasher, int pipe, std::size_t bytes);
  [[nodiscard]] bool runs() const { return running_; }

  // Waits until that job is done. 0: at once.
  void settle(std::uint64_t job) const;

 private:
  struct Job {
    Sha256Hasher* hasher = nullptr;
    std::string_view bytes;
    int pipe = -1;  // with its bytes; -1: they are `bytes`
    std::size_t piped = 0;
  };
  static constexpr std::uint64_t pieces = 4;
  void run();
  std::uint64_t give(const Job& job);
  void hash_piped(const Job& job, std::array<char, piece_bytes>& buffer);

  bool running_ = false;
  std::atomic<bool> begun_{false};  // told by the thread; lives as long as it does
  std::array<std::array<char, piece_bytes>, pieces> buffers_;
  std::array<Job, pieces> jobs_;
  std::atomic<std::uint64_t> given_{0};  // jobs; job n is in place n % pieces, as its bytes are
  std::atomic<std::uint64_t> done_{0};
};

}  // namespace gyges::network
