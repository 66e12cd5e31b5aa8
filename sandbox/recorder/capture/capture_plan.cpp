#include "sandbox/recorder/capture/capture_plan.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/recorder/format/argument_choices.h"

namespace gyges::recorder {
namespace {

constexpr std::uint8_t kind(CaptureKind value) {
  return static_cast<std::uint8_t>(value);
}

// The most bytes that one capture of this argument takes in a record.
std::size_t room_of(const wire::plan_argument& argument) {
  std::size_t bytes = sizeof(wire::capture_head) + 4;
  switch (argument.operation) {
    case wire::plan_string:
      return bytes + argument.unit;
    case wire::plan_sockaddr:
      return bytes + wire::sockaddr_limit;
    case wire::plan_strings:
      return bytes + argument.unit + wire::string_limit;
    case wire::plan_iovec:
      return bytes + 256;
    case wire::plan_msghdr:
      return (argument.several != 0 ? std::size_t{wire::messages} : 1) *
             (3 * bytes + wire::sockaddr_limit + wire::structure_limit + 256);
    default:
      return bytes + wire::structure_limit;
  }
}

constexpr std::size_t walk_room = sizeof(wire::capture_head) + wire::walk_budget + 256 + 4;

std::uint8_t length_of(LengthSource source) {
  switch (source) {
    case LengthSource::argument:
      return wire::plan_length_argument;
    case LengthSource::result:
      return wire::plan_length_result;
    case LengthSource::pointed:
      return wire::plan_length_pointed;
    case LengthSource::ioctl:
      return wire::plan_length_ioctl;
    case LengthSource::after_argument:
      return wire::plan_length_after_argument;
    case LengthSource::after_result:
      return wire::plan_length_after_result;
    default:
      return wire::plan_length_fixed;
  }
}

wire::plan_argument plan_argument_for(const ArgumentSpec& spec) {
  wire::plan_argument argument{};
  argument.length = length_of(spec.length);
  argument.length_argument = spec.length_argument;
  argument.unit = std::max<std::uint16_t>(spec.fixed_length, 1);
  const auto set = [&](wire::plan_operation operation, CaptureKind in, CaptureKind out) {
    argument.operation = static_cast<std::uint8_t>(operation);
    argument.kind_in = kind(in);
    argument.kind_out = kind(out);
  };
  switch (spec.kind) {
    case ArgumentKind::path:
      set(wire::plan_string, CaptureKind::path, CaptureKind::path);
      argument.unit = wire::string_limit;
      break;
    case ArgumentKind::text:
      set(wire::plan_string, CaptureKind::text, CaptureKind::text);
      argument.unit = wire::text_limit;
      break;
    case ArgumentKind::buffer:
      set(wire::plan_bytes, CaptureKind::buffer_in, CaptureKind::buffer_out);
      break;
    case ArgumentKind::structure:
      set(wire::plan_bytes, CaptureKind::structure_in, CaptureKind::structure_out);
      argument.several = 1;  // not contents: recorded up to structure_limit in any case
      break;
    case ArgumentKind::sockaddr:
      set(wire::plan_sockaddr, CaptureKind::sockaddr_in, CaptureKind::sockaddr_out);
      break;
    case ArgumentKind::iovec:
      set(wire::plan_iovec, CaptureKind::iovec_in, CaptureKind::iovec_out);
      break;
    case ArgumentKind::msghdr:
    case ArgumentKind::mmsghdr:
      set(wire::plan_msghdr, CaptureKind::iovec_in, CaptureKind::iovec_out);
      argument.several = spec.kind == ArgumentKind::mmsghdr ? 1 : 0;
      break;
    case ArgumentKind::argv:
      set(wire::plan_strings, CaptureKind::argv, CaptureKind::argv);
      argument.unit = wire::argv_budget;
      break;
    case ArgumentKind::envp:
      set(wire::plan_strings, CaptureKind::envp, CaptureKind::envp);
      argument.unit = wire::envp_budget;
      break;
    default:
      break;  // scalars and opaque pointers
  }
  if (spec.direction == Direction::out) argument.kind_in = 0;
  if (spec.direction == Direction::in) argument.kind_out = 0;
  return argument;
}

// The number of a choice on both sides: from 1 on, those of i386 after those of x86-64.
std::size_t choice_number(Abi abi, std::size_t index) {
  return index + 1 + (abi == Abi::i386 ? argument_choices(Abi::x86_64).size() : 0);
}

struct Room {
  std::size_t enter = 0;
  std::size_t exit = 0;

