// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// What the arguments of a call point to, and what the kernel knows about files,
// copied behind the fixed part of a record by the call's plan.
#pragma once

#include "kernel_objects.h"

__noinline int put_missing(struct room* room, struct scratch* scratch, u32 tag) {
  if (!room || !scratch) return 0;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, 0, 0, 0);
  advance(scratch, 0);
  return 0;
}

// Whether a string that filled its room was cut: not if its own NUL is at the room's end.
static __always_inline int was_cut(u64 address, u64 room) {
  u8 last = 0;
  return bpf_probe_read_user(&last, sizeof(last), (void*)(address + room - 1)) || last;
}

__noinline int put_string(struct room* room, struct scratch* scratch, u32 tag, u64 address,
                          u32 limit) {
  if (!room || !scratch) return 0;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - string_limit);
  if (!at) return 0;
  u64 most = limit;
  barrier_var(most);  // or a compiler compares one copy and hands over another (clang 18)
  if (most > string_limit) most = string_limit;
  if (most == 0) return 0;
  long length = bpf_probe_read_user_str(at + sizeof(struct capture_head), most, (void*)address);
  scratch->fault = address;
  if (length <= 0) return 1;
  u32 bytes = (u32)length - 1;
  u32 flags = length == (s64)most && was_cut(address, most) ? capture_truncated : 0;
  put_head((struct capture_head*)at, tag, flags, bytes, bytes);
  advance(scratch, bytes);
  return 0;
}

enum { page_bytes = 4096 };

__noinline int put_bytes(struct room* room, struct scratch* scratch, u64 tag_and_limit, u64 address,
                         u64 length) {
  u32 tag = tag_and_limit, limit = tag_and_limit >> 32;
  if (!room || !scratch) return 0;
  u8* at =
      room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - structure_limit);
  if (!at) return 0;
  u64 bytes = length;
  if (bytes > limit) bytes = limit;
  if (bytes > structure_limit) bytes = structure_limit;
  scratch->fault = address;
  if (bytes && bpf_probe_read_user(at + sizeof(struct capture_head), bytes, (void*)address)) {
    u64 inside = page_bytes - (address & (page_bytes - 1));
    if (!scratch->partial || inside >= bytes || inside > structure_limit) return 1;
    bytes = inside;
    if (bpf_probe_read_user(at + sizeof(struct capture_head), bytes, (void*)address)) return 1;
  }
  put_head((struct capture_head*)at, tag, bytes < length ? capture_truncated : 0, bytes,
           length > 0xffffffff ? 0xffffffff : length);
  advance(scratch, bytes);
  return 0;
}

// Strings one after the other, as the kernel laid them out for a new image.
__noinline int put_laid_out(struct room* room, struct scratch* scratch, u32 tag, u64 address,
                            u64 length) {
  if (!room || !scratch) return 0;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - argv_budget);
  if (!at) return 0;
  u64 bytes = length;
  u64 limit = (tag >> 8 & 0xff) == kind_envp ? envp_budget : argv_budget;
  if (bytes > limit) bytes = limit;
  if (bytes > argv_budget) bytes = argv_budget;
  if (bytes && bpf_probe_read_user(at + sizeof(struct capture_head), bytes, (void*)address))
    return 1;
  put_head((struct capture_head*)at, tag, bytes < length ? capture_truncated : 0, bytes,
           length > 0xffffffff ? 0xffffffff : length);
  advance(scratch, bytes);
  return 0;
}

struct strings {
  struct room* room;
  struct scratch* scratch;
  u64 address;
  u32 budget;
  u32 failed;
  u32 cut;  // a string was
};

