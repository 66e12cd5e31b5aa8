#include "sandbox/recorder/format/ledger.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/json.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t max_line_bytes = 4096;

std::optional<LedgerEntry> entry_of(const std::string& line) {
  nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  LedgerEntry entry;
  auto take = [&](const char* name, std::string& text, bool required) {
    auto found = json.find(name);
    if (found == json.end()) return false;
    if (found->is_null()) return !required;
    if (!found->is_string()) return false;
    text = found->get<std::string>();
    return true;
  };
  if (!take("time", entry.time, true) || !take("run_id", entry.run_id, true) ||
      !take("seal", entry.seal, true) || !take("chain_head", entry.chain_head, false) ||
      !take("key", entry.key, false))
    return std::nullopt;
  return entry;
}

}  // namespace

Result<LedgerWriter> LedgerWriter::open(const std::filesystem::path& path) {
  // Readable, to see whether the last line is whole. Not blocking, so that a fifo to a collector
  // that does not read is an error and no halt.
  UniqueFd fd(::open(path.c_str(),
                     O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
  if (!fd) return fail_errno("open ledger", path.string());
  return LedgerWriter(std::move(fd), path.string());
}

Status LedgerWriter::append(const LedgerEntry& entry) {
  auto or_null = [](const std::string& text) {
    return text.empty() ? nlohmann::json(nullptr) : nlohmann::json(text);
  };
  std::string line = nlohmann::json{{"time", entry.time},
                                    {"run_id", entry.run_id},
                                    {"seal", entry.seal},
                                    {"chain_head", or_null(entry.chain_head)},
                                    {"key", or_null(entry.key)}}
                         .dump(-1, ' ', true) +
                     "\n";
  if (line.size() > max_line_bytes) return fail("write ledger", path_, "the entry is too long");
  // A line that a power cut left without its end must not swallow this one. Two writers that both
  // see it leave an empty line, which readers skip.
  struct stat status {};
  char last = '\n';
  if (::fstat(fd_.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
      ::pread(fd_.get(), &last, 1, status.st_size - 1) == 1 && last != '\n')
    line.insert(0, 1, '\n');
  ssize_t written = 0;
  do {
    written = ::write(fd_.get(), line.data(), line.size());
  } while (written < 0 && errno == EINTR);
  if (written < 0) return fail_errno("write ledger", path_);
  if (written != static_cast<ssize_t>(line.size()))
    return fail("write ledger", path_, "the disk took only a part of the line",
                "free space on the disk that holds it");
  // EINVAL: a fifo or a device, which has nothing to sync.
  if (::fsync(fd_.get()) != 0 && errno != EINVAL) return fail_errno("sync ledger", path_);
  return ok();
}

Result<LedgerLookup> look_up(const std::filesystem::path& ledger, const std::string& run_id) {
  UniqueFd fd(::open(ledger.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return fail_errno("read ledger", ledger.string());
  if (!S_ISREG(status.st_mode))
    return fail("read ledger", ledger.string(), "it is no regular file");
  LedgerLookup found;
  std::string chunk(1U << 16U, '\0');
  std::string line;
  bool too_long = false;
  auto take_line = [&] {
    // Only lines that can concern this run are parsed: a ledger holds every run of a user.
    std::optional<LedgerEntry> entry;
    if (too_long)
      ++found.unreadable;
    else if (line.find(run_id) != std::string::npos || (!line.empty() && line.back() != '}')) {
      entry = entry_of(line);
      if (!entry) ++found.unreadable;
    }
    if (entry && entry->run_id == run_id) found.entries.push_back(std::move(*entry));
    line.clear();
    too_long = false;
  };
  for (;;) {
    ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno("read ledger", ledger.string());
    if (n == 0) break;
    for (char c : std::string_view(chunk).substr(0, static_cast<std::size_t>(n))) {
      if (c == '\n')
        take_line();
      else if (line.size() < max_line_bytes)
        line += c;
      else
        too_long = true;
    }
  }
  if (!line.empty()) take_line();
  return found;
}

}  // namespace gyges::recorder
