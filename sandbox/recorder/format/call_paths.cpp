#include "sandbox/recorder/format/call_paths.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <vector>

namespace gyges::recorder {
namespace {

CallPaths::Effect effect_of(const SyscallSpec& spec) {
  using Effect = CallPaths::Effect;
  if (spec.name == "chdir" || spec.name == "fchdir") return Effect::enters_directory;
  if (spec.name == "getcwd") return Effect::tells_directory;
  if (spec.name == "close") return Effect::closes;
  if (spec.name == "dup" || spec.name == "dup2" || spec.name == "dup3") return Effect::duplicates;
  if (spec.name.starts_with("fcntl")) return Effect::is_of_fcntl;
  if (spec.name.starts_with("recvm")) return Effect::receives_descriptors;
  if (spec.name == "unshare") return Effect::unshares;
  if (spec.name == "close_range") return Effect::closes_range;
  if (spec.name == "connect") return Effect::connects;
  if (spec.name == "pipe" || spec.name == "pipe2") return Effect::makes_pipe;
  if (spec.name == "socketpair") return Effect::makes_socket_pair;
  return spec.returns_fd() ? Effect::returns_descriptor : Effect::none;
}

// Calls that make something which has no name among files. The words are the kernel's, as in
// /proc/PID/fd.
struct Maker {
  std::string_view call;
  std::string_view object;
  std::uint64_t close_on_exec_bit;
  std::uint8_t close_on_exec_argument;
};
constexpr std::uint64_t always = ~std::uint64_t{0};
constexpr Maker makers[] = {
    {"accept", "", 0, 0},
    {"accept4", "", O_CLOEXEC, 3},
    {"epoll_create", "anon_inode:[eventpoll]", 0, 0},
    {"epoll_create1", "anon_inode:[eventpoll]", O_CLOEXEC, 0},
    {"eventfd", "anon_inode:[eventfd]", 0, 0},
    {"eventfd2", "anon_inode:[eventfd]", O_CLOEXEC, 1},
    {"inotify_init", "anon_inode:inotify", 0, 0},
    {"inotify_init1", "anon_inode:inotify", O_CLOEXEC, 0},
    {"io_uring_setup", "anon_inode:[io_uring]", always, 0},
    {"memfd_create", "", MFD_CLOEXEC, 1},
    {"perf_event_open", "anon_inode:[perf_event]", 8, 4},
    {"pidfd_open", "anon_inode:[pidfd]", always, 0},
    {"pipe", "pipe", 0, 0},
    {"pipe2", "pipe", O_CLOEXEC, 1},
    {"signalfd", "anon_inode:[signalfd]", 0, 0},
    {"signalfd4", "anon_inode:[signalfd]", O_CLOEXEC, 3},
    {"socket", "", O_CLOEXEC, 1},
    {"socketpair", "", O_CLOEXEC, 1},
    {"timerfd_create", "anon_inode:[timerfd]", O_CLOEXEC, 1},
    {"userfaultfd", "anon_inode:[userfaultfd]", O_CLOEXEC, 0},
};

CallPaths worked_out_paths(const SyscallSpec& spec) {
  CallPaths made;
  for (std::uint8_t i = 0; i < spec.argument_count; ++i) {
    const ArgumentSpec& argument = spec.arguments[i];
    const bool after_dirfd = i > 0 && spec.arguments[i - 1].kind == ArgumentKind::dirfd;
    if (argument.kind == ArgumentKind::dirfd) made.dirfds |= static_cast<std::uint8_t>(1U << i);
    if (argument.kind == ArgumentKind::fd || argument.kind == ArgumentKind::path) {
      const bool is_path = argument.kind == ArgumentKind::path;
      made.steps[made.step_count++] = {i, is_path, is_path && after_dirfd, argument.mutates};
    }
    if (made.open_flags == CallPaths::OpenFlags::none) {
      made.open_flags_argument = i;
      if (argument.kind == ArgumentKind::flags && argument.set == "open")
        made.open_flags = CallPaths::OpenFlags::in_argument;
      else if (argument.set == "open_how")
        made.open_flags = CallPaths::OpenFlags::in_open_how;
    }
    if (made.at_flags_argument < 0 &&
        (argument.set == "at" || argument.set == "open_tree" || argument.set == "faccessat"))
      made.at_flags_argument = static_cast<std::int8_t>(i);
  }
  if (spec.name == "creat") made.open_flags = CallPaths::OpenFlags::as_creat;
  made.effect = effect_of(spec);
  for (const Maker& maker : makers)
    if (maker.call == spec.name) {
      made.object = maker.object;
      made.close_on_exec_bit = maker.close_on_exec_bit;
      made.close_on_exec_argument = maker.close_on_exec_argument;
    }
  return made;
}

std::vector<CallPaths> paths_of_abi(Abi abi) {
  std::vector<CallPaths> all;
  for (const SyscallSpec& spec : syscalls(abi)) all.push_back(worked_out_paths(spec));
  return all;
}

}  // namespace

const CallPaths& call_paths(Abi abi, const SyscallSpec& spec) {
  static const std::array<std::vector<CallPaths>, 2> tables = {paths_of_abi(Abi::x86_64),
                                                               paths_of_abi(Abi::i386)};
  // x32 shares the table of x86-64.
  const Abi table = abi == Abi::i386 ? Abi::i386 : Abi::x86_64;
  return tables[table == Abi::i386 ? 1 : 0]
               [static_cast<std::size_t>(&spec - syscalls(table).data())];
}

}  // namespace gyges::recorder
