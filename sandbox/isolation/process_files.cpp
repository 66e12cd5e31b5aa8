#include "sandbox/isolation/process_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace gyges::isolation {
namespace {

constexpr std::string_view load_path = "/proc/loadavg";
constexpr std::size_t most_files = 1024;  // of some kilobytes each
constexpr std::size_t longest_content = 256U << 10U;
constexpr int most_link_steps = 8;
constexpr std::size_t most_held = 32;  // descriptors of each kind

std::string_view last_of(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

// An ordinary user's supervisor is outside of the sandbox's user namespace and reads its own ids.
class IdsInside {
 public:
  explicit IdsInside(pid_t tid) : users_(read(tid, "uid_map")), groups_(read(tid, "gid_map")) {}

  std::string translated(const std::string& status) const {
    std::string text;
    for (const std::string& line : split(status, '\n')) {
      if (line.empty()) continue;
      const bool users = line.starts_with("Uid:");
      if (users || line.starts_with("Gid:") || line.starts_with("Groups:"))
        text += with_ids(line, users ? users_ : groups_);
      else
        text += line;
      text += '\n';
    }
    return text;
  }

 private:
  struct Range {
    std::uint64_t inside = 0, outside = 0, count = 0;
  };

  static std::vector<Range> read(pid_t tid, const char* map) {
    std::vector<Range> ranges;
    const auto text = read_file(fmt::format("/proc/{}/{}", tid, map), 4096);
    if (!text) return ranges;
    for (const std::string& line : split(*text, '\n')) {
      char* at = nullptr;
      Range range;
      range.inside = std::strtoull(line.c_str(), &at, 10);
      range.outside = std::strtoull(at, &at, 10);
      range.count = std::strtoull(at, &at, 10);
      if (range.count > 0) ranges.push_back(range);
    }
    return ranges;
  }

  static std::string with_ids(const std::string& line, const std::vector<Range>& ranges) {
    std::string text;
    for (std::size_t at = 0; at < line.size();) {
      const std::size_t digits = line.find_first_of("0123456789", at);
      text += line.substr(at, digits - at);
      if (digits == std::string::npos) break;
      at = std::min(line.find_first_not_of("0123456789", digits), line.size());
      const std::uint64_t id = std::strtoull(line.c_str() + digits, nullptr, 10);
      std::uint64_t inside = 65534;  // the kernel's default for what has no number inside
      for (const Range& range : ranges)
        if (id >= range.outside && id - range.outside < range.count)
          inside = range.inside + (id - range.outside);
      text += std::to_string(inside);
    }
    return text;
  }

  std::vector<Range> users_, groups_;
};

ProcessFiles::~ProcessFiles() = default;

const IdsInside& ProcessFiles::ids_inside(pid_t tid) {
  std::array<char, 64> link{};
  const ssize_t n =
      ::readlink(fmt::format("/proc/{}/ns/user", tid).c_str(), link.data(), link.size());
  std::string name(link.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  if (!ids_ || name.empty() || name != ids_of_) {
    ids_ = std::make_unique<IdsInside>(tid);
    ids_of_ = std::move(name);
  }
  return *ids_;
}

ProcessFiles::ProcessFiles(std::shared_ptr<const Emulation> emulation,
                           std::shared_ptr<const SharedUse> use, UniqueFd directory)
    : emulation_(std::move(emulation)), use_(std::move(use)), directory_(std::move(directory)) {
  for (const ProcessFileRule& rule : emulation_->process_files) {
    rules_.emplace(rule.name, &rule);
    last_names_.emplace(last_of(rule.name));
  }
  if (emulation_->load_average) last_names_.emplace(last_of(load_path));
  for (const auto& [path, content] : emulation_->other_files) last_names_.emplace(last_of(path));
  for (const auto& [path, file] : emulation_->fixed_files) last_names_.emplace(last_of(path));
}

// What the kernel has there. Without links and mounts on the way: the covers are not meant.
std::optional<std::string> ProcessFiles::kernel_content(int procfs, const std::string& path) {
  auto known = kernel_.find(path);
  for (const bool again : {false, true}) {
    if (known == kernel_.end()) {
      open_how how{};
      how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
      how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
      UniqueFd file(
          static_cast<int>(::syscall(SYS_openat2, procfs, path.c_str(), &how, sizeof(how))));
      if (!file) return std::nullopt;
      if (kernel_.size() >= most_held) kernel_.clear();
      known = kernel_.emplace(path, std::move(file)).first;
    }
    std::string content;
    std::array<char, 4096> piece;
    while (content.size() < longest_content) {
      const ssize_t n = ::pread(known->second.get(), piece.data(), piece.size(),
                                static_cast<off_t>(content.size()));
      if (n < 0) break;
      content.append(piece.data(), static_cast<std::size_t>(n));
      // One record, which comes whole.
      if (n == 0 || static_cast<std::size_t>(n) < piece.size()) return content;
    }
    // That process is gone; another may have its number.
    kernel_.erase(known);
    known = kernel_.end();
    if (again) break;
  }
  return std::nullopt;
}

bool ProcessFiles::may_name(std::string_view path) const {
  const std::string_view last = last_of(path);
  return last_names_.contains(last) || all_digits(last);
}

// Everywhere /etc/mtab leads to /proc/self/mounts, and /dev/stdin to a descriptor.
bool ProcessFiles::may_be_link(std::string_view path) const {
  return linked_ || last_of(path) == "mtab" || path.starts_with("/dev/");
}

void ProcessFiles::note_link(std::string_view target) {
  linked_ = linked_ || may_name(target);
}

std::optional<UniqueFd> ProcessFiles::open(pid_t tid, int directory, std::string path, bool by_link,
                                           CallerPaths& paths) {
  if (paths.is_program(path)) return std::nullopt;
  for (int links = 0; !may_name(path); ++links) {
    if (!by_link || links == most_link_steps || !may_be_link(path)) return std::nullopt;
    const std::optional<std::string> target = paths.link(tid, directory, path);
    if (!target) return std::nullopt;
    path = target->front() == '/' ? *target : path.substr(0, path.rfind('/') + 1) + *target;
  }
  const std::optional<std::string> whole = paths.resolve(tid, directory, path);
  if (!whole) return std::nullopt;
  if (*whole == load_path) return load_average(tid, paths);
  if (const auto other = emulation_->other_files.find(*whole);
      other != emulation_->other_files.end()) {
    const std::string place = other->first.substr(1);
    return make_directories(place) ? put(place, other->second) : std::nullopt;
  }
  if (const auto fixed = emulation_->fixed_files.find(*whole);
      fixed != emulation_->fixed_files.end()) {
    const std::string place = fixed->first.substr(1);
    if (!make_directories(place)) return std::nullopt;
    return put(place, fixed->second.content, fixed->second.mode);
  }
  const std::optional<ProcessPath> file = process_path(*whole);
  if (!file) return std::nullopt;
  const auto rule = rules_.find(file->name);
  if (rule == rules_.end()) return std::nullopt;
  return make(tid, *file, *rule->second, paths);
}

// The newest process is the one that asks, or one that asked before.
std::optional<UniqueFd> ProcessFiles::load_average(pid_t tid, CallerPaths& paths) {
  const std::optional<std::uint32_t> own = paths.number(tid);
  if (!own || !make_directories("proc/loadavg")) return std::nullopt;
  newest_ = std::max(newest_, *own);
  return put("proc/loadavg", emulation_->load_average(newest_, use_->get()));
}

std::optional<UniqueFd> ProcessFiles::make(pid_t tid, const ProcessPath& file,
                                           const ProcessFileRule& rule, CallerPaths& paths) {
  const int procfs = paths.procfs();
  if (procfs < 0) return std::nullopt;
  std::string path = std::to_string(file.process);
  if (file.thread != 0) path += fmt::format("/task/{}", file.thread);
  path += "/" + file.name;
  ProcessFile asked{file.name, file.process, file.thread, {}};
  std::optional<std::string> kernel;
  if (rule.from_kernel) {
    kernel = kernel_content(procfs, path);
    if (!kernel) return std::nullopt;
    if (rule.name == "status" && ::geteuid() != 0) kernel = ids_inside(tid).translated(*kernel);
    asked.kernel = *kernel;
  } else if (::faccessat(procfs, path.c_str(), F_OK, 0) != 0) {
    return std::nullopt;
  }
  const std::optional<std::string> content = rule.content(asked);
  if (!content) return std::nullopt;
  if (files_ >= most_files) sweep(procfs);
  std::map<std::string, std::size_t>& of_process = made_[file.process];
  const std::size_t hash = std::hash<std::string>()(*content);
  const std::string place = "proc/" + path;
  const auto known = of_process.find(path);
  if (known != of_process.end() && known->second == hash) {
    UniqueFd same(::openat(directory_.get(), place.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (same) return same;
  }
  if (known == of_process.end()) {
    if (!make_directories(place)) return std::nullopt;
    ++files_;
  }
  of_process[path] = hash;
  return put(place, *content);
}

bool ProcessFiles::make_directories(const std::string& path) {
  for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1))
    if (::mkdirat(directory_.get(), path.substr(0, at).c_str(), 0755) != 0 && errno != EEXIST)
      return false;
  return true;
}

// In place: who has it open already sees it anew, as procfs would have it, and the name stays.
std::optional<UniqueFd> ProcessFiles::put(const std::string& path, const std::string& content,
                                          unsigned mode) {
  auto known = written_.find(path);
  if (known == written_.end()) {
    auto open_to_write = [&](int more) {
      return UniqueFd(
          ::openat(directory_.get(), path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | more, mode));
    };
    UniqueFd writer = open_to_write(O_CREAT);
    // Rootless the file is the supervisor's own, and is not open to it as it stands.
    const bool closed = !writer && ::fchmodat(directory_.get(), path.c_str(), 0644, 0) == 0;
    if (closed) writer = open_to_write(0);
    struct stat info {};
    if (!writer || ::fstat(writer.get(), &info) != 0) return std::nullopt;
    // Whatever the supervisor's mask is.
    if ((info.st_mode & 0777U) != mode && ::fchmod(writer.get(), mode) != 0) return std::nullopt;
    if (written_.size() >= most_held) written_.clear();
    known = written_.emplace(path, Written{std::move(writer), info.st_size}).first;
  }
  Written& to = known->second;
  const auto size = static_cast<off_t>(content.size());
  if (::pwrite(to.file.get(), content.data(), content.size(), 0) != size ||
      (to.size > size && ::ftruncate(to.file.get(), size) != 0)) {
    written_.erase(known);
    return std::nullopt;
  }
  to.size = size;
  UniqueFd reader(::openat(directory_.get(), path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!reader) return std::nullopt;
  return reader;
}

// Those of processes that are gone; where too many live, all.
void ProcessFiles::sweep(int procfs) {
  kernel_.clear();
  written_.clear();
  auto remove = [&](std::uint32_t process, const std::map<std::string, std::size_t>& files) {
    for (const auto& [path, hash] : files) {
      ::unlinkat(directory_.get(), ("proc/" + path).c_str(), 0);
      for (std::size_t at = path.rfind('/'); at != std::string::npos && at > 0;
           at = path.rfind('/', at - 1))
        if (::unlinkat(directory_.get(), ("proc/" + path.substr(0, at)).c_str(), AT_REMOVEDIR) != 0)
          break;
    }
    ::unlinkat(directory_.get(), fmt::format("proc/{}", process).c_str(), AT_REMOVEDIR);
    files_ -= std::min(files_, files.size());
  };
  for (const bool living : {false, true}) {
    if (living && files_ < most_files / 2) return;
    for (auto it = made_.begin(); it != made_.end();) {
      const bool alive = ::faccessat(procfs, std::to_string(it->first).c_str(), F_OK, 0) == 0;
      if (alive && !living) {
        ++it;
        continue;
      }
      remove(it->first, it->second);
      it = made_.erase(it);
    }
  }
}

}  // namespace gyges::isolation
