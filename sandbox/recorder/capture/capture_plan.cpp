#include "sandbox/recorder/capture/capture_plan.h"

#include <algorithm>
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
      return 2 * bytes + wire::sockaddr_limit + 256;
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
    default:
      return wire::plan_length_fixed;
  }
}

// Numbers of an ABI's choices, so that the sizes of both fit into one table.
constexpr std::uint32_t choice_number(Abi abi, std::size_t choice) {
  // From 1 on, as a key of 0 is none.
  return static_cast<std::uint32_t>(choice + 1 + (abi == Abi::i386 ? wire::plan_choices / 2 : 0));
}

constexpr std::uint16_t direction_bits(Direction direction) {
  return direction == Direction::in ? 1 : direction == Direction::out ? 2 : 3;
}

// Of the kinds that a choice has, what is copied when.
std::uint16_t directions_of(const ArgumentChoice& choice) {
  std::uint16_t bits = 0;
  for (const auto& [value, kind] : choice.kinds)
    if (kind.kind == ArgumentKind::structure) bits |= direction_bits(kind.direction);
  return bits;
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
  return argument;
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
    std::uint16_t directions = direction_bits(argument.direction);
    if (argument.choice != 0) {
      const std::uint16_t chosen = directions_of(argument_choices(abi)[argument.choice - 1U]);
      if (plan.arguments[i].operation == wire::plan_none && chosen != 0) {
        plan.arguments[i].operation = wire::plan_bytes;
        plan.arguments[i].kind_in = kind(CaptureKind::structure_in);
        plan.arguments[i].kind_out = kind(CaptureKind::structure_out);
        plan.arguments[i].length = wire::plan_length_choice;
        directions = chosen;
      }
      plan.arguments[i].unit = static_cast<std::uint16_t>(choice_number(abi, argument.choice - 1U));
    }
    if (argument.kind == ArgumentKind::path) {
      plan.base_mask |= static_cast<std::uint8_t>(1U << i);
      mutates = mutates || argument.mutates;
      if (i > 0 && spec.arguments[i - 1].kind == ArgumentKind::dirfd)
        plan.dirfd[i] = static_cast<std::uint8_t>(i - 1);
    }
    if (plan.arguments[i].operation == wire::plan_none) continue;
    const std::size_t room = room_of(plan.arguments[i]);
    if ((directions & 1U) != 0) {
      plan.enter_mask |= static_cast<std::uint8_t>(1U << i);
      enter += room;
      exit += room;  // the retry
    }
    if ((directions & 2U) != 0) {
      plan.exit_mask |= static_cast<std::uint8_t>(1U << i);
      exit += room;
    }
  }
  const bool executes = spec.name == "execve" || spec.name == "execveat";
  const bool opens = spec.returns_fd() && plan.base_mask != 0;
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
  if (spec.name == "connect") plan.flags |= wire::plan_socket_peer;
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
  plan.enter_work =
      plan.enter_mask != 0 || (plan.flags & (wire::plan_base_always | wire::plan_identify_fd)) != 0
          ? 1
          : 0;
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

const wire::plan_case* CaptureCases::find(std::uint32_t choice, std::uint64_t value) const {
  const std::uint64_t key =
      wire::case_key(choice, value & masks[choice % static_cast<std::uint32_t>(masks.size())]);
  const wire::plan_case& found = slots[wire::case_slot(key, multiplier)];
  return found.key == key ? &found : nullptr;
}

const CaptureCases& capture_cases() {
  static const CaptureCases cases = [] {
    std::vector<wire::plan_case> all;
    CaptureCases made;
    for (Abi abi : {Abi::x86_64, Abi::i386}) {
      const auto choices = argument_choices(abi);
      for (std::size_t i = 0; i < choices.size(); ++i) {
        const std::uint32_t number = choice_number(abi, i);
        made.masks[number % wire::plan_choices] = choices[i].mask;
        for (const auto& [value, kind] : choices[i].kinds) {
          if (kind.kind != ArgumentKind::structure) continue;
          wire::plan_case one{};
          one.key = wire::case_key(number, value);
          one.bytes = kind.fixed_length;
          one.direction = direction_bits(kind.direction);
          all.push_back(one);
        }
      }
    }
    // Odd multipliers are tried until no two keys share a slot.
    for (made.multiplier = 0x9E3779B97F4A7C15U;; made.multiplier += 0x2545F4914F6CDD1EU) {
      made.slots = {};
      const bool free = std::all_of(all.begin(), all.end(), [&](const wire::plan_case& one) {
        wire::plan_case& slot = made.slots[wire::case_slot(one.key, made.multiplier)];
        const bool was_free = slot.key == 0;
        slot = one;
        return was_free;
      });
      if (free) return made;
    }
  }();
  return cases;
}

const wire::plan* capture_plan(Abi abi, std::uint32_t number) {
  if (abi == Abi::x32) number &= ~x32_bit;
  if (number >= wire::plan_numbers) return nullptr;
  return &capture_plans()[number + (abi == Abi::i386 ? wire::plan_numbers : 0)];
}

}  // namespace gyges::recorder