// bpf_loop and not `for`: the verifier follows the body once, not 257 times. The last time is for
// the end of a list that has as many strings as are looked at.
static long put_next_string(u32 i, void* data) {
  struct strings* strings = data;
  struct room* room = strings->room;
  struct scratch* scratch = strings->scratch;
  u8* at = room_at(room, scratch->fill,
                   record_limit - sizeof(struct capture_head) - argv_budget - string_limit);
  if (!at) return 1;
  u64 string = 0, offset = scratch->used;
  scratch->fault = strings->address;
  strings->failed = bpf_probe_read_user(&string, sizeof(string), (void*)strings->address) != 0;
  if (strings->failed) return 1;
  if (!string) {
    scratch->flags = strings->cut ? capture_truncated : 0;
    return 1;
  }
  if (i == argv_strings) return 1;
  strings->address += sizeof(string);
  barrier_var(offset);
  if (offset >= strings->budget || offset >= argv_budget) return 1;
  scratch->fault = string;
  long length = bpf_probe_read_user_str(at + sizeof(struct capture_head) + offset, string_limit,
                                        (void*)string);
  strings->failed = length < 0;
  if (length < 0) return 1;
  if (length == string_limit && was_cut(string, string_limit)) strings->cut = 1;
  scratch->used += length;
  return 0;
}

__noinline int put_strings(struct room* room, struct scratch* scratch, u32 tag, u64 address,
                           u32 budget) {
  if (!room || !scratch) return 0;
  struct strings strings = {.room = room, .scratch = scratch, .address = address, .budget = budget};
  scratch->used = 0;
  scratch->flags = capture_truncated;
  bpf_loop(argv_strings + 1, put_next_string, &strings, 0);
  if (strings.failed) return 1;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, scratch->flags, scratch->used, scratch->used);
  advance(scratch, scratch->used);
  return 0;
}

// The first bytes of what an iovec gathers or scatters, at most `length` bytes
// of it.
__noinline int put_iovec(struct room* room, struct scratch* scratch, u32 tag, u64 address,
                         u64 elements) {
  if (!room || !scratch) return 0;
  u8* at = room_at(room, scratch->fill,
                   record_limit - sizeof(struct capture_head) - 2 * structure_limit);
  if (!at) return 0;
  u64 total = 0, length = scratch->length, limit = scratch->buffer_bytes;
  u64* vector = scratch->vector;
  if (limit > length) limit = length;
  scratch->used = 0;
  for (u32 i = 0; i < iovec_elements; i++) {
    if (i >= elements) break;
    scratch->fault = address + 16 * i;
    if (bpf_probe_read_user(vector, sizeof(scratch->vector), (void*)(address + 16 * i))) return 1;
    total += vector[1];
    u64 offset = scratch->used, bytes = vector[1];
    barrier_var(offset);
    if (offset >= limit || offset > 255) continue;
    if (bytes > limit - offset) bytes = limit - offset;
    barrier_var(bytes);
    if (bytes > 255) bytes = 255;
    scratch->fault = vector[0];
    if (bytes &&
        bpf_probe_read_user(at + sizeof(struct capture_head) + offset, bytes, (void*)vector[0]))
      return 1;
    scratch->used += bytes;
  }
  if (total > length) total = length;
  put_head((struct capture_head*)at, tag, scratch->used < total ? capture_truncated : 0,
           scratch->used, total > 0xffffffff ? 0xffffffff : total);
  advance(scratch, scratch->used);
  return 0;
}

__noinline int put_msghdr(struct room* room, struct scratch* scratch, u32 argument, u64 address,
                          u32 what) {
  u32 out = what & 1, several = what & 2;
  if (!room || !scratch) return 0;
  struct user_msghdr* message = &scratch->message;
  scratch->fault = address;
  if (bpf_probe_read_user(message, several ? 60 : 56, (void*)address)) return 1;
  u32 provenance = argument >> 16;
  argument &= 7;
  u64 length = ~0ull;
  if (out) length = several ? message->bytes : (u64)scratch->result;
  int missing = 0;
  if (message->name && message->name_length)
    missing |=
        put_bytes(room, scratch, TAG(argument, out ? 8 : 7, provenance) | LIMIT(sockaddr_limit),
                  message->name, message->name_length);
  if (message->control && message->control_length)
    missing |=
        put_bytes(room, scratch,
                  TAG(argument, (u32)(out ? kind_structure_out : kind_structure_in), provenance) |
                      LIMIT(structure_limit),
                  message->control, message->control_length);
  scratch->length = length;
  missing |= put_iovec(room, scratch, TAG(argument, out ? 12 : 11, provenance), message->vectors,
                       message->vector_count);
  return missing;
}

