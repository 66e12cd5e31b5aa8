#include "agent_runtime/experiment/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "agent_runtime/experiment/durable.h"
#include "base/files.h"
#include "base/json.h"
#include "base/json_document.h"
#include "base/text.h"

namespace gyges::experiment {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

fs::path partial_directory(const fs::path& directory) {
  return directory / "partial";
}
fs::path attempts_file(const fs::path& directory) {
  return directory / "attempts.jsonl";
}

fs::path partial_bundle(const fs::path& directory, const std::string& slot, std::uint32_t attempt) {
  return partial_directory(directory) / (slot + ".a" + std::to_string(attempt));
}

Status make_directories(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) return fail_errno("make directory", directory.string(), error.value());
  return ok();
}

Status remove_tree(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return fail_errno("remove", path.string(), error.value());
  return ok();
}

// A directory that is empty, or is of an experiment already.
Status check_ours(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return ok();
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name == "experiment.json" || name == "lock") return ok();
  }
  if (error) return fail_errno("list", path.string(), error.value());
  if (fs::is_empty(path, error)) return ok();
  return fail("open experiment directory", path.string(),
              "has files in it and is no experiment directory", "give a new or empty directory");
}

Status take_lock(int fd, const fs::path& path, std::chrono::milliseconds patience) {
  const auto give_up = std::chrono::steady_clock::now() + patience;
  while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail_errno("lock", path.string());
    if (std::chrono::steady_clock::now() >= give_up)
      return fail("lock", path.string(), "another runner uses this experiment directory",
                  "wait for it, or look at it with `gyges experiment status`");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return ok();
}

// "<slot>.a<attempt>" -> slot
std::optional<std::string> slot_of_partial(const std::string& name) {
  std::size_t cut = name.rfind(".a");
  if (cut == std::string::npos || cut == 0 || cut + 2 == name.size() ||
      name.find_first_not_of("0123456789", cut + 2) != std::string::npos)
    return std::nullopt;
  return name.substr(0, cut);
}

}  // namespace

fs::path record_file(const fs::path& directory) {
  return directory / "experiment.json";
}
fs::path runs_directory(const fs::path& directory) {
  return directory / "runs";
}
fs::path index_file(const fs::path& directory) {
  return directory / "index.sqlite";
}

Result<std::set<std::string>> finished_slots(const fs::path& directory) {
  std::set<std::string> slots;
  const fs::path runs = runs_directory(directory);
  std::error_code error;
  if (!fs::exists(runs, error)) return slots;
  fs::directory_iterator entry(runs, error);
  for (const fs::directory_iterator end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (fs::is_regular_file(entry->path() / "seal.json", ignored))
      slots.insert(entry->path().filename().string());
  }
  if (error) return fail_errno("list", runs.string(), error.value());
  return slots;
}

Result<std::vector<FailedAttempt>> failed_attempts(const fs::path& directory) {
  std::vector<FailedAttempt> attempts;
  const fs::path file = attempts_file(directory);
  std::error_code error;
  if (!fs::exists(file, error)) return attempts;
  GYGES_TRY(std::string text, read_file(file));
  std::size_t start = 0;
  // The last line may lack its end: a runner was killed while it wrote.
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    GYGES_TRY(json line,
              parse_json(std::string_view(text).substr(start, end - start), file.string()));
    try {
      attempts.push_back({line.at("slot").get<std::string>(),
                          line.at("attempt").get<std::uint32_t>(), line.at("at").get<std::string>(),
                          line.at("kind").get<std::string>(),
                          line.at("detail").get<std::string>()});
    } catch (const json::exception& wrong) {
      return fail("read", file.string(), printable(wrong.what()), "remove the line");
    }
  }
  return attempts;
}

