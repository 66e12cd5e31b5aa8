#include "sandbox/isolation/changes_apply.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <set>

#include "base/fd.h"
#include "base/hash.h"
#include "base/text.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/hostile_tree.h"

namespace gyges::isolation {
namespace {

bool is_any_of(std::initializer_list<const char*> list, const std::string& name) {
  return std::any_of(list.begin(), list.end(),
                     [&](const char* known) { return ::strcasecmp(known, name.c_str()) == 0; });
}

// What tools of the host execute or obey without being told: whatever a dot hides, because new
// tools read new names there, but for what is plain data; and the few that no dot hides. In any
// case of letters: some file systems do not tell .GIT from .git (CVE-2014-9390 of git).
bool is_startup_file(const std::string& path) {
  std::vector<std::string> parts = split(path, '/');
  for (const std::string& part : parts)
    if (part.starts_with('.') &&
        !is_any_of({".gitignore",      ".gitkeep",      ".gitattributes", ".keep",
                    ".placeholder",    ".mailmap",      ".dockerignore",  ".npmignore",
                    ".prettierignore", ".eslintignore", ".helmignore",    ".gcloudignore",
                    ".ignore",         ".nojekyll",     ".editorconfig",  ".clang-format"},
                   part))
      return true;
  // With HEAD git takes any directory for a bare repository, and runs what its config says.
  return !parts.empty() &&
         is_any_of({"HEAD", "agents.md", "agents.override.md", "agent.md", "claude.md",
                    "claude.local.md", "gemini.md", "qwen.md", "warp.md", "crush.md", "crush.json",
                    "opencode.json", "opencode.jsonc", "mise.toml", "mise.local.toml",
                    "sitecustomize.py", "usercustomize.py"},
                   parts.back());
}

constexpr const char* changed_content = "its content is not what was recorded";

bool is_plain(const std::string& path) {
  for (const std::string& part : split(path, '/'))
    if (part.empty() || part == "." || part == "..") return false;
  return path.find('\0') == std::string::npos;
}

class Applier {
 public:
  Applier(const std::filesystem::path& bundle, const ApplyOptions& options)
      : contents_(bundle / "files" / "content"), options_(options) {}