// Each message of an array: the vector's bytes are the last of a message.
__noinline int put_messages(struct room* room, struct scratch* scratch, u32 argument, u64 address,
                            u64 count_and_out) {
  u64 count = count_and_out >> 1;
  if (!room || !scratch) return 0;
  for (u32 i = 0; i < messages; i++) {
    if (i >= count) break;
    if (put_msghdr(room, scratch, argument, address + 64 * i, (count_and_out & 1) | 2)) return 1;
  }
  return 0;
}

// Files that came with messages, by the descriptors in their control messages.
struct received {
  struct room* room;
  struct scratch* scratch;
  u64 message, messages;  // not looked at
  u64 address, left;      // of control messages of the last one
  u64 next, count;        // of descriptors of the last control message
};

static long put_next_received(u32 i, void* data) {
  struct received* received = data;
  struct scratch* scratch = received->scratch;
  if (received->count) {
    s32 fd = -1;
    if (scratch->received >= received_files ||
        bpf_probe_read_user(&fd, sizeof(fd), (void*)received->next))
      return 1;
    received->next += sizeof(fd);
    received->count--;
    scratch->received++;
    if (fd >= 0 && fd < 0xffffff)
      put_file(received->room, scratch, 1 | (u32)(fd + 1) << 8, file_of(fd));
    return 0;
  }
  u64 head[2];  // cmsg_len; cmsg_level and cmsg_type
  if (received->left < sizeof(head)) {
    struct user_msghdr* message = &scratch->message;
    if (!received->messages || bpf_probe_read_user(message, 56, (void*)received->message)) return 1;
    received->messages--;
    received->message += 64;
    received->address = message->control;
    received->left = message->control ? message->control_length : 0;
    return 0;
  }
  if (bpf_probe_read_user(head, sizeof(head), (void*)received->address)) return 1;
  u64 step = (head[0] + 7) & ~7ull;
  if (head[0] < sizeof(head) || head[0] > received->left || step > received->left) step = ~0ull;
  // SOL_SOCKET, SCM_RIGHTS
  if (head[1] == (1ull << 32 | 1) && head[0] >= sizeof(head) && head[0] <= received->left) {
    received->next = received->address + sizeof(head);
    received->count = (head[0] - sizeof(head)) / sizeof(s32);
  }
  received->address += step;
  received->left = step <= received->left ? received->left - step : 0;
  return 0;
}

// Of a recvmsg or recvmmsg: `count` messages at its second argument.
__noinline int put_received(struct room* room, struct scratch* scratch, u64 count) {
  if (!room || !scratch) return 0;
  struct received received = {
      .room = room, .scratch = scratch, .message = scratch->args[1], .messages = count};
  scratch->received = 0;
  bpf_loop(2 * received_files, put_next_received, &received, 0);
  return 0;
}

static __always_inline void read_arguments(u64* args, struct pt_regs* regs, u8 abi) {
  if (abi == 1) {
    args[0] = (u32)regs->bx;
    args[1] = (u32)regs->cx;
    args[2] = (u32)regs->dx;
    args[3] = (u32)regs->si;
    args[4] = (u32)regs->di;
    args[5] = (u32)regs->bp;
  } else {
    args[0] = regs->di;
    args[1] = regs->si;
    args[2] = regs->dx;
    args[3] = regs->r10;
    args[4] = regs->r8;
    args[5] = regs->r9;
  }
}

static __always_inline const volatile struct plan* plan_at(u32 index) {
  u64 place = index;
  barrier_var(place);  // the compiler knows the range, but the verifier has to see it
  return &settings.plans[place & (2 * plan_numbers - 1)];
}

// The number of an argument, at most 5, as the verifier sees that it is in bounds: compilers
// compare one copy and use another (clang 19).
static __always_inline u64 argument_place(u32 i) {
  u64 place = i;
  barrier_var(place);
  return place & 7;
}