bool in_use(const fs::path& directory) {
  UniqueFd fd(::open((directory / "lock").c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return false;
  if (flock(fd.get(), LOCK_SH | LOCK_NB) != 0) return errno == EWOULDBLOCK;
  return false;
}

Result<ExperimentDirectory> ExperimentDirectory::open(const fs::path& path,
                                                      std::chrono::milliseconds patience) {
  GYGES_CHECK(check_ours(path));
  GYGES_CHECK(make_directories(path));
  std::error_code error;
  fs::path absolute = fs::canonical(path, error);
  if (error) return fail_errno("find", path.string(), error.value());
  const fs::path lock_file = absolute / "lock";
  UniqueFd lock(::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock) return fail_errno("open", lock_file.string());
  GYGES_CHECK(take_lock(lock.get(), path, patience));
  GYGES_CHECK(make_directories(runs_directory(absolute)));
  GYGES_CHECK(make_directories(partial_directory(absolute)));
  return ExperimentDirectory(std::move(absolute), std::move(lock));
}

Result<fs::path> ExperimentDirectory::prepare(const std::string& slot, std::uint32_t attempt) {
  fs::path bundle = partial_bundle(path_, slot, attempt);
  GYGES_CHECK(remove_tree(bundle));
  return bundle;
}

Status ExperimentDirectory::finish(const std::string& slot, std::uint32_t attempt) {
  const fs::path from = partial_bundle(path_, slot, attempt);
  const fs::path to = runs_directory(path_) / slot;
  std::error_code error;
  if (!fs::exists(from / "seal.json", error))
    return fail("finish run", slot, "its bundle has no seal", "report this as a defect");
  fs::rename(from, to, error);
  if (error) return fail_errno("move to", to.string(), error.value());
  return sync_directory(runs_directory(path_));
}

Status ExperimentDirectory::discard(const FailedAttempt& attempt) {
  GYGES_CHECK(remove_tree(partial_bundle(path_, attempt.slot, attempt.attempt)));
  json line{{"slot", attempt.slot},
            {"attempt", attempt.attempt},
            {"at", attempt.at},
            {"kind", attempt.kind},
            {"detail", valid_utf8(attempt.detail.substr(0, 4096))}};
  const fs::path file = attempts_file(path_);
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd) return fail_errno("open", file.string());
  // A line that a killed runner left without its end is cut off.
  off_t size = lseek(fd.get(), 0, SEEK_END);
  char last = '\n';
  while (size > 0 && pread(fd.get(), &last, 1, size - 1) == 1 && last != '\n') --size;
  if (ftruncate(fd.get(), size) != 0) return fail_errno("shorten", file.string());
  return write_all(fd.get(), line.dump() + "\n");
}

Result<std::vector<std::string>> ExperimentDirectory::recover(const std::set<std::string>& wanted,
                                                              const BundleCheck& is_whole) {
  std::vector<std::string> recovered;
  GYGES_TRY(std::set<std::string> finished, finished_slots(path_));
  // A directory under runs/ without a seal cannot come from a runner; it would block the rename.
  std::error_code error;
  std::vector<fs::path> leftovers;
  for (fs::directory_iterator entry(runs_directory(path_), error), end; !error && entry != end;
       entry.increment(error))
    if (!finished.contains(entry->path().filename().string()) &&
        wanted.contains(entry->path().filename().string()))
      return fail("resume", entry->path().string(), "stands among the finished runs without a seal",
                  "move it away; the run is then repeated");
  if (error) return fail_errno("list", runs_directory(path_).string(), error.value());
  for (fs::directory_iterator entry(partial_directory(path_), error), end; !error && entry != end;
       entry.increment(error))
    leftovers.push_back(entry->path());
  if (error) return fail_errno("list", partial_directory(path_).string(), error.value());
  for (const fs::path& leftover : leftovers) {
    auto slot = slot_of_partial(leftover.filename().string());
    if (slot && wanted.contains(*slot) && !finished.contains(*slot) &&
        fs::exists(leftover / "seal.json", error) && is_whole(leftover)) {
      GYGES_CHECK(sync_tree(leftover));
      fs::rename(leftover, runs_directory(path_) / *slot, error);
      if (error) return fail_errno("move", leftover.string(), error.value());
      GYGES_CHECK(sync_directory(runs_directory(path_)));
      finished.insert(*slot);
      recovered.push_back(*slot);
    } else {
      GYGES_CHECK(remove_tree(leftover));
    }
  }
  return recovered;
}

}  // namespace gyges::experiment
