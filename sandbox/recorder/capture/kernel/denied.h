// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Calls that seccomp answered, or ended the task for, before the entry tracepoint.
#pragma once

#include "captures.h"

static __always_inline u8 abi_of(struct task_struct* task, u64 number) {
  // Not the code segment: 64-bit code may execute int 0x80.
  if (task->thread_info.status & 2) return 1;  // TS_COMPAT
  return number & 0x40000000 ? 2 : 0;
}

static __always_inline void prepare(struct place* place, struct pt_regs* regs, u32 fixed,
                                    s64 result) {
  struct scratch* scratch = place->scratch;
  read_arguments(scratch->args, regs, place->label->abi);
  scratch->fill = fixed;
  scratch->missing = 0;
  scratch->partial = 0;
  scratch->result = result;
  scratch->buffer_bytes = place->count->buffer_bytes;
  scratch->narrow = place->label->abi != 0;
}

// `flags`: late_follows if arguments in pages that nobody has touched can be read in task work;
// ended_in_call. A global function, because it is rare and the verifier would otherwise follow it
// with every path of the exit program.
__noinline int record_denied_call(s64 result, u64 time, u32 flags) {
  struct task_struct* task = bpf_get_current_task_btf();
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);
  struct place place = {};
  if (find_place(&place, task)) return 0;
  u64 nr = (u32)regs->orig_ax;
  place.label->number = nr;
  place.label->abi = abi_of(task, nr);
  place.label->denied = 1;
  if (flags & ended_in_call) result = nr;
  u32 index = plan_index(place.label->abi, nr), room = sizeof(struct denied_record), work = 0;
  if (index < 2 * plan_numbers) {
    work = settings.plans[index].enter_work;
    if (work) room = settings.plans[index].enter_room;
  }
  struct record* head = begin_at(&place, room);
  if (!head) return 0;
  struct denied_record* denied = (struct denied_record*)head;
  describe(head, record_denied, place.label, time);
  denied->number = nr;
  denied->result = result;
  read_arguments(denied->args, regs, place.label->abi);
  prepare(&place, regs, sizeof(*denied), result);
  if (work) put_enter_arguments((struct room*)head, place.scratch, index, from_exit, 1);
  place.label->missing = place.scratch->missing;
  if (flags & ended_in_call)
    head->flags = ended_in_call;
  else if (flags & late_follows && place.label->missing)
    head->flags = late_follows;
  commit_filled(place.area, place.scratch);
  return 0;
}

enum { seccomp_mode_dead = 3 };

// Strict mode, and a program that kills one thread of several, end the task on the spot: neither
// tracepoint of its last call is passed. Linux from 5.17 on leaves a mark where seccomp kills.
static __always_inline int ended_by_seccomp(struct task_struct* task,
                                            const struct task_label* label) {
  return bpf_core_field_exists(task->seccomp.mode) && task->seccomp.mode == seccomp_mode_dead &&
         label->entered == entry_none && !label->denied;
}
