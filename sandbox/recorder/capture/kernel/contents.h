// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// The whole of what a call moved, where the policy asks for it by class of descriptor: records of
// their own behind the exit record of the call, a chunk each. Read when the call has ended, from
// the caller's memory, which another thread may have changed by then.
#pragma once

#include "captures.h"

// The class of a descriptor's file as a bit; 0: none of them.
static __always_inline u32 content_class(u64 file_address) {
  struct file* file = (struct file*)file_address;
  if (!file) return 0;
  struct inode* inode = BPF_CORE_READ(file, f_inode);
  u32 type = BPF_CORE_READ(inode, i_mode) & mode_type;
  if (type == 0100000) return content_files;
  if (type == 0010000) return content_pipes;
  if (type == mode_socket) return content_sockets;
  u32 major = BPF_CORE_READ(inode, i_rdev) >> 20;
  if (type == 0020000 && (major == 4 || major == 5 || (major >= 136 && major <= 143)))
    return content_terminals;
  return 0;
}

// Writes a record of `bytes` bytes, at most content_chunk; 0 if it could.
static __always_inline int put_content(struct content_walk* walk, u64 bytes, u32 unread) {
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 1;
  // Cut rather than lost: the record that says so has room behind every other.
  u32 room = sizeof(struct content_record) + (bytes ? content_chunk : 0);
  if (bytes && used_bytes(place.area) + 2 * room > settings.ring_bytes) return 1;
  struct record* head = begin_at(&place, room);
  if (!head) return 1;
  struct content_record* content = (struct content_record*)head;
  describe(head, record_content, place.label, walk->time);
  barrier_var(bytes);
  if (bytes > content_chunk) bytes = content_chunk;
  content->number = place.label->number;
  content->argument = walk->argument;
  content->kind = walk->kind;
  content->missing = unread;
  content->offset = walk->offset;
  content->total = walk->total;
  content->fd = (s32)place.scratch->args[0];
  if (bytes && bpf_probe_read_user(content + 1, bytes, (void*)walk->address)) content->missing = 1;
  content->length = bytes;
  walk->offset += bytes;
  walk->ended = unread || walk->offset >= walk->limit;
  content->last = walk->ended;
  commit_at(&place, head, sizeof(*content) + ((u32)(bytes + 7) & ~7u));
  return 0;
}

static long put_chunk(u32 round, void* unused) {
  struct scratch* scratch = my_scratch();
  if (!scratch) return 1;
  struct content_walk* walk = &scratch->walk;
  if (walk->offset >= walk->limit) return 1;
  if (!walk->left) {
    u64 vector[2];
    if (!walk->vector_count) return 1;
    if (bpf_probe_read_user(vector, sizeof(vector), (void*)walk->vectors)) return 1;
    walk->vectors += sizeof(vector);
    walk->vector_count--;
    walk->address = vector[0];
    walk->left = vector[1];
    return 0;
  }
  u64 bytes = walk->limit - walk->offset;
  if (bytes > walk->left) bytes = walk->left;
  if (bytes > content_chunk) bytes = content_chunk;
  if (put_content(walk, bytes, 0)) return 1;
  walk->address += bytes;
  walk->left -= bytes;
  return 0;
}

// Where to find what the call moved; leaves the walk empty where the program's own list of it
// cannot be read.
static __always_inline void find_contents(struct content_walk* walk, struct place* place,
                                          u32 operation, u64 address) {
  if (operation == plan_bytes) {
    walk->address = address;
    walk->left = walk->total;
    return;
  }
  if (place->label->abi) return;  // 32-bit arrays of pointers are not followed
  walk->vectors = address;
  walk->vector_count = place->scratch->args[2];
  if (operation != plan_msghdr) return;
  struct user_msghdr message = {};
  walk->vector_count = 0;
  if (bpf_probe_read_user(&message, 56, (void*)address)) return;
  walk->vectors = message.vectors;
  walk->vector_count = message.vector_count;
}

// A global function: the verifier would otherwise follow it with every path of the exit program.
__noinline int record_contents(u64 moved, u64 time) {
  struct task_struct* task = bpf_get_current_task_btf();
  struct place place = {};
  if (find_place(&place, task)) return 0;
  u32 index = plan_index(place.label->abi, place.label->number);
  if (index >= 2 * plan_numbers) return 0;
  const volatile struct plan* plan = plan_at(index);
  u32 argument = plan->content - 1;
  if (argument > 5) return 0;
  read_arguments(place.scratch->args, (struct pt_regs*)bpf_task_pt_regs(task), place.label->abi);
  if (!(content_class(file_of(place.scratch->args[0])) & place.count->contents)) return 0;
  const volatile struct plan_argument* spec = &plan->arguments[argument_place(argument)];
  struct content_walk* walk = &place.scratch->walk;
  walk->left = walk->vector_count = walk->offset = 0;
  walk->total = moved;
  walk->time = time;
  walk->argument = argument;
  walk->ended = 0;
  walk->kind = plan->exit_mask >> argument & 1 ? spec->kind_out : spec->kind_in;
  // Cut rather than lost: a quarter of the ring stays free for the records of others.
  u64 used = used_bytes(place.area), most = settings.ring_bytes / 4 * 3;
  u64 limit = settings.ring_bytes / 4;
  if (limit > place.count->content_bytes) limit = place.count->content_bytes;
  if (used + limit > most) limit = used < most ? most - used : 0;
  if (limit > moved) limit = moved;
  walk->limit = limit;
  find_contents(walk, &place, spec->operation, place.scratch->args[argument_place(argument)]);
  bpf_loop(content_rounds, put_chunk, 0, 0);
  if (!walk->ended) put_content(walk, 0, 1);
  return 0;
}