  Result<std::vector<AppliedChange>> run(const std::vector<FileChange>& changes) {
    root_.reset(::open(options_.to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!root_)
      return fail_errno("open directory", options_.to.string(), errno, "name one that exists");
    std::string prefix = options_.from;
    while (!prefix.empty() && prefix.back() == '/') prefix.pop_back();
    prefix += '/';
    std::vector<std::pair<std::string, const FileChange*>> chosen;
    for (const FileChange& change : changes)
      if (change.path.starts_with(prefix))
        chosen.emplace_back(change.path.substr(prefix.size()), &change);
    // Children go before their directories, directories come before their children.
    std::sort(chosen.begin(), chosen.end());
    for (auto entry = chosen.rbegin(); entry != chosen.rend(); ++entry)
      if (entry->second->kind == FileChange::Kind::deleted) apply(entry->first, *entry->second);
    for (const auto& [path, change] : chosen)
      if (change->kind != FileChange::Kind::deleted) apply(path, *change);
    return std::move(applied_);
  }

 private:
  void apply(const std::string& path, const FileChange& change) {
    AppliedChange result{path, "", ""};
    if (!is_plain(path))
      result.reason = "the path is not a plain one";
    else if (!options_.startup_files && is_startup_file(path))
      result.reason = "tools run or obey it by themselves; add --startup-files";
    else
      carry_over(path, change, result);
    if (!result.reason.empty()) result.action = "skip";
    applied_.push_back(std::move(result));
  }

  void carry_over(const std::string& path, const FileChange& change, AppliedChange& result) {
    auto slash = path.rfind('/');
    std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
    std::string above = slash == std::string::npos ? "" : path.substr(0, slash);
    result.action = action_of(change, result);
    if (!result.reason.empty()) return;
    UniqueFd parent = open_beneath(root_.get(), above, O_PATH | O_DIRECTORY);
    if (options_.dry_run) return foresee(parent, path, above, name, change, result);
    if (!parent) {
      if (change.kind == FileChange::Kind::deleted && errno == ENOENT) return;
      result.reason = fmt::format("its directory: {}", std::strerror(errno));
      return;
    }
    if (change.kind == FileChange::Kind::deleted)
      remove(parent.get(), name, change, result);
    else if (change.type == FileChange::Type::directory)
      make_directory(parent.get(), name, change, result);
    else if (change.type == FileChange::Type::symlink)
      make_link(parent.get(), name, change, result);
    else
      write_file(parent.get(), name, change, result);
  }

  // What carrying over would meet, as far as can be seen now.
  void foresee(const UniqueFd& parent, const std::string& path, const std::string& above,
               const std::string& name, const FileChange& change, AppliedChange& result) {
    const bool deletion = change.kind == FileChange::Kind::deleted;
    const bool directory = change.type == FileChange::Type::directory;
    struct stat info {};
    if (!parent || removed_.count(above) > 0) {
      const int code = parent ? ENOENT : errno;
      const bool made_before = code == ENOENT && (deletion || made_.count(above) > 0);
      if (!made_before) result.reason = fmt::format("its directory: {}", std::strerror(code));
    } else if (::fstatat(parent.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
      const bool is_directory = S_ISDIR(info.st_mode);
      const bool in_the_way = is_directory && !would_be_empty(path);
      if (deletion && directory && !is_directory) result.reason = std::strerror(ENOTDIR);
      if (deletion && directory && in_the_way) result.reason = std::strerror(ENOTEMPTY);
      if (deletion && !directory && is_directory) result.reason = std::strerror(EISDIR);
      if (!deletion && directory && !is_directory) result.reason = "something else is there";
      if (!deletion && !directory && in_the_way) result.reason = "a directory is there";
      if (!deletion && directory && is_directory && ::geteuid() != 0 && info.st_uid != ::geteuid())
        result.reason = std::strerror(EPERM);
    }
    if (result.reason.empty() && parent && made_.count(above) == 0 &&
        !(deletion && info.st_ino == 0) && !(directory && S_ISDIR(info.st_mode) && !deletion) &&
        ::faccessat(parent.get(), ".", W_OK | X_OK, AT_EACCESS) != 0)
      result.reason = std::strerror(errno);
    if (result.reason.empty() && !deletion && change.type == FileChange::Type::file)
      check_content(change, result);
    if (!result.reason.empty()) return;
    if (deletion)
      removed_.insert(path);
    else if (directory)
      made_.insert(path);
  }

  // Whether all that a directory holds has been removed, as far as the dry run got.
  [[nodiscard]] bool would_be_empty(const std::string& path) const {
    UniqueFd directory = open_beneath(root_.get(), path, O_RDONLY | O_DIRECTORY);
    std::vector<std::string> names;
    return directory && names_in(directory.get(), names) &&
           std::all_of(names.begin(), names.end(), [&](const std::string& name) {
             return removed_.count(path + "/" + name) > 0;
           });
  }

  UniqueFd open_content(const FileChange& change, AppliedChange& result) const {
    std::string source = (contents_ / change.sha256).string();
    UniqueFd from(::open(source.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (from && ::fstat(from.get(), &info) == 0 && S_ISREG(info.st_mode)) return from;
    result.reason = "its content is not in the bundle";
    return UniqueFd();
  }

  void check_content(const FileChange& change, AppliedChange& result) const {
    UniqueFd from = open_content(change, result);
    if (!from) return;
    auto hash = sha256_of_fd(from.get());
    if (!hash || to_hex(*hash) != change.sha256) result.reason = changed_content;
  }

  static std::string action_of(const FileChange& change, AppliedChange& result) {
    if (change.kind == FileChange::Kind::deleted) return "delete";
    switch (change.type) {
      case FileChange::Type::directory:
        return "make directory";
      case FileChange::Type::symlink:
        if (!is_plain(change.link_target))
          result.reason = "the link may point out of the directory";
        return "link";
      case FileChange::Type::file:
        if (change.sha256.size() != 64 ||
            change.sha256.find_first_not_of("0123456789abcdef") != std::string::npos)
          result.reason = "its content was not collected";
        return "write";
      default:
        result.reason = "it is a FIFO, a socket or a device";
        return "skip";
    }
  }

  static void remove(int parent, const std::string& name, const FileChange& change,
                     AppliedChange& result) {
    int flags = change.type == FileChange::Type::directory ? AT_REMOVEDIR : 0;
    if (::unlinkat(parent, name.c_str(), flags) != 0 && errno != ENOENT)
      result.reason = std::strerror(errno);
  }

  static void make_directory(int parent, const std::string& name, const FileChange& change,
                             AppliedChange& result) {
    if (::mkdirat(parent, name.c_str(), 0700) != 0 && errno != EEXIST) {
      result.reason = std::strerror(errno);
      return;
    }
    UniqueFd made = open_beneath(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!made && says_absent(errno)) {
      result.reason = "something else is there";
      return;
    }
    // What is written below needs the owner's access.
    if (!made || ::fchmod(made.get(), (change.mode & 0777U) | 0700U) != 0)
      result.reason = std::strerror(errno);
  }

  void make_link(int parent, const std::string& name, const FileChange& change,
                 AppliedChange& result) {
    std::string temporary = fresh_name();
    if (::symlinkat(change.link_target.c_str(), parent, temporary.c_str()) != 0)
      result.reason = std::strerror(errno);
    else
      put_in_place(parent, temporary, name, result);
    if (!result.reason.empty()) ::unlinkat(parent, temporary.c_str(), 0);
  }

  // Where a directory was, whose files have been removed before, it goes too.
  static void put_in_place(int parent, const std::string& temporary, const std::string& name,
                           AppliedChange& result) {
    if (::renameat(parent, temporary.c_str(), parent, name.c_str()) == 0) return;
    if (errno == EISDIR)
      result.reason = ::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 ? "a directory is there"
                      : ::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0
                          ? std::strerror(errno)
                          : "";
    else
      result.reason = std::strerror(errno);
  }

  void write_file(int parent, const std::string& name, const FileChange& change,
                  AppliedChange& result) {
    UniqueFd from = open_content(change, result);
    if (!from) return;
    std::string temporary = fresh_name();
    UniqueFd into(::openat(parent, temporary.c_str(),
                           O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!into) {
      result.reason = std::strerror(errno);
      return;
    }
    result.reason = copy(from.get(), into.get(), change);
    if (result.reason.empty() && ::fchmod(into.get(), change.mode & 0777U) != 0)
      result.reason = std::strerror(errno);
    if (result.reason.empty()) put_in_place(parent, temporary, name, result);
    if (!result.reason.empty()) ::unlinkat(parent, temporary.c_str(), 0);
  }

  // The hash is that of what was written, so that a content which changes meanwhile is found.
  static std::string copy(int from, int into, const FileChange& change) {
    std::array<char, 65536> chunk{};
    std::uint64_t copied = 0;
    for (;;) {
      ssize_t n = ::read(from, chunk.data(), chunk.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return std::strerror(errno);
      if (n == 0) break;
      copied += static_cast<std::uint64_t>(n);
      if (copied > change.size) return changed_content;
      auto written = write_all(into, {chunk.data(), static_cast<std::size_t>(n)});
      if (!written) return written.error().reason;
    }
    if (::lseek(into, 0, SEEK_SET) != 0) return std::strerror(errno);
    auto hash = sha256_of_fd(into);
    if (!hash || to_hex(*hash) != change.sha256) return changed_content;
    return {};
  }

  std::string fresh_name() { return fmt::format(".gyges-apply-{}-{}", ::getpid(), counter_++); }

  std::filesystem::path contents_;
  const ApplyOptions& options_;
  UniqueFd root_;
  unsigned counter_ = 0;
  // What a dry run would have made (directories) and removed.
  std::set<std::string> made_;
  std::set<std::string> removed_;
  std::vector<AppliedChange> applied_;
};

}  // namespace

Result<std::vector<AppliedChange>> apply_changes(const std::filesystem::path& bundle,
                                                 const ApplyOptions& options) {
  GYGES_TRY(std::vector<FileChange> changes, read_changes(bundle));
  return Applier(bundle, options).run(changes);
}

}  // namespace gyges::isolation
