#include "sandbox/recorder/format/resolved_paths.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <cstring>

#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t max_descriptors = 1'000'000;
constexpr std::size_t max_processes = 200'000;
constexpr std::size_t max_path_bytes = 8192;
constexpr std::uint64_t at_empty_path = 0x1000;
constexpr std::uint64_t tmpfile_bit = 020000000;

std::int32_t as_fd(std::uint64_t value) {
  return static_cast<std::int32_t>(value);
}

const Capture* find_capture(const Event& event, std::size_t argument, CaptureKind kind) {
  for (const Capture& capture : event.captures)
    if (capture.argument == argument && capture.kind == kind &&
        capture.provenance != Provenance::missing)
      return &capture;
  return nullptr;
}

bool succeeded(const Event& event) {
  return event.has_exit && event.result >= 0 && event.verdict != Verdict::killed;
}

// The open flags of a call that opens; 0 for others.
std::uint64_t open_flags(const Event& event, const SyscallSpec& spec) {
  if (spec.name == "creat") return O_CREAT | O_TRUNC | O_WRONLY;
  for (std::size_t i = 0; i < spec.argument_count; ++i) {
    const ArgumentSpec& argument = spec.arguments[i];
    if (argument.kind == ArgumentKind::flags && argument.set == "open") return event.args[i];
    if (argument.set == "open_how") {
      const Capture* how = find_capture(event, i, CaptureKind::structure_in);
      std::uint64_t flags = 0;
      if (how != nullptr && how->bytes.size() >= sizeof(flags))
        std::memcpy(&flags, how->bytes.data(), sizeof(flags));
      return flags;
    }
  }
  return 0;
}

bool sets_close_on_exec(const Event& event, const SyscallSpec& spec) {
  if ((open_flags(event, spec) & O_CLOEXEC) != 0) return true;
  return spec.name == "fcntl" && event.args[1] == F_DUPFD_CLOEXEC;
}

bool empty_path_means_descriptor(const Event& event, const SyscallSpec& spec) {
  for (std::size_t i = 0; i < spec.argument_count; ++i)
    if (spec.arguments[i].set == "at" || spec.arguments[i].set == "open_tree" ||
        spec.arguments[i].set == "faccessat")
      return (event.args[i] & at_empty_path) != 0;
  return false;
}

}  // namespace

std::string_view identity_path(const Capture& capture) {
  if (capture.kind != CaptureKind::file_identity || capture.bytes.size() <= sizeof(FileIdentity))
    return {};
  std::string_view path = capture.bytes.substr(sizeof(FileIdentity));
  return path.starts_with('/') ? path : std::string_view{};
}

std::string_view PathResolver::working_directory(std::int32_t pid) const {
  auto found = processes_.find(pid);
  return found == processes_.end() ? std::string_view{} : found->second.directory;
}

std::string_view PathResolver::descriptor(std::int32_t pid, std::int32_t fd) const {
  auto found = processes_.find(pid);
  if (found == processes_.end() || found->second.descriptors == nullptr) return {};
  auto at = found->second.descriptors->find(fd);
  return at == found->second.descriptors->end() ? std::string_view{} : at->second.path;
}

std::string_view PathResolver::program(std::int32_t pid) const {
  auto found = processes_.find(pid);
  if (found != processes_.end()) return found->second.program;
  return ended_.first == pid ? std::string_view(ended_.second) : std::string_view{};
}

std::vector<ResolvedPath> PathResolver::paths_of(const Event& event) {
  if (closed_) set_descriptor(closed_->first, closed_->second, {}, false);
  closed_.reset();
  ended_ = {};
  learn_directory(event);
  std::vector<ResolvedPath> paths = named_paths(event);
  switch (event.kind) {
    case EventKind::syscall:
      if (succeeded(event)) apply_call(event, paths);
      break;
    case EventKind::process_start:
      apply_start(event);
      break;
    case EventKind::process_exec:
      apply_exec(event);
      break;
    case EventKind::process_exit:
      if (event.pid == event.tid) {
        auto found = processes_.find(event.pid);
        if (found != processes_.end()) {
          if (found->second.descriptors.use_count() == 1)
            descriptor_count_ -= found->second.descriptors->size();
          ended_ = {event.pid, std::move(found->second.program)};
          processes_.erase(found);
        }
      }
      break;
    default:
      break;
  }
  return paths;
}

