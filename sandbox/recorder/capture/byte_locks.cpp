#include "sandbox/recorder/capture/byte_locks.h"

#include <fcntl.h>

namespace gyges::recorder {
namespace {

struct flock bytes(short type, off_t first, off_t count) {
  struct flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = first;
  range.l_len = count;
  return range;
}

}  // namespace

bool lock_byte(int file, off_t byte) {
  struct flock range = bytes(F_WRLCK, byte, 1);
  return fcntl(file, F_OFD_SETLK, &range) == 0;
}

void unlock_byte(int file, off_t byte) {
  struct flock range = bytes(F_UNLCK, byte, 1);
  fcntl(file, F_OFD_SETLK, &range);
}

bool is_locked(int file, off_t byte, std::uint32_t count) {
  if (count == 0) return false;
  struct flock range = bytes(F_WRLCK, byte, count);
  return fcntl(file, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}

}  // namespace gyges::recorder
