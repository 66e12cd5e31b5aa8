#include "sandbox/isolation/caller_path.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <set>

#include "base/files.h"
#include "base/text.h"

namespace gyges::isolation {
namespace {

constexpr std::size_t longest_path = 4096;
constexpr std::size_t page = 4096;
constexpr int most_links = 40;  // as the kernel has it
// NS_GET_PID_IN_PIDNS and NS_GET_TGID_IN_PIDNS of linux/nsfs.h, which many headers do not have yet.
constexpr unsigned long number_inside = _IOR(0xb7, 8, int);
constexpr unsigned long group_number_inside = _IOR(0xb7, 9, int);

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

// An absolute path on which there is no link, in its shortest form.
std::string without_links(std::string_view path) {
  std::string at;
  for (const std::string& part : split(path, '/')) {
    if (part == "..")
      leave(at);
    else if (!part.empty() && part != ".")
      at += "/" + part;
  }
  return at.empty() ? "/" : at;
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

// The owner must be known to be the caller afterwards, by both of these too.
UniqueFd CallerPaths::pid_namespace_of(pid_t tid) {
  return UniqueFd(::open(fmt::format("/proc/{}/ns/pid", tid).c_str(), O_RDONLY | O_CLOEXEC));
}

// Those that are mounted read-only, unless something writable is mounted below one of them.
std::vector<std::string> CallerPaths::program_directories(pid_t tid) {
  static constexpr std::array directories{"/usr/",   "/lib/", "/lib32/",
                                          "/lib64/", "/bin/", "/sbin/"};
  const auto mounts = read_file(fmt::format("/proc/{}/mountinfo", tid), 1U << 20U);
  bool root_is_fixed = false;
  std::set<std::string, std::less<>> fixed;
  for (const std::string& line : split(mounts ? *mounts : "", '\n')) {
    const std::vector<std::string> fields = split(line, ' ');
    if (fields.size() < 6) continue;
    const bool read_only = fields[5] == "ro" || fields[5].starts_with("ro,");
    const std::string point = fields[4] + (fields[4] == "/" ? "" : "/");
    if (point == "/") root_is_fixed = read_only;
    for (const char* directory : directories) {
      if (!point.starts_with(directory)) continue;
      if (!read_only) return {};
      if (point == directory) fixed.insert(point);
    }
  }
  std::vector<std::string> found;
  const UniqueFd top = root_of(tid);
  for (const char* directory : directories) {
    // A link of the root, which nobody changes, to a directory of the list: /lib to usr/lib.
    const std::string name(directory + 1, std::strlen(directory) - 2);
    const auto target = link_text(top.get(), name.c_str());
    if (fixed.contains(directory) ||
        (root_is_fixed && target && target->starts_with("usr/") &&
         target->find("..") == std::string::npos && fixed.contains("/usr/")))
      found.emplace_back(directory);
  }
  return found;
}

bool CallerPaths::is_program(std::string_view path) const {
  return path.find("/..") == std::string_view::npos &&
         std::any_of(programs_.begin(), programs_.end(),
                     [&](const std::string& directory) { return path.starts_with(directory); });
}

UniqueFd CallerPaths::look_at(const std::string& path, std::uint64_t resolve) const {
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  if (resolve == 0) how.flags |= O_NOFOLLOW;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve;
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, root_.get(), path.c_str(), &how, sizeof(how))));
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
  if (!root_) return std::nullopt;
  // Mostly there is none on the way.
  if (look_at(path, RESOLVE_NO_SYMLINKS)) return std::nullopt;
  if (errno != ELOOP) return std::nullopt;
  const UniqueFd file = look_at(path, 0);
  if (!file) return std::nullopt;
  return link_text(file.get(), "");
}

// The supervisor may enter directories that the caller may not, and must not tell of what is there.
bool CallerPaths::may_enter_all(pid_t tid, const std::string& path) {
  std::optional<uid_t> caller;
  for (std::size_t at = 0; at != std::string::npos; at = path.find('/', at + 1)) {
    const UniqueFd file = look_at(at == 0 ? "." : path.substr(0, at), 0);
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0) return false;
    if ((info.st_mode & S_IXOTH) != 0) continue;
    struct stat process {};
    if (!caller) {
      if (::stat(fmt::format("/proc/{}", tid).c_str(), &process) != 0) return false;
      caller = process.st_uid;
    }
    if (info.st_uid != *caller || (info.st_mode & S_IXUSR) == 0) return false;
  }
  return true;
}

std::optional<std::string> CallerPaths::existing(pid_t tid, const std::string& path) {
  if (path == "/") return path;
  if (!root_) return std::nullopt;
  if (path.starts_with('/') && look_at(path, RESOLVE_NO_SYMLINKS)) {
    const std::string whole = without_links(path);
    return may_enter_all(tid, whole) ? std::optional(whole) : std::nullopt;
  }
  const std::optional<std::string> whole = resolve(tid, AT_FDCWD, path);
  if (!whole || !may_enter_all(tid, *whole) || !look_at(*whole, 0)) return std::nullopt;
  return whole;
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

std::optional<std::string> CallerPaths::process_link(pid_t tid, std::string_view place) {
  const std::optional<ProcessPath> path = process_path(place);
  const std::optional<Ids> own = ids(tid);
  if (!path || !own) return std::nullopt;
  if (path->process == own->process)
    return link_text(AT_FDCWD, fmt::format("/proc/{}/{}", tid, path->name).c_str());
  const int inside = procfs();
  if (inside < 0 || !same_user(tid, path->process)) return std::nullopt;
  return link_text(inside, fmt::format("{}/{}", path->process, path->name).c_str());
}

// By one question of the namespace (Linux 6.11), or from a row such as "NSpid:\t4711\t23", whose
// last number is that of the innermost namespace.
std::optional<CallerPaths::Ids> CallerPaths::ids(pid_t tid) const {
  if (pid_namespace_) {
    const int group = ::ioctl(pid_namespace_.get(), group_number_inside, tid);
    const int number = group > 0 ? ::ioctl(pid_namespace_.get(), number_inside, tid) : 0;
    if (number > 0)
      return Ids{static_cast<std::uint32_t>(group), static_cast<std::uint32_t>(number)};
  }
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

std::optional<std::uint32_t> CallerPaths::number(pid_t tid) const {
  const std::optional<Ids> own = ids(tid);
  return own ? std::optional(own->process) : std::nullopt;
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
      const bool descriptor = at.ends_with("/fd") &&
                              is_process_directory(at.substr(0, at.size() - 3)) && number_of(part);
      if (descriptor || (part == "cwd" && is_process_directory(at))) {
        std::optional<std::string> there = process_link(tid, at + "/" + part);
        if (descriptor && left.empty()) return there;
        if (!there || there->front() != '/') return std::nullopt;
        at = *there == "/" ? std::string() : std::move(*there);
        continue;
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
