#include "sandbox/recorder/format/trace_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace gyges::recorder {

Result<std::size_t> TraceFile::read_into_frame(std::uint64_t offset, std::size_t at,
                                               std::size_t size) {
  if (frame.size() < at + size) frame.resize(at + size);
  std::size_t have = 0;
  while (have < size) {
    ssize_t got =
        ::pread(fd.get(), frame.data() + at + have, size - have, static_cast<off_t>(offset + have));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read trace", path);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  return have;
}

// A read lease is granted only while nobody has the file open for writing (fcntl(2)). It is given
// back at once; a recorder never opens its trace a second time, so nothing can wait for it.
TraceFile::Writer TraceFile::writer() const {
  if (::fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0)
    return errno == EAGAIN ? Writer::at_work : Writer::unknown;
  ::fcntl(fd.get(), F_SETLEASE, F_UNLCK);
  return Writer::none;
}

Result<std::string_view> TraceFile::read_frame(std::uint64_t offset, const Sha256& before,
                                               FrameHead& head, std::string_view& whole,
                                               Sha256& hash) {
  GYGES_TRY(std::size_t have, read_into_frame(offset, 0, frame_head_bytes));
  std::string_view reason = decode_frame_head(std::string_view(frame).substr(0, have), head);
  if (!reason.empty()) return reason;
  const std::size_t rest = head.stored_bytes + frame_hash_bytes;
  GYGES_TRY(have, read_into_frame(offset + frame_head_bytes, frame_head_bytes, rest));
  if (have != rest) return cut_off;
  whole = std::string_view(frame).substr(0, frame_head_bytes + rest);
  hash = frame_hash(before, whole.substr(0, frame_head_bytes),
                    whole.substr(frame_head_bytes, head.stored_bytes));
  std::string_view stated = whole.substr(whole.size() - frame_hash_bytes);
  if (stated != std::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()))
    return std::string_view("changed: its hash differs");
  return std::string_view{};
}

}  // namespace gyges::recorder
