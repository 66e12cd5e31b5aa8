#include "sandbox/recorder/format/resolved_paths.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "sandbox/recorder/format/call_paths.h"
#include "sandbox/recorder/format/structure_text.h"
#include "sandbox/recorder/format/syscall_table.h"

namespace gyges::recorder {
namespace {

constexpr std::uint64_t at_empty_path = 0x1000;
constexpr std::uint64_t tmpfile_bit = 020000000;

std::int32_t as_fd(std::uint64_t value) {
  return static_cast<std::int32_t>(value);
}

const Capture* capture_of(const Event& event, std::size_t argument, CaptureKind kind) {
  for (const Capture& capture : event.captures)
    if (capture.argument == argument && capture.kind == kind &&
        capture.provenance != Provenance::missing)
      return &capture;
  return nullptr;
}

// A relative path made absolute by the directory that it is against.
const Capture* find_base_path(const Event& event, std::size_t argument) {
  const Capture* known = capture_of(event, argument, CaptureKind::absolute_path);
  return known != nullptr && known->provenance == Provenance::exit ? nullptr : known;
}

bool succeeded(const Event& event) {
  return event.has_exit && event.result >= 0 && event.verdict != Verdict::killed;
}

// The open flags of a call that opens; 0 for others.
std::uint64_t open_flags(const Event& event, const CallPaths& call) {
  switch (call.open_flags) {
    case CallPaths::OpenFlags::none:
      return 0;
    case CallPaths::OpenFlags::as_creat:
      return O_CREAT | O_TRUNC | O_WRONLY;
    case CallPaths::OpenFlags::in_argument:
      return event.args[call.open_flags_argument];
    case CallPaths::OpenFlags::in_open_how:
      break;
  }
  const Capture* how = capture_of(event, call.open_flags_argument, CaptureKind::structure_in);
  std::uint64_t flags = 0;
  if (how != nullptr && how->bytes.size() >= sizeof(flags))
    std::memcpy(&flags, how->bytes.data(), sizeof(flags));
  return flags;
}

bool sets_close_on_exec(const Event& event, const CallPaths& call) {
  if ((open_flags(event, call) & O_CLOEXEC) != 0) return true;
  return call.effect == CallPaths::Effect::is_of_fcntl && event.args[1] == F_DUPFD_CLOEXEC;
}

bool makes_close_on_exec(const Event& event, const CallPaths& call) {
  return (event.args[call.close_on_exec_argument % 6U] & call.close_on_exec_bit) != 0 ||
         call.close_on_exec_bit == ~std::uint64_t{0};
}

// "TCP", "UDPv6", "UNIX": of socket(2) and socketpair(2).
std::string_view socket_name(const Event& event) {
  constexpr std::uint64_t type_bits = 0xf;
  const bool stream = (event.args[1] & type_bits) == SOCK_STREAM;
  const bool datagrams = (event.args[1] & type_bits) == SOCK_DGRAM;
  switch (as_fd(event.args[0])) {
    case AF_UNIX:
      return "UNIX";
    case AF_NETLINK:
      return "NETLINK";
    case AF_INET:
      return stream ? "TCP" : datagrams ? "UDP" : "socket";
    case AF_INET6:
      return stream ? "TCPv6" : datagrams ? "UDPv6" : "socket";
    default:
      return "socket";
  }
}

// "192.0.2.7:80"; of one without an address what it is.
std::string peer_name(const Capture& peer) {
  std::string name = sockaddr_short_text(peer.bytes);
  return name.empty() ? "socket" : name;
}

bool empty_path_means_descriptor(const Event& event, const CallPaths& call) {
  return call.at_flags_argument >= 0 &&
         (event.args[static_cast<std::size_t>(call.at_flags_argument)] & at_empty_path) != 0;
}

// Whether the path is relative to the directory that its first argument is a descriptor of.
bool is_below_descriptor(const Event& event, const CallPaths::Step& step) {
  return step.after_dirfd && as_fd(event.args[step.argument - 1U]) != AT_FDCWD;
}

}  // namespace

std::string_view identity_path(const Capture& capture) {
  if (capture.kind != CaptureKind::file_identity || capture.bytes.size() <= sizeof(FileIdentity))
    return {};
  std::string_view path = capture.bytes.substr(sizeof(FileIdentity));
  return path.starts_with('/') ? path : std::string_view{};
}

const PathResolver::Process* PathResolver::find(std::int32_t pid) const {
  if (last_process_ != nullptr && last_pid_ == pid) return last_process_;
  auto found = processes_.find(pid);
  if (found == processes_.end()) return nullptr;
  last_pid_ = pid;
  last_process_ = const_cast<Process*>(&found->second);
  return last_process_;
}

PathResolver::Process& PathResolver::process(std::int32_t pid) {
  if (last_process_ == nullptr || last_pid_ != pid) {
    last_process_ = &processes_[pid];
    last_pid_ = pid;
  }
  return *last_process_;
}

const PathResolver::Shared* PathResolver::shared_of(std::int32_t pid, std::int32_t tid) const {
  if (!own_.empty())
    if (auto own = own_.find(tid); own != own_.end()) return &own->second;
  const Process* found = find(pid);
  return found == nullptr ? nullptr : &found->shared;
}

PathId PathResolver::directory_of(std::int32_t pid, std::int32_t tid) const {
  const Shared* const shared = shared_of(pid, tid);
  return shared == nullptr || shared->directory == nullptr ? no_path : shared->directory->name;
}

Descriptor PathResolver::descriptor_of(std::int32_t pid, std::int32_t tid, std::int32_t fd) const {
  const Shared* const shared = shared_of(pid, tid);
  if (shared == nullptr || shared->files == nullptr || shared->files->table == nullptr) return {};
  const Descriptor* at = shared->files->table->find(fd);
  return at == nullptr ? Descriptor{} : *at;
}

PathId PathResolver::descriptor_path(std::int32_t pid, std::int32_t tid, std::int32_t fd) const {
  const Descriptor found = descriptor_of(pid, tid, fd);
  return found.is_file ? found.name : no_path;
}

std::string_view PathResolver::working_directory(std::int32_t pid, std::int32_t tid) const {
  return names_->text(directory_of(pid, tid));
}

std::string_view PathResolver::descriptor(std::int32_t pid, std::int32_t fd,
                                          std::int32_t tid) const {
  return names_->text(descriptor_of(pid, tid, fd).name);
}

std::string_view PathResolver::program(std::int32_t pid) const {
  if (const Process* found = find(pid); found != nullptr) return names_->text(found->program);
  return ended_.first == pid ? names_->text(ended_.second) : std::string_view{};
}

std::vector<ResolvedPath> PathResolver::paths_of(const Event& event) {
  std::vector<ResolvedPath> paths;
  for (const NamedPath& one : names_of(event))
    paths.push_back({one.argument, std::string(names_->text(one.name)), one.provenance,
                     one.absolute, one.mutation});
  return paths;
}

std::span<const NamedPath> PathResolver::names_of(const Event& event) {
  if (closed_) set_descriptor(closed_->pid, closed_->tid, closed_->fd, {});
  closed_.reset();
  ended_ = {};
  if (names_->bytes() > names_at_most_) forget_unused_names();
  paths_.clear();
  const SyscallSpec* spec =
      event.kind == EventKind::syscall ? find_syscall(event.abi, event.number) : nullptr;
  const CallPaths* call = spec != nullptr ? &call_paths(event.abi, *spec) : nullptr;
  if (call != nullptr && call->nothing() && event.captures.empty()) return paths_;
  if (!event.captures.empty()) learn_directory(event, call);
  name_paths(event, call);
  switch (event.kind) {
    case EventKind::syscall:
      if (call != nullptr) apply_call(event, *call);
      break;
    case EventKind::process_start:
      apply_start(event);
      break;
    case EventKind::process_exec:
      apply_exec(event);
      break;
    case EventKind::process_exit:
      apply_exit(event);
      break;
    default:
      break;
  }
  return paths_;
}

void PathResolver::add_path(std::size_t argument, PathId name, Provenance provenance,
                            bool mutation) {
  for (NamedPath& known : paths_)
    if (known.name == name) {
      // The kernel confirms what the program asked for: one entry, trusted.
      if (provenance == Provenance::kernel) known.provenance = provenance;
      known.mutation = known.mutation || mutation;
      return;
    }
  paths_.push_back(
      {static_cast<std::uint8_t>(argument), provenance, names_->is_absolute(name), mutation, name});
}

void PathResolver::name_paths(const Event& event, const CallPaths* known_call) {
  bool opening = false;
  std::uint8_t dirfds = 0;
  if (known_call != nullptr) {
    const CallPaths& call = *known_call;
    const bool good = succeeded(event);
    dirfds = call.dirfds;
    opening = good && (open_flags(event, call) & (O_CREAT | O_TRUNC | tmpfile_bit)) != 0;
    for (std::size_t s = 0; s < call.step_count; ++s) {
      const CallPaths::Step& step = call.steps[s];
      const std::size_t i = step.argument;
      if (!step.is_path) {
        const Capture* identity = capture_of(event, i, CaptureKind::file_identity);
        std::string_view path = identity != nullptr ? identity_path(*identity) : std::string_view{};
        const PathId name = path.empty()
                                ? descriptor_path(event.pid, event.tid, as_fd(event.args[i]))
                                : names_->id_of(path);
        if (name != no_path)
          add_path(i, name, path.empty() ? Provenance::enter : Provenance::kernel,
                   good && step.mutates);
        continue;
      }
      const bool mutation = good && (step.mutates || opening);
      if (const Capture* known = find_base_path(event, i);
          known != nullptr && known->bytes.starts_with('/')) {
        add_path(i, names_->joined(no_path, names_->id_of(known->bytes)), known->provenance,
                 mutation);
        continue;
      }
      const Capture* given = capture_of(event, i, CaptureKind::path);
      if (given == nullptr) continue;
      PathId directory = no_path;
      if (!is_below_descriptor(event, step)) {
        directory = directory_of(event.pid, event.tid);
      } else {
        const Capture* identity = capture_of(event, i - 1, CaptureKind::file_identity);
        std::string_view path = identity != nullptr ? identity_path(*identity) : std::string_view{};
        directory = path.empty() ? descriptor_path(event.pid, event.tid, as_fd(event.args[i - 1]))
                                 : names_->id_of(path);
      }
      if (!given->bytes.empty())
        add_path(i, names_->joined(directory, names_->id_of(given->bytes)), given->provenance,
                 mutation);
      else if (directory != no_path && empty_path_means_descriptor(event, call))
        add_path(i, directory, given->provenance, mutation);
    }
    // Where names lead, looked up after the call: true as long as nobody changed the links, and so
    // beside what was asked for.
    for (const Capture& capture : event.captures)
      if (capture.kind == CaptureKind::absolute_path && capture.provenance == Provenance::exit &&
          capture.bytes.starts_with('/'))
        add_path(capture.argument, names_->joined(no_path, names_->id_of(capture.bytes)),
                 capture.provenance, good);
  }
  // Objects the kernel named that no argument accounted for: what an open really returned, the
  // image that an exec really loaded.
  for (const Capture& capture : event.captures) {
    std::string_view path = identity_path(capture);
    if (path.empty() || (capture.argument < 8 && (dirfds >> capture.argument & 1U) != 0)) continue;
    add_path(capture.argument, names_->id_of(path), Provenance::kernel,
             opening && capture.argument == result_argument);
  }
}

// A relative path whose absolute form the kernel gave tells the directory it was against.
void PathResolver::learn_directory(const Event& event, const CallPaths* known_call) {
  if (!has_room_for(event.pid)) return;
  if (event.kind == EventKind::process_exec) {
    const Capture* directory = capture_of(event, 0, CaptureKind::absolute_path);
    if (directory != nullptr && directory->bytes.starts_with('/'))
      set_directory(event, names_->id_of(directory->bytes));
    return;
  }
  if (known_call == nullptr) return;
  const CallPaths& call = *known_call;
  if (call.effect == CallPaths::Effect::tells_directory && succeeded(event)) {
    const Capture* path = capture_of(event, 0, CaptureKind::buffer_out);
    if (path != nullptr && path->bytes.starts_with('/') && !path->truncated)
      set_directory(event, names_->id_of(path->bytes.substr(0, path->bytes.find('\0'))));
    return;
  }
  for (std::size_t s = 0; s < call.step_count; ++s) {
    const CallPaths::Step& step = call.steps[s];
    if (!step.is_path || is_below_descriptor(event, step)) continue;
    const Capture* given = capture_of(event, step.argument, CaptureKind::path);
    if (given == nullptr || given->bytes.empty() || given->bytes.starts_with('/') ||
        given->bytes.starts_with('.') || given->bytes.find("..") != std::string_view::npos)
      continue;
    const Capture* known = capture_of(event, step.argument, CaptureKind::absolute_path);
    if (known == nullptr || known->provenance != Provenance::kernel ||
        given->bytes.size() + 1 >= known->bytes.size() || !known->bytes.ends_with(given->bytes))
      continue;
    std::string_view directory = known->bytes.substr(0, known->bytes.size() - given->bytes.size());
    if (directory.starts_with('/') && directory.ends_with('/'))
      set_directory(event, names_->joined(no_path, names_->id_of(directory)));
  }
}

void PathResolver::apply_call(const Event& event, const CallPaths& call) {
  auto path_for = [&](std::uint8_t argument) {
    for (const NamedPath& path : paths_)
      if (path.argument == argument && path.absolute) return path.name;
    return no_path;
  };
  using Effect = CallPaths::Effect;
  if (call.effect == Effect::closes) {  // the descriptor is gone whatever was answered but this
    if (event.has_exit && event.result != -EBADF && event.verdict == Verdict::allowed)
      closed_ = {event.pid, event.tid, as_fd(event.args[0])};
    return;
  }
  if (call.effect == Effect::connects && event.has_exit &&
      (event.result >= 0 || event.result == -EINPROGRESS))
    return name_connected(event);
  if (!succeeded(event)) return;
  switch (call.effect) {
    case Effect::enters_directory:
      if (const PathId path = path_for(0); path != no_path) set_directory(event, path);
      break;
    case Effect::duplicates: {
      Descriptor copy = descriptor_of(event.pid, event.tid, as_fd(event.args[0]));
      copy.close_on_exec = sets_close_on_exec(event, call);
      set_descriptor(event.pid, event.tid, event.result, copy);
      break;
    }
    case Effect::is_of_fcntl:
      apply_fcntl(event, call);
      break;
    case Effect::returns_descriptor: {
      PathId path = path_for(result_argument);
      for (std::size_t s = 0; path == no_path && s < call.step_count; ++s)
        if (call.steps[s].is_path) path = path_for(call.steps[s].argument);
      if (path != no_path)
        set_descriptor(event.pid, event.tid, event.result,
                       {path, sets_close_on_exec(event, call), true});
      else
        set_descriptor(event.pid, event.tid, event.result,
                       {object_made(event, call), makes_close_on_exec(event, call), false});
      break;
    }
    case Effect::receives_descriptors:
      receive_descriptors(event);
      break;
    case Effect::unshares:
      unshare(event, event.args[0]);
      break;
    case Effect::closes_range:
      close_descriptors(event);
      break;
    case Effect::makes_pipe:
      name_pair(event, call, 0);
      break;
    case Effect::makes_socket_pair:
      name_pair(event, call, 3);
      break;
    case Effect::none:
    case Effect::connects:
    case Effect::tells_directory:
    case Effect::closes:
      break;
  }
}

void PathResolver::apply_fcntl(const Event& event, const CallPaths& call) {
  const std::int32_t fd = as_fd(event.args[0]);
  Descriptor known = descriptor_of(event.pid, event.tid, fd);
  if (event.args[1] == F_DUPFD || event.args[1] == F_DUPFD_CLOEXEC) {
    known.close_on_exec = sets_close_on_exec(event, call);
    set_descriptor(event.pid, event.tid, event.result, known);
  } else if (event.args[1] == F_SETFD && known.name != no_path) {
    known.close_on_exec = (event.args[2] & FD_CLOEXEC) != 0;
    set_descriptor(event.pid, event.tid, fd, known);
  }
}

// What a descriptor stands for that is no file.
PathId PathResolver::object_made(const Event& event, const CallPaths& call) const {
  if (!call.object.empty()) return names_->id_of(call.object);
  if (const Capture* peer = capture_of(event, result_argument, CaptureKind::socket_peer))
    return names_->id_of(peer_name(*peer));
  const SyscallSpec* const spec = find_syscall(event.abi, event.number);
  if (spec == nullptr) return no_path;
  if (spec->name == "socket" || spec->name == "socketpair")
    return names_->id_of(socket_name(event));
  if (spec->name != "memfd_create") return no_path;
  const Capture* const name = capture_of(event, 0, CaptureKind::text);
  return name == nullptr ? no_path : names_->id_of("memfd:" + std::string(name->bytes));
}

// A socket has the name of its peer, as far as that is known; what it was closed to exec, it stays.
void PathResolver::name_connected(const Event& event) {
  const Capture* peer = capture_of(event, 0, CaptureKind::socket_peer);
  if (peer == nullptr) peer = capture_of(event, 1, CaptureKind::sockaddr_in);
  Descriptor socket = descriptor_of(event.pid, event.tid, as_fd(event.args[0]));
  if (peer == nullptr || socket.name == no_path) return;
  socket.name = names_->id_of(peer_name(*peer));
  set_descriptor(event.pid, event.tid, as_fd(event.args[0]), socket);
}

// The two descriptors that the call made.
void PathResolver::name_pair(const Event& event, const CallPaths& call, std::size_t argument) {
  const Capture* const made = capture_of(event, argument, CaptureKind::structure_out);
  std::int32_t pair[2] = {-1, -1};
  if (made != nullptr && made->bytes.size() >= sizeof(pair))
    std::memcpy(pair, made->bytes.data(), sizeof(pair));
  const Descriptor made_of{object_made(event, call), makes_close_on_exec(event, call), false};
  for (const std::int32_t fd : pair) set_descriptor(event.pid, event.tid, fd, made_of);
}

// Those that came with messages: the kernel said which file each stands for.
void PathResolver::receive_descriptors(const Event& event) {
  const SyscallSpec* const spec = find_syscall(event.abi, event.number);
  const std::size_t flags = spec != nullptr && spec->name == "recvmsg" ? 2 : 3;
  const bool close_on_exec = (event.args[flags] & MSG_CMSG_CLOEXEC) != 0;
  for (const Capture& capture : event.captures) {
    if (capture.kind != CaptureKind::file_identity || capture.bytes.size() < sizeof(FileIdentity))
      continue;
    FileIdentity file{};
    std::memcpy(&file, capture.bytes.data(), sizeof(file));
    if (file.descriptor == 0) continue;
    const std::string_view path = identity_path(capture);
    set_descriptor(event.pid, event.tid, std::int64_t{file.descriptor} - 1,
                   {path.empty() ? no_path : names_->id_of(path), close_on_exec, true});
  }
}

// Agents choose names, and a trace may hold any number of them. What processes and their
// descriptors stand for is all that later events can ask for.
void PathResolver::forget_unused_names() {
  std::unordered_map<PathId, std::string> used;
  std::set<DescriptorTable*> tables;
  std::set<Directory*> directories;
  auto note = [&](PathId name) {
    if (name != no_path) used.try_emplace(name, names_->text(name));
  };
  auto hold = [&](const Shared& shared) {
    if (shared.directory != nullptr) directories.insert(shared.directory.get());
    if (shared.files != nullptr && shared.files->table != nullptr)
      tables.insert(shared.files->table.get());
  };
  for (const auto& [pid, process] : processes_) hold(process.shared);
  for (const auto& [tid, shared] : own_) hold(shared);
  auto each_name = [&](auto&& visit) {
    for (auto& [pid, process] : processes_) visit(process.program);
    for (Directory* directory : directories) visit(directory->name);
    for (DescriptorTable* table : tables) table->each_name(visit);
  };
  each_name(note);
  names_->clear();
  each_name([&](PathId& name) {
    if (name != no_path) name = names_->id_of(used.at(name));
  });
  names_at_most_ = std::max(names_at_most_, 2 * names_->bytes());
}

}  // namespace gyges::recorder
