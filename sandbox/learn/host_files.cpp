#include "sandbox/learn/host_files.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/fd.h"
#include "sandbox/recorder/format/resolved_paths.h"

namespace gyges::learn {
namespace {

constexpr unsigned most_links = 40;        // as the kernel follows
constexpr unsigned most_interpreters = 4;  // as the kernel follows for scripts

std::string read_link(const std::string& path) {
  std::string target(4096, '\0');
  ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
  target.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  return target;
}

std::string directory_of(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

// The interpreter that the kernel loads for a program: of a script by its first line, of an ELF
// file by its program header. Empty: none.
std::string interpreter_of(const std::string& host) {
  UniqueFd fd(::open(host.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return {};
  std::array<char, 4096> head{};
  ssize_t length = ::pread(fd.get(), head.data(), head.size(), 0);
  if (length < 4) return {};
  std::string_view text(head.data(), static_cast<std::size_t>(length));
  if (text.starts_with("#!")) {
    text = text.substr(2, text.find('\n') - 2);
    auto start = text.find_first_not_of(" \t");
    if (start == std::string_view::npos) return {};
    text = text.substr(start);
    return std::string(text.substr(0, text.find_first_of(" \t")));
  }
  if (!text.starts_with(ELFMAG) || text.size() < sizeof(Elf64_Ehdr)) return {};
  Elf64_Ehdr header{};
  std::memcpy(&header, head.data(), sizeof(header));
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > 128) return {};
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    auto at = static_cast<off_t>(header.e_phoff + i * sizeof(part));
    if (::pread(fd.get(), &part, sizeof(part), at) != static_cast<ssize_t>(sizeof(part))) return {};
    if (part.p_type != PT_INTERP || part.p_filesz == 0 || part.p_filesz > 4096) continue;
    std::string path(part.p_filesz, '\0');
    if (::pread(fd.get(), path.data(), path.size(), static_cast<off_t>(part.p_offset)) !=
        static_cast<ssize_t>(path.size()))
      return {};
    path.resize(std::strlen(path.c_str()));
    return path;
  }
  return {};
}

}  // namespace

bool lies_in(const std::string& path, const std::string& directory) {
  if (directory == "/") return path.starts_with('/');
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

const isolation::Mount* HostFiles::mount_of(const std::string& path) const {
  const isolation::Mount* deepest = nullptr;
  for (const isolation::Mount& mount : base_.filesystem.mounts)
    if (lies_in(path, mount.target) &&
        (deepest == nullptr || mount.target.size() > deepest->target.size()))
      deepest = &mount;
  return deepest;
}

std::string HostFiles::on_host(const isolation::Mount& mount, const std::string& path) {
  if (mount.source.empty() || mount.source == mount.target) return path;
  return mount.source + path.substr(mount.target.size());
}

bool HostFiles::add(const std::string& path, bool executed) {
  return add_at(path, executed, 0);
}

bool HostFiles::add_at(const std::string& path, bool executed, unsigned depth) {
  std::string rest = path;
  std::string at;  // resolved so far; empty: the root
  unsigned followed = 0;
  while (!rest.empty() && rest != "/") {
    auto end = rest.find('/', 1);
    at += rest.substr(0, end);
    rest = end == std::string::npos ? std::string() : rest.substr(end);
    const isolation::Mount* mount = mount_of(at);
    // Directories above every mount are made by the sandbox itself.
    if (mount == nullptr) continue;
    if (mount->kind == isolation::Mount::Kind::fresh) continue;
    std::string host = on_host(*mount, at);
    struct stat info {};
    if (::lstat(host.c_str(), &info) != 0) return false;
    if (S_ISLNK(info.st_mode)) {
      std::string target = read_link(host);
      if (target.empty() || ++followed > most_links) return false;
      links_.insert(at);
      rest = recorder::join_path(directory_of(at), target) + rest;
      at.clear();
      continue;
    }
    if (!rest.empty()) continue;
    if (S_ISDIR(info.st_mode)) {
      directories_.insert(at);
    } else if (S_ISREG(info.st_mode)) {
      files_.insert(at);
      if (executed) add_interpreter(host, at, depth);
    }
  }
  return true;
}

void HostFiles::add_interpreter(const std::string& host, const std::string& inside,
                                unsigned depth) {
  if (depth >= most_interpreters) return;
  std::string interpreter = interpreter_of(host);
  if (interpreter.starts_with('/') && interpreter != inside)
    add_at(recorder::join_path({}, interpreter), true, depth + 1);
}

}  // namespace gyges::learn
