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
#include <set>

#include "base/fd.h"
#include "base/hash.h"
#include "base/text.h"
#include "sandbox/isolation/changes_file.h"
#include "sandbox/isolation/hostile_tree.h"

namespace gyges::isolation {
namespace {

// What tools of the host execute or obey without being told. In any case of letters: some file
// systems do not tell .GIT from .git (CVE-2014-9390 of git).
bool is_startup_file(const std::string& path) {
  static constexpr std::array names{".envrc",
                                    ".bashrc",
                                    ".bash_aliases",
                                    ".bash_login",
                                    ".bash_logout",
                                    ".bash_profile",
                                    ".profile",
                                    ".zshrc",
                                    ".zshenv",
                                    ".zprofile",
                                    ".zlogin",
                                    ".zlogout",
                                    ".kshrc",
                                    ".login",
                                    ".cshrc",
                                    ".tcshrc",
                                    ".inputrc",
                                    ".xprofile",
                                    ".xinitrc",
                                    ".xsession",
                                    ".xsessionrc",
                                    ".pam_environment",
                                    ".forward",
                                    ".rhosts",
                                    ".netrc",
                                    ".gitconfig",
                                    ".gitmodules",
                                    ".hgrc",
                                    ".pre-commit-config.yaml",
                                    ".npmrc",
                                    ".yarnrc",
                                    ".yarnrc.yml",
                                    ".pnpmfile.cjs",
                                    ".pnp.cjs",
                                    ".pypirc",
                                    ".pythonrc",
                                    ".pythonstartup",
                                    ".irbrc",
                                    ".pryrc",
                                    ".rprofile",
                                    ".gdbinit",
                                    ".lldbinit",
                                    ".vimrc",
                                    ".gvimrc",
                                    ".exrc",
                                    ".nvimrc",
                                    ".emacs",
                                    ".dir-locals.el",
                                    ".screenrc",
                                    ".tmux.conf",
                                    ".curlrc",
                                    ".wgetrc",
                                    ".mailcap",
                                    ".mcp.json",
                                    ".psqlrc",
                                    ".sqliterc",
                                    ".rvmrc",
                                    ".mise.toml",
                                    ".lvimrc",
                                    ".nvim.lua",
                                    ".cursorrules",
                                    ".windsurfrules",
                                    ".clinerules",
                                    ".aider.conf.yml",
                                    "agents.md",
                                    "claude.md",
                                    "claude.local.md",
                                    "gemini.md"};
  static constexpr std::array directories{
      ".git",           ".hg",    ".svn",    ".husky",   ".githooks",     ".vscode",
      ".vscode-server", ".idea",  ".vim",    ".emacs.d", ".devcontainer", ".direnv",
      ".claude",        ".codex", ".cursor", ".gemini",  ".ssh",          ".gnupg",
      ".config",        ".local", ".cargo",  ".docker",  ".kube",         ".aws"};
  auto is_any_of = [](const auto& list, const std::string& name) {
    return std::any_of(list.begin(), list.end(),
                       [&](const char* known) { return ::strcasecmp(known, name.c_str()) == 0; });
  };
  std::vector<std::string> parts = split(path, '/');
  for (const std::string& part : parts)
    if (is_any_of(directories, part)) return true;
  // With this git takes any directory for a bare repository, and runs what its config says.
  if (!parts.empty() && parts.back() == "HEAD") return true;
  return !parts.empty() && is_any_of(names, parts.back());
}

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
    std::string prefix = options_.from == "/" ? "/" : options_.from + "/";
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
    if (!parent) {
      const bool made_before = errno == ENOENT && (deletion || foreseen_.count(above) > 0);
      if (!made_before) result.reason = fmt::format("its directory: {}", std::strerror(errno));
    } else if (struct stat info{};
               ::fstatat(parent.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
      const bool is_directory = S_ISDIR(info.st_mode);
      if (directory && !deletion && !is_directory) result.reason = "something else is there";
      if (!directory && is_directory) result.reason = std::strerror(EISDIR);
    }
    if (directory && !deletion && result.reason.empty()) foreseen_.insert(path);
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
    // What is written below needs the owner's access.
    if (!made || ::fchmod(made.get(), (change.mode & 0777U) | 0700U) != 0)
      result.reason = std::strerror(errno);
  }

  void make_link(int parent, const std::string& name, const FileChange& change,
                 AppliedChange& result) {
    std::string temporary = fresh_name();
    if (::symlinkat(change.link_target.c_str(), parent, temporary.c_str()) != 0 ||
        ::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0) {
      result.reason = std::strerror(errno);
      ::unlinkat(parent, temporary.c_str(), 0);
    }
  }

  void write_file(int parent, const std::string& name, const FileChange& change,
                  AppliedChange& result) {
    std::string source = (contents_ / change.sha256).string();
    UniqueFd from(::open(source.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!from || ::fstat(from.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
      result.reason = "its content is not in the bundle";
      return;
    }
    std::string temporary = fresh_name();
    UniqueFd into(::openat(parent, temporary.c_str(),
                           O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!into) {
      result.reason = std::strerror(errno);
      return;
    }
    result.reason = copy(from.get(), into.get(), change);
    if (result.reason.empty() && (::fchmod(into.get(), change.mode & 0777U) != 0 ||
                                  ::renameat(parent, temporary.c_str(), parent, name.c_str()) != 0))
      result.reason = std::strerror(errno);
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
      if (copied > change.size) return "its content is not what was recorded";
      auto written = write_all(into, {chunk.data(), static_cast<std::size_t>(n)});
      if (!written) return written.error().reason;
    }
    if (::lseek(into, 0, SEEK_SET) != 0) return std::strerror(errno);
    auto hash = sha256_of_fd(into);
    if (!hash || to_hex(*hash) != change.sha256) return "its content is not what was recorded";
    return {};
  }

  std::string fresh_name() { return fmt::format(".gyges-apply-{}-{}", ::getpid(), counter_++); }

  std::filesystem::path contents_;
  const ApplyOptions& options_;
  UniqueFd root_;
  unsigned counter_ = 0;
  std::set<std::string> foreseen_;  // directories that a dry run would have made
  std::vector<AppliedChange> applied_;
};

}  // namespace

Result<std::vector<AppliedChange>> apply_changes(const std::filesystem::path& bundle,
                                                 const ApplyOptions& options) {
  GYGES_TRY(std::vector<FileChange> changes, read_changes(bundle));
  return Applier(bundle, options).run(changes);
}

}  // namespace gyges::isolation
