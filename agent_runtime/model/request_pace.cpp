#include "agent_runtime/model/request_pace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/fd.h"
#include "base/hash.h"
#include "base/state_directory.h"

namespace gyges::model {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// A turn further ahead was written before the clock was set back.
constexpr std::chrono::hours believed{1};

nanoseconds now() {
  return std::chrono::system_clock::now().time_since_epoch();
}

// The file, locked until it is closed.
Result<UniqueFd> open_locked(const std::filesystem::path& file) {
  if (!file.has_parent_path() || file.parent_path().empty())
    return fail("keep pace", "", "neither XDG_STATE_HOME nor HOME is set",
                "set one, or leave out requests_per_minute");
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error) return fail_errno("create", file.parent_path().string(), error.value());
  UniqueFd fd(open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail_errno("open", file.string());
  while (flock(fd.get(), LOCK_EX) != 0)
    if (errno != EINTR) return fail_errno("lock", file.string());
  return fd;
}

// When the next request may go; now, where nothing sensible stands there.
nanoseconds next_turn(int fd) {
  std::int64_t stored = 0;
  const nanoseconds present = now();
  if (pread(fd, &stored, sizeof stored, 0) != sizeof stored) return present;
  const nanoseconds turn(stored);
  return turn > present + believed ? present : std::max(turn, present);
}

Status write_turn(int fd, nanoseconds turn, const std::filesystem::path& file) {
  const std::int64_t stored = turn.count();
  if (pwrite(fd, &stored, sizeof stored, 0) != sizeof stored)
    return fail_errno("write", file.string());
  return ok();
}

}  // namespace

RequestPace::RequestPace(const std::filesystem::path& directory, std::string_view whom,
                         double per_minute)
    : spacing_(static_cast<std::int64_t>(60e9 / per_minute)) {
  if (!directory.empty()) file_ = directory / to_hex(sha256(whom)).substr(0, 32);
}

Result<milliseconds> RequestPace::take_turn(milliseconds most) const {
  GYGES_TRY(UniqueFd fd, open_locked(file_));
  const nanoseconds turn = next_turn(fd.get());
  // Rounded up, lest the request goes a fraction too early.
  const auto wait = std::chrono::ceil<milliseconds>(turn - now());
  // Never written so far ahead that it would not be believed: everybody would go at once then.
  const auto furthest = std::chrono::floor<milliseconds>(believed - spacing_);
  if (wait > std::min(most, furthest))
    return fail("keep pace", "",
                "requests of all runs to this endpoint are so many that this one's turn comes in " +
                    std::to_string(wait.count() / 1000) + " s, " +
                    (wait > most ? "when the episode is over" : "which is too far ahead"),
                "raise requests_per_minute, or run fewer episodes at once (--jobs)");
  GYGES_CHECK(write_turn(fd.get(), turn + spacing_, file_));
  return std::max(wait, milliseconds(0));
}

Status RequestPace::hold(milliseconds pause) const {
  GYGES_TRY(UniqueFd fd, open_locked(file_));
  const nanoseconds until = now() + std::min<nanoseconds>(pause, believed);
  return write_turn(fd.get(), std::max(next_turn(fd.get()), until), file_);
}

std::filesystem::path pace_directory() {
  const std::filesystem::path state = state_directory();
  return state.empty() ? state : state / "pace";
}

}  // namespace gyges::model