// What an argument is, as the value of another one decides; null where the value says nothing.
static __always_inline const volatile struct plan_argument* chosen_plan(u32 choice, u32 value) {
  u32 wanted = value & settings.choice_masks[choice & (plan_choices - 1)];
  u64 place = case_bucket(choice, wanted, settings.case_multiplier);
  barrier_var(place);  // as in plan_at()
  const volatile struct plan_case* cases =
      &settings.cases[(place & ((1u << case_buckets_log2) - 1)) * bucket_cases];
  for (u32 i = 0; i < bucket_cases; i++)
    if (cases[i].choice == choice && cases[i].value == wanted) return &cases[i].argument;
  return 0;
}

// Captures argument `i` of a call at entry (phase from_enter), again at exit
// because it was missing (from_exit), or, with `out`, what the kernel left
// there.
__noinline int put_argument(struct room* room, struct scratch* scratch, u32 index, u32 i,
                            u32 what) {
  u32 provenance = what & 0xff, out = what >> 8;
  if (!room || !scratch || i > 5) return 0;
  const volatile struct plan_argument* spec = &plan_at(index)->arguments[argument_place(i)];
  u64 address = scratch->args[argument_place(i)];
  if (!address) return 0;
  u32 choice = plan_at(index)->choice[argument_place(i)];
  if (choice) {
    const volatile struct plan_argument* chosen =
        chosen_plan(choice, scratch->args[spec->length_argument & 7]);
    if (chosen) spec = chosen;
  }
  u32 kind = out ? spec->kind_out : spec->kind_in;
  if (!kind) return 0;
  scratch->kind = kind;
  u32 tag = TAG(i, kind, provenance);
  u32 source = spec->length, limit = scratch->buffer_bytes;
  u64 length = spec->unit, other = scratch->args[spec->length_argument & 7];
  if (source == plan_length_argument)
    length *= other;
  else if (source == plan_length_result)
    length *= (u64)scratch->result;
  else if (source == plan_length_ioctl)
    length = other >> 16 & 0x3fff;
  else if (source == plan_length_pointed) {
    u32 pointed = 0;
    scratch->fault = other;
    if (bpf_probe_read_user(&pointed, sizeof(pointed), (void*)other)) return 1;
    length = pointed;
  } else if (source == plan_length_after_argument)
    length += other;
  else if (source == plan_length_after_result)
    length += (u64)scratch->result;
  else
    limit = structure_limit;
  u32 operation = spec->operation;
  if (operation == plan_string) return put_string(room, scratch, tag, address, spec->unit);
  if (operation == plan_bytes && spec->several) limit = structure_limit;
  if (operation == plan_bytes)
    return length ? put_bytes(room, scratch, tag | LIMIT(limit), address, length) : 0;
  if (operation == plan_sockaddr)
    return length ? put_bytes(room, scratch, tag | LIMIT(sockaddr_limit), address, length) : 0;
  if (scratch->narrow) return 0;  // 32-bit arrays of pointers are not followed
  if (operation == plan_strings) return put_strings(room, scratch, tag, address, spec->unit);
  if (operation == plan_iovec) {
    scratch->length = out ? (u64)scratch->result : ~0ull;
    return put_iovec(room, scratch, tag, address, other);
  }
  if (operation == plan_msghdr && spec->several)
    return put_messages(room, scratch, tag & 0xff00ff, address,
                        (out ? (u64)scratch->result : (u32)other) << 1 | (out ? 1 : 0));
  if (operation == plan_msghdr)
    return put_msghdr(room, scratch, tag & 0xff00ff, address, out ? 1 : 0);
  return 0;
}

// Of a structure that is longer than what the program has of it at the end of mapped memory, what is
// there. Programs may use versions of structures that are shorter than ours.
static __always_inline int put_partial(struct room* room, struct scratch* scratch, u32 index, u32 i,
                                       u32 what) {
  scratch->partial = 1;
  int failed = put_argument(room, scratch, index, i, what);
  scratch->partial = 0;
  return failed;
}

static __always_inline u32 plan_index(u8 abi, u64 number) {
  if (abi == 2) number &= ~0x40000000ull;
  if (number >= plan_numbers) return 2 * plan_numbers;
  return abi == 1 ? plan_numbers + number : number;
}