std::vector<ResolvedPath> PathResolver::named_paths(const Event& event) const {
  std::vector<ResolvedPath> paths;
  auto add = [&](std::size_t argument, std::string path, Provenance provenance, bool mutation) {
    ResolvedPath resolved{static_cast<std::uint8_t>(argument), std::move(path), provenance, true,
                          mutation};
    resolved.absolute = resolved.path.starts_with('/');
    for (ResolvedPath& known : paths)
      if (known.path == resolved.path) {
        // The kernel confirms what the program asked for: one entry, trusted.
        if (provenance == Provenance::kernel) known.provenance = provenance;
        known.mutation = known.mutation || mutation;
        return;
      }
    paths.push_back(std::move(resolved));
  };
  const SyscallSpec* spec =
      event.kind == EventKind::syscall ? find_syscall(event.abi, event.number) : nullptr;
  bool good = succeeded(event);
  bool opening = false;
  if (spec != nullptr) {
    std::uint64_t flags = open_flags(event, *spec);
    opening = good && (flags & (O_CREAT | O_TRUNC | tmpfile_bit)) != 0;
    for (std::size_t i = 0; i < spec->argument_count; ++i) {
      const ArgumentSpec& argument = spec->arguments[i];
      if (argument.kind == ArgumentKind::fd) {
        const Capture* identity = find_capture(event, i, CaptureKind::file_identity);
        std::string_view path = identity != nullptr ? identity_path(*identity) : std::string_view{};
        bool from_kernel = !path.empty();
        if (path.empty()) path = descriptor(event.pid, as_fd(event.args[i]));
        if (!path.empty())
          add(i, std::string(path), from_kernel ? Provenance::kernel : Provenance::enter,
              good && argument.mutates);
      }
      if (argument.kind != ArgumentKind::path) continue;
      bool mutation = good && (argument.mutates || opening);
      if (const Capture* known = find_capture(event, i, CaptureKind::absolute_path);
          known != nullptr && known->bytes.starts_with('/')) {
        add(i, join_path({}, known->bytes), known->provenance, mutation);
        continue;
      }
      const Capture* given = find_capture(event, i, CaptureKind::path);
      if (given == nullptr) continue;
      std::string_view directory = working_directory(event.pid);
      if (i > 0 && spec->arguments[i - 1].kind == ArgumentKind::dirfd &&
          as_fd(event.args[i - 1]) != AT_FDCWD) {
        const Capture* identity = find_capture(event, i - 1, CaptureKind::file_identity);
        directory = identity != nullptr ? identity_path(*identity) : std::string_view{};
        if (directory.empty()) directory = descriptor(event.pid, as_fd(event.args[i - 1]));
      }
      if (given->bytes.empty()) {
        if (!directory.empty() && empty_path_means_descriptor(event, *spec))
          add(i, std::string(directory), given->provenance, mutation);
        continue;
      }
      add(i, join_path(directory, given->bytes), given->provenance, mutation);
    }
  }
  // Objects the kernel named that no argument accounted for: what an open really returned, the
  // image that an exec really loaded.
  for (const Capture& capture : event.captures) {
    std::string_view path = identity_path(capture);
    bool of_dirfd = spec != nullptr && capture.argument < spec->argument_count &&
                    spec->arguments[capture.argument].kind == ArgumentKind::dirfd;
    if (path.empty() || of_dirfd) continue;
    add(capture.argument, std::string(path), Provenance::kernel,
        opening && capture.argument == result_argument);
  }
  return paths;
}

// A relative path whose absolute form the kernel gave tells the directory it was against.
void PathResolver::learn_directory(const Event& event) {
  if (event.kind == EventKind::process_exec) {
    const Capture* directory = find_capture(event, 0, CaptureKind::absolute_path);
    if (directory != nullptr && directory->bytes.starts_with('/') &&
        processes_.size() < max_processes)
      processes_[event.pid].directory = directory->bytes;
    return;
  }
  if (event.kind != EventKind::syscall || processes_.size() >= max_processes) return;
  const SyscallSpec* spec = find_syscall(event.abi, event.number);
  if (spec == nullptr) return;
  if (spec->name == "getcwd" && succeeded(event)) {
    const Capture* path = find_capture(event, 0, CaptureKind::buffer_out);
    if (path != nullptr && path->bytes.starts_with('/') && !path->truncated)
      processes_[event.pid].directory = path->bytes.substr(0, path->bytes.find('\0'));
    return;
  }
  for (std::size_t i = 0; i < spec->argument_count; ++i) {
    if (spec->arguments[i].kind != ArgumentKind::path) continue;
    if (i > 0 && spec->arguments[i - 1].kind == ArgumentKind::dirfd &&
        as_fd(event.args[i - 1]) != AT_FDCWD)
      continue;
    const Capture* given = find_capture(event, i, CaptureKind::path);
    const Capture* known = find_capture(event, i, CaptureKind::absolute_path);
    if (given == nullptr || known == nullptr || known->provenance != Provenance::kernel ||
        given->bytes.empty() || given->bytes.find("..") != std::string_view::npos ||
        given->bytes.starts_with('/') || given->bytes.starts_with('.') ||
        given->bytes.size() + 1 >= known->bytes.size() || !known->bytes.ends_with(given->bytes))
      continue;
    std::string_view directory = known->bytes.substr(0, known->bytes.size() - given->bytes.size());
    if (directory.starts_with('/') && directory.ends_with('/'))
      processes_[event.pid].directory = join_path({}, directory);
  }
}

