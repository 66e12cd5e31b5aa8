#include "sandbox/isolation/caller_path.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/text.h"

namespace gyges::isolation {
namespace {

constexpr std::size_t longest_path = 4096;
constexpr std::size_t page = 4096;
constexpr int most_links = 40;  // as the kernel has it

std::optional<std::uint32_t> number_of(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::string> link_text(int directory, const char* path) {
  std::array<char, longest_path> target{};
  const ssize_t n = ::readlinkat(directory, path, target.data(), target.size());
  if (n <= 0 || static_cast<std::size_t>(n) == target.size()) return std::nullopt;
  return std::string(target.data(), static_cast<std::size_t>(n));
}

// "/proc/N" or "/proc/N/task/T".
bool is_process_directory(std::string_view at) {
  const std::optional<ProcessPath> path = process_path(std::string(at) + "/x");
  return path && path->name == "x";
}

// Components of a path, the first one last.
void push_components(std::string_view path, std::vector<std::string>& left) {
  std::vector<std::string> parts = split(path, '/');
  for (auto part = parts.rbegin(); part != parts.rend(); ++part)
    if (!part->empty() && *part != ".") left.push_back(std::move(*part));
}

void leave(std::string& at) {
  if (!at.empty()) at.erase(at.rfind('/'));
}

}  // namespace

std::optional<ProcessPath> process_path(std::string_view path) {
  constexpr std::string_view start = "/proc/";
  if (!path.starts_with(start)) return std::nullopt;
  path.remove_prefix(start.size());
  const std::size_t slash = path.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto process = number_of(path.substr(0, slash));
  if (!process) return std::nullopt;
  path.remove_prefix(slash + 1);
  ProcessPath found{*process, 0, std::string(path)};
  constexpr std::string_view threads = "task/";
  if (path.starts_with(threads)) {
    path.remove_prefix(threads.size());
    const std::size_t end = path.find('/');
    const auto thread = number_of(path.substr(0, end));
    if (!thread || end == std::string_view::npos) return std::nullopt;
    found.thread = *thread;
    found.name = path.substr(end + 1);
  }
  if (found.name.empty()) return std::nullopt;
  return found;
}

std::optional<std::string> CallerPaths::text(pid_t tid, std::uint64_t address) {
  std::array<char, longest_path> bytes;
  // A piece up to the end of its page and one beyond it: what is not mapped ends the reading at
  // such a border.
  std::size_t have = 0;
  for (std::size_t want = 256; have < bytes.size(); want = bytes.size()) {
    std::array<iovec, 3> there{};
    std::size_t pieces = 0;
    std::uint64_t at = address + have;
    std::size_t left = std::min(want, bytes.size() - have);
    const iovec here{bytes.data() + have, left};
    while (left > 0 && pieces < there.size()) {
      const std::size_t length = std::min<std::size_t>(left, page - at % page);
      there[pieces++] = {reinterpret_cast<void*>(at), length};
      at += length;
      left -= length;
    }
    const ssize_t n = ::process_vm_readv(tid, &here, 1, there.data(), pieces, 0);
    if (n <= 0) return std::nullopt;
    const char* const end = bytes.data() + have + n;
    const char* const start = bytes.data();
    const char* const nul = std::find(start + have, end, '\0');
    if (nul != end) return std::string(start, nul);
    have += static_cast<std::size_t>(n);
  }
  return std::nullopt;
}

UniqueFd CallerPaths::root_of(pid_t tid) {
  return UniqueFd(
      ::open(fmt::format("/proc/{}/root", tid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

int CallerPaths::procfs() {
  if (procfs_) return procfs_.get();
  const int top = root_.get();
  if (top < 0) return -1;
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
  UniqueFd found(static_cast<int>(::syscall(SYS_openat2, top, "proc", &how, sizeof(how))));
  struct statfs info {};
  if (!found || ::fstatfs(found.get(), &info) != 0 || info.f_type != PROC_SUPER_MAGIC) return -1;
  procfs_ = std::move(found);
  return procfs_.get();
}

std::optional<std::string> CallerPaths::read_link(const std::string& path) {
  const int top = root_.get();
  if (top < 0) return std::nullopt;
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  const UniqueFd file(
      static_cast<int>(::syscall(SYS_openat2, top, path.c_str(), &how, sizeof(how))));
  if (!file) return std::nullopt;
  return link_text(file.get(), "");
}

// The supervisor may enter directories that the caller may not, and must not tell of what is there.
bool CallerPaths::exists(pid_t tid, const std::string& path) {
  const int top = root_.get();
  struct stat caller {};
  if (top < 0 || ::stat(fmt::format("/proc/{}", tid).c_str(), &caller) != 0) return false;
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (std::size_t at = 0; at != std::string::npos; at = path.find('/', at + 1)) {
    const std::string directory = at == 0 ? "." : path.substr(0, at);
    const UniqueFd file(
        static_cast<int>(::syscall(SYS_openat2, top, directory.c_str(), &how, sizeof(how))));
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0) return false;
    const bool entered = (info.st_mode & S_IXOTH) != 0 ||
                         (info.st_uid == caller.st_uid && (info.st_mode & S_IXUSR) != 0);
    if (!entered) return false;
  }
  const UniqueFd file(
      static_cast<int>(::syscall(SYS_openat2, top, path.c_str(), &how, sizeof(how))));
  return static_cast<bool>(file);
}

bool CallerPaths::same_user(pid_t tid, std::uint32_t process) {
  const int inside = procfs();
  struct stat caller {};
  struct stat other {};
  return inside >= 0 && ::stat(fmt::format("/proc/{}", tid).c_str(), &caller) == 0 &&
         ::fstatat(inside, std::to_string(process).c_str(), &other, 0) == 0 &&
         caller.st_uid == other.st_uid;
}

std::optional<std::string> CallerPaths::base(pid_t tid, int directory) {
  const std::string place = directory == AT_FDCWD ? fmt::format("/proc/{}/cwd", tid)
                                                  : fmt::format("/proc/{}/fd/{}", tid, directory);
  std::optional<std::string> text = link_text(AT_FDCWD, place.c_str());
  if (!text || text->front() != '/') return std::nullopt;
  if (*text == "/") text->clear();
  return text;
}

std::optional<std::string> CallerPaths::link(pid_t tid, int directory, const std::string& path) {
  if (path.front() == '/') return read_link(path);
  const std::optional<std::string> from = base(tid, directory);
  return from ? read_link(*from + "/" + path) : std::nullopt;
}

// The last of the numbers in a row such as "NSpid:\t4711\t23": that of the innermost namespace.
std::optional<CallerPaths::Ids> CallerPaths::ids(pid_t tid) {
  const UniqueFd file(
      ::open(fmt::format("/proc/{}/status", tid).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  std::array<char, page> bytes{};
  const ssize_t n = file ? ::read(file.get(), bytes.data(), bytes.size()) : -1;
  if (n <= 0) return std::nullopt;
  const std::string_view status(bytes.data(), static_cast<std::size_t>(n));
  auto innermost = [&](std::string_view row) -> std::optional<std::uint32_t> {
    const std::size_t at = status.find(row);
    if (at == std::string_view::npos) return std::nullopt;
    const std::string_view line = status.substr(at, status.find('\n', at + 1) - at);
    return number_of(line.substr(line.rfind('\t') + 1));
  };
  const auto process = innermost("\nNStgid:\t");
  const auto thread = innermost("\nNSpid:\t");
  if (!process || !thread) return std::nullopt;
  return Ids{*process, *thread};
}

std::optional<std::string> CallerPaths::resolve(pid_t tid, int directory, std::string_view path) {
  std::string at;  // "" is the root
  if (path.empty()) return std::nullopt;
  if (path.front() != '/') {
    std::optional<std::string> from = base(tid, directory);
    if (!from) return std::nullopt;
    at = std::move(*from);
  }
  std::vector<std::string> left;
  push_components(path, left);
  for (int links = 0; !left.empty();) {
    const std::string part = std::move(left.back());
    left.pop_back();
    if (part == "..") {
      leave(at);
      continue;
    }
    if (at == "/proc") {
      if (part == "self" || part == "thread-self") {
        const std::optional<Ids> own = ids(tid);
        if (!own) return std::nullopt;
        at += fmt::format("/{}", own->process);
        if (part == "thread-self") at += fmt::format("/task/{}", own->thread);
        continue;
      }
      if (part == "mounts" || part == "net") {
        left.push_back(part);
        left.emplace_back("self");
        if (++links > most_links) return std::nullopt;
        continue;
      }
    }
    if (at.starts_with("/proc/")) {
      // Of the links in a process's directory those lead on which name files; whose root another
      // process has is a question that only its own names would raise.
      if (part == "root" && is_process_directory(at)) {
        at.clear();
        continue;
      }
      if (part == "cwd" && is_process_directory(at)) {
        const std::optional<Ids> own = ids(tid);
        std::optional<std::string> there = base(tid, AT_FDCWD);
        if (!own || !there || process_path(at + "/cwd")->process != own->process)
          return std::nullopt;
        at = std::move(*there);
        continue;
      }
      if (left.empty() && at.ends_with("/fd") &&
          is_process_directory(at.substr(0, at.size() - 3))) {
        const auto number = number_of(part);
        const std::optional<Ids> own = ids(tid);
        if (!number || !own || process_path(at)->process != own->process) return std::nullopt;
        return link_text(AT_FDCWD, fmt::format("/proc/{}/fd/{}", tid, *number).c_str());
      }
      at += "/" + part;
      continue;
    }
    at += "/" + part;
    if (at == "/proc") continue;
    if (const std::optional<std::string> target = read_link(at)) {
      if (++links > most_links) return std::nullopt;
      if (target->front() == '/')
        at.clear();
      else
        leave(at);
      push_components(*target, left);
    }
  }
  return at.empty() ? "/" : at;
}

}  // namespace gyges::isolation
