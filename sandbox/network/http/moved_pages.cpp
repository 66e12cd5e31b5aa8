#include "sandbox/network/http/moved_pages.h"

#include <fcntl.h>
#include <unistd.h>

#include "sandbox/network/http/aside_hashing.h"
#include "sandbox/network/http/broken.h"

namespace gyges::network {
namespace {

// A page, or a piece of one, in each place of a pipe: a pipe of this size has 128 places, and the
// other one has room for what was taken twice.
constexpr int taken_size = 512 << 10;
constexpr int hashed_size = 2 * taken_size;

Result<Pipe> pipe_of(int size) {
  GYGES_TRY(Pipe made, make_pipe());
  if (::fcntl(made.write.get(), F_SETPIPE_SZ, size) < 0) return fail_errno("make pipe larger", "");
  return made;
}

}  // namespace

MovedPages& MovedPages::instance() {
  static MovedPages all;
  return all;
}

Status MovedPages::open() {
  GYGES_TRY(taken_, pipe_of(taken_size));
  GYGES_TRY(hashed_, pipe_of(hashed_size));
  return ok();
}

bool MovedPages::ready(bool to_hash) const {
  return hashed_.read && (!to_hash || AsideHashing::instance().runs());
}

ssize_t MovedPages::take(int socket) {
  return ::splice(socket, nullptr, taken_.write.get(), nullptr, AsideHashing::piece_bytes,
                  SPLICE_F_NONBLOCK);
}

std::uint64_t MovedPages::hash(Sha256Hasher& hasher, std::size_t bytes) {
  AsideHashing& aside = AsideHashing::instance();
  aside.settle(jobs_[0]);
  // There is room: at most what was taken the last time is still in it.
  if (::tee(taken_.read.get(), hashed_.write.get(), bytes, SPLICE_F_NONBLOCK) !=
      static_cast<ssize_t>(bytes))
    end_broken(Broken::pages_not_doubled);
  jobs_[0] = jobs_[1];
  jobs_[1] = aside.hash_piped(hasher, hashed_.read.get(), bytes);
  return jobs_[1];
}

void MovedPages::give(int socket, std::size_t bytes, std::string& rest) {
  std::size_t given = 0;
  while (given < bytes) {
    ssize_t n =
        ::splice(taken_.read.get(), nullptr, socket, nullptr, bytes - given, SPLICE_F_NONBLOCK);
    if (n <= 0) break;  // no room; an error shows once more when the rest is sent
    given += static_cast<std::size_t>(n);
  }
  for (bytes -= given; bytes > 0;) {
    const std::size_t before = rest.size();
    rest.resize(before + bytes);
    ssize_t n = ::read(taken_.read.get(), rest.data() + before, bytes);
    if (n <= 0) end_broken(Broken::pages_not_read);
    rest.resize(before + static_cast<std::size_t>(n));
    bytes -= static_cast<std::size_t>(n);
  }
}

}  // namespace gyges::network