void PathResolver::apply_call(const Event& event, const std::vector<ResolvedPath>& paths) {
  const SyscallSpec* spec = find_syscall(event.abi, event.number);
  if (spec == nullptr) return;
  auto path_for = [&](std::uint8_t argument) -> std::string {
    for (const ResolvedPath& path : paths)
      if (path.argument == argument && path.absolute) return path.path;
    return {};
  };
  if (spec->name == "chdir" || spec->name == "fchdir") {
    std::string path = path_for(0);
    if (!path.empty() && processes_.size() < max_processes)
      processes_[event.pid].directory = std::move(path);
  } else if (spec->name == "close") {
    closed_ = {event.pid, as_fd(event.args[0])};
  } else if (spec->name == "dup" || spec->name == "dup2" || spec->name == "dup3" ||
             (spec->name.starts_with("fcntl") &&
              (event.args[1] == F_DUPFD || event.args[1] == F_DUPFD_CLOEXEC))) {
    std::string path(descriptor(event.pid, as_fd(event.args[0])));
    set_descriptor(event.pid, event.result, std::move(path), sets_close_on_exec(event, *spec));
  } else if (spec->returns_fd()) {
    std::string path = path_for(result_argument);
    for (std::uint8_t i = 0; path.empty() && i < spec->argument_count; ++i)
      if (spec->arguments[i].kind == ArgumentKind::path) path = path_for(i);
    set_descriptor(event.pid, event.result, std::move(path), sets_close_on_exec(event, *spec));
  }
}

PathResolver::DescriptorTable& PathResolver::writable_descriptors(Process& process) {
  if (process.descriptors == nullptr) {
    process.descriptors = std::make_shared<DescriptorTable>();
  } else if (process.descriptors.use_count() > 1) {
    if (descriptor_count_ + process.descriptors->size() > max_descriptors)
      process.descriptors = std::make_shared<DescriptorTable>();
    else
      process.descriptors = std::make_shared<DescriptorTable>(*process.descriptors);
    descriptor_count_ += process.descriptors->size();
  }
  return *process.descriptors;
}

void PathResolver::set_descriptor(std::int32_t pid, std::int64_t fd, std::string path,
                                  bool close_on_exec) {
  if (fd < 0 || fd > INT32_MAX) return;
  auto number = static_cast<std::int32_t>(fd);
  if (path.empty() && descriptor(pid, number).empty()) return;
  if (processes_.size() >= max_processes && processes_.count(pid) == 0) return;
  DescriptorTable& table = writable_descriptors(processes_[pid]);
  if (path.empty() || (descriptor_count_ >= max_descriptors && table.count(number) == 0)) {
    descriptor_count_ -= table.erase(number);
    return;
  }
  path.resize(std::min(path.size(), max_path_bytes));
  descriptor_count_ += table.count(number) == 0 ? 1 : 0;
  table[number] = {std::move(path), close_on_exec};
}

void PathResolver::apply_start(const Event& event) {
  if ((event.args[0] & CLONE_THREAD) != 0) return;
  auto child = static_cast<std::int32_t>(event.result);
  auto parent = processes_.find(event.pid);
  if (child == event.pid || parent == processes_.end() || processes_.size() >= max_processes)
    return;
  Process copy = parent->second;
  processes_[child] = std::move(copy);
}

void PathResolver::apply_exec(const Event& event) {
  for (const Capture& capture : event.captures)
    if (const std::string_view image = identity_path(capture);
        !image.empty() && processes_.size() < max_processes)
      processes_[event.pid].program = image.substr(0, max_path_bytes);
  auto found = processes_.find(event.pid);
  if (found == processes_.end() || found->second.descriptors == nullptr) return;
  DescriptorTable& table = writable_descriptors(found->second);
  descriptor_count_ -=
      std::erase_if(table, [](const auto& entry) { return entry.second.close_on_exec; });
}

}  // namespace gyges::recorder