// With `last`, an argument that cannot be read is recorded as missing: there is no retry.
__noinline int put_enter_argument(struct room* room, struct scratch* scratch, u32 index, u32 i,
                                  u32 provenance_and_last) {
  if (!room || !scratch || index >= 2 * plan_numbers || i > 5) return 0;
  scratch->before = scratch->fill;
  if (plan_at(index)->enter_mask >> i & 1 &&
      put_argument(room, scratch, index, i, provenance_and_last & 0xff)) {
    scratch->missing |= 1u << i;
    scratch->fill = scratch->before;  // what could be read of it is read again
    if (provenance_and_last >> 8 &&
        put_partial(room, scratch, index, i, provenance_and_last & 0xff))
      put_missing(room, scratch, TAG(i, scratch->kind, from_nowhere));
  }
  const volatile struct plan* plan = plan_at(index);
  if (plan->flags & plan_base_always && plan->base_mask >> i & 1)
    put_base(room, scratch, i, scratch->args[argument_place(i)], plan->dirfd[argument_place(i)]);
  return 0;
}

__noinline int put_enter_arguments(struct room* room, struct scratch* scratch, u32 index,
                                   u32 provenance, u32 last) {
  if (!room || !scratch || index >= 2 * plan_numbers) return 0;
  const volatile struct plan* plan = plan_at(index);
  u32 wanted = plan->enter_mask | (plan->flags & plan_base_always ? plan->base_mask : 0);
  for (u32 i = 0; i < 6; i++)
    if (wanted >> i & 1) put_enter_argument(room, scratch, index, i, provenance | last << 8);
  if (plan->flags & plan_identify_fd) put_file(room, scratch, 0, file_of(scratch->args[0]));
  return 0;
}

__noinline int put_exit_argument(struct room* room, struct scratch* scratch, u32 index, u32 i,
                                 u32 retry) {
  if (!room || !scratch || index >= 2 * plan_numbers || i > 5) return 0;
  const volatile struct plan* plan = plan_at(index);
  s64 result = scratch->result;
  u32 before = scratch->fill;
  // After an exec the old address space is gone.
  if (retry && plan->flags & plan_replaces_image && result == 0)
    put_missing(room, scratch,
                TAG(i, (u32)plan->arguments[argument_place(i)].kind_in, from_nowhere));
  else if (retry && put_argument(room, scratch, index, i, from_exit)) {
    scratch->missing |= 1u << i;
    scratch->fill = before;
    if (put_partial(room, scratch, index, i, from_exit))
      put_missing(room, scratch, TAG(i, scratch->kind, from_nowhere));
  }
  if (result < 0) {
    if (plan->flags & plan_base_failed && plan->base_mask >> i & 1)
      put_base(room, scratch, i, scratch->args[argument_place(i)], plan->dirfd[argument_place(i)]);
  } else if (plan->exit_mask >> i & 1 &&
             put_partial(room, scratch, index, i, from_result | 1 << 8)) {
    put_missing(room, scratch, TAG(i, scratch->kind, from_nowhere));
  }
  return 0;
}

__noinline int put_exit_arguments(struct room* room, struct scratch* scratch, u32 index,
                                  u32 retry) {
  if (!room || !scratch || index >= 2 * plan_numbers) return 0;
  const volatile struct plan* plan = plan_at(index);
  s64 result = scratch->result;
  u32 wanted = retry | (result >= 0                      ? plan->exit_mask
                        : plan->flags & plan_base_failed ? plan->base_mask
                                                         : 0);
  for (u32 i = 0; i < 6; i++)
    if (wanted >> i & 1) put_exit_argument(room, scratch, index, i, retry >> i & 1);
  if (result >= 0 && plan->exit_mask & 2 && plan->arguments[1].operation == plan_msghdr &&
      !scratch->narrow)
    put_received(room, scratch, plan->arguments[1].several ? (u64)result : 1);
  if (result >= 0 && plan->flags & plan_returns_file)
    put_file(room, scratch, result_argument, file_of(result));
  if (result == 0 && plan->flags & plan_new_directory) put_directory(room, scratch, 0);
  if (result >= 0 && plan->flags & plan_peer_of_result)
    put_peer(room, scratch, result_argument, file_of(result));
  if (result >= 0 && plan->flags & plan_socket_peer)
    put_peer(room, scratch, 0, file_of(scratch->args[0]));
  return 0;
}