  void cover(const wire::plan_argument& argument) {
    if (argument.operation == wire::plan_none) return;
    if (argument.kind_in != 0) enter = std::max(enter, room_of(argument));
    if (argument.kind_out != 0) exit = std::max(exit, room_of(argument));
  }
};

// Calls whose result is the number of bytes that went through their first argument, a descriptor.
bool moves_contents(std::string_view name) {
  static constexpr std::string_view names[] = {
      "read",    "write",   "pread64",  "pwrite64", "readv",    "writev",  "preadv",
      "pwritev", "preadv2", "pwritev2", "sendto",   "recvfrom", "sendmsg", "recvmsg"};
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// Calls that as a rule wait for nobody: their entry and exit become one record, written at the
// exit. Of all others the entry is in the ring while they wait. Exceptions are close, dup2 and dup3
// of a socket with SO_LINGER, and fstat, getdents64, close and munmap of a file of FUSE or NFS,
// which may wait for a peer or a server. They return before their task ends, even one that is
// killed, so only a session that is closed while they wait is without them. Close as two records
// made the mean of open, read and close up to 4 % dearer, which is at the edge of its target.
bool is_answered_at_once(std::string_view name) {
  static constexpr std::string_view names =
      " brk clock_getres clock_gettime close dup dup2 dup3 epoll_create epoll_create1 eventfd "
      "eventfd2 fadvise64 fstat fstat64 fstatfs getcpu getcwd getdents getdents64 getegid "
      "getegid32 geteuid geteuid32 getgid getgid32 getgroups getpgid getpgrp getpid getppid "
      "getpriority getresgid getresuid getrlimit getrusage getsid gettid gettimeofday getuid "
      "getuid32 lseek madvise mincore mmap mmap2 mprotect mremap munmap pipe pipe2 rseq "
      "rt_sigpending sched_getaffinity sched_getscheduler sched_yield set_robust_list "
      "set_tid_address socket socketpair sysinfo time times umask uname ";
  return names.find(" " + std::string(name) + " ") != std::string_view::npos;
}

}  // namespace

wire::plan plan_for(Abi abi, const SyscallSpec& spec) {
  wire::plan plan{};
  std::size_t enter = sizeof(wire::denied_record);
  std::size_t exit = sizeof(wire::exit_record);
  bool mutates = false;
  std::fill(std::begin(plan.dirfd), std::end(plan.dirfd), std::uint8_t{255});
  for (std::size_t i = 0; i < spec.argument_count; ++i) {
    const ArgumentSpec& argument = spec.arguments[i];
    plan.arguments[i] = plan_argument_for(argument);
    if (argument.kind == ArgumentKind::path) {
      plan.base_mask |= static_cast<std::uint8_t>(1U << i);
      mutates = mutates || argument.mutates;
      if (i > 0 && spec.arguments[i - 1].kind == ArgumentKind::dirfd)
        plan.dirfd[i] = static_cast<std::uint8_t>(i - 1);
    }
    Room room;
    room.cover(plan.arguments[i]);
    if (argument.choice != 0) {
      const ArgumentChoice& choice = argument_choices(abi)[argument.choice - 1U];
      for (const auto& [value, kind] : choice.kinds) room.cover(plan_argument_for(kind));
      if (room.enter + room.exit > 0)
        plan.choice[i] = static_cast<std::uint8_t>(choice_number(abi, argument.choice - 1U));
    }
    if (room.enter > 0) plan.enter_mask |= static_cast<std::uint8_t>(1U << i);
    if (room.exit > 0) plan.exit_mask |= static_cast<std::uint8_t>(1U << i);
    enter += room.enter;
    exit += room.enter + room.exit;  // the retry, too
  }
  const bool executes = spec.name == "execve" || spec.name == "execveat";
  // What the descriptor that they return stands for, no argument tells.
  const bool finds = spec.name == "open_by_handle_at" || spec.name == "pidfd_getfd";
  const bool opens = spec.returns_fd() && (plan.base_mask != 0 || finds);
  if (opens) {
    plan.flags |= wire::plan_returns_file | wire::plan_base_failed;
    exit += sizeof(wire::capture_head) + sizeof(FileIdentity) + walk_room;
  } else if (mutates || executes || spec.name == "link" || spec.name == "linkat") {
    plan.flags |= wire::plan_base_always;
    enter += walk_room * static_cast<std::size_t>(__builtin_popcount(plan.base_mask));
  } else if (spec.name == "chdir") {
    plan.flags |= wire::plan_new_directory | wire::plan_base_failed;
    exit += walk_room;
  } else {
    plan.base_mask = 0;
  }
  if (executes) plan.flags |= wire::plan_replaces_image;
  if (spec.name == "connect") {
    // The socket too: what the network's record knows of it is its inode.
    plan.flags |= wire::plan_socket_peer | wire::plan_identify_fd;
    enter += sizeof(wire::capture_head) + sizeof(FileIdentity) + walk_room;
  }
  if (spec.name == "accept" || spec.name == "accept4") plan.flags |= wire::plan_peer_of_result;
  exit += sizeof(wire::capture_head) + wire::sockaddr_limit;
  // Calls that change or enter what a descriptor names, except those that only move its contents:
  // write(2) is too frequent, and its descriptor is known from the call that opened it.
  const ArgumentSpec& first = spec.arguments[0];
  if (first.kind == ArgumentKind::fd && spec.is(SyscallClass::file) &&
      (first.mutates || spec.name == "fchdir") && spec.name != "copy_file_range") {
    plan.flags |= wire::plan_identify_fd;
    enter += sizeof(wire::capture_head) + sizeof(FileIdentity) + walk_room;
  }
  // What read, write, send and their kin move through their first argument.
  for (std::size_t i = 1; i < spec.argument_count && first.kind == ArgumentKind::fd; ++i) {
    const std::uint8_t operation = plan.arguments[i].operation;
    const bool moves = operation == wire::plan_bytes || operation == wire::plan_iovec ||
                       operation == wire::plan_msghdr;
    if (moves && plan.content == 0 && moves_contents(spec.name))
      plan.content = static_cast<std::uint8_t>(i + 1);
  }
  // Messages bring files, each with its name.
  if (spec.name.starts_with("recvm")) exit = wire::record_limit;
  plan.enter_work =
      plan.enter_mask != 0 || (plan.flags & (wire::plan_base_always | wire::plan_identify_fd)) != 0
          ? 1
          : 0;
  if (plan.enter_work == 0 && is_answered_at_once(spec.name)) {
    plan.call_bytes = static_cast<std::uint8_t>(offsetof(wire::call_record, args) +
                                                spec.argument_count * sizeof(std::uint64_t));
    exit += sizeof(wire::call_record) - sizeof(wire::exit_record);
  }
  plan.enter_room = static_cast<std::uint16_t>(std::min<std::size_t>(enter, wire::record_limit));
  plan.exit_room = static_cast<std::uint16_t>(std::min<std::size_t>(exit, wire::record_limit));
  return plan;
}

const CapturePlans& capture_plans() {
  static const CapturePlans plans = [] {
    CapturePlans made{};
    for (const SyscallSpec& spec : syscalls(Abi::x86_64))
      if (spec.number < wire::plan_numbers) made[spec.number] = plan_for(Abi::x86_64, spec);
    for (const SyscallSpec& spec : syscalls(Abi::i386))
      if (spec.number < wire::plan_numbers)
        made[wire::plan_numbers + spec.number] = plan_for(Abi::i386, spec);
    return made;
  }();
  return plans;
}

const wire::plan_argument* CaptureCases::find(std::uint32_t choice, std::uint64_t value) const {
  const std::uint32_t wanted = static_cast<std::uint32_t>(value) & masks[choice];
  const std::size_t first =
      std::size_t{wire::case_bucket(choice, wanted, multiplier)} * wire::bucket_cases;
  for (std::size_t i = first; i < first + wire::bucket_cases; ++i)
    if (cases[i].choice == choice && cases[i].value == wanted) return &cases[i].argument;
  return nullptr;
}

const CaptureCases& capture_cases() {
  static const CaptureCases made = [] {
    std::vector<wire::plan_case> all;
    CaptureCases table;
    for (const Abi abi : {Abi::x86_64, Abi::i386}) {
      const auto choices = argument_choices(abi);
      for (std::size_t i = 0; i < choices.size(); ++i) {
        const std::size_t number = choice_number(abi, i);
        table.masks[number] = choices[i].mask;
        for (const auto& [value, kind] : choices[i].kinds)
          all.push_back({value, static_cast<std::uint32_t>(number), plan_argument_for(kind)});
      }
    }
    // Odd multipliers are tried until no bucket overflows: a few, with a bucket half full.
    for (table.multiplier = 0x9E3779B97F4A7C15U;; table.multiplier += 0x2545F4914F6CDD1EU) {
      table.cases = {};
      const bool fits = std::all_of(all.begin(), all.end(), [&](const wire::plan_case& one) {
        wire::plan_case* const bucket =
            &table.cases[std::size_t{wire::case_bucket(one.choice, one.value, table.multiplier)} *
                         wire::bucket_cases];
        wire::plan_case* const place =
            std::find_if(bucket, bucket + wire::bucket_cases,
                         [](const wire::plan_case& known) { return known.choice == 0; });
        if (place != bucket + wire::bucket_cases) *place = one;
        return place != bucket + wire::bucket_cases;
      });
      if (fits) return table;
    }
  }();
  return made;
}

const wire::plan* capture_plan(Abi abi, std::uint32_t number) {
  if (abi == Abi::x32) number &= ~x32_bit;
  if (number >= wire::plan_numbers) return nullptr;
  return &capture_plans()[number + (abi == Abi::i386 ? wire::plan_numbers : 0)];
}

}  // namespace gyges::recorder
