// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Arguments in pages that nobody has touched: a tracepoint cannot read them, and a call that was
// refused or failed early did not either. Read in task work, before the task goes back to its
// program, where a page may be faulted in.
#pragma once

#include "captures.h"
#include "waiting.h"

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

struct late {
  struct bpf_task_work work;
  u64 args[6];
  u64 fault;     // where the last try stopped
  u32 argument;  // ... and of which argument
  u32 index;     // of the plan
  u32 missing;   // arguments that are not given up
  u32 abi;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 16384);
  __type(key, u32);
  __type(value, struct late);
} lates SEC(".maps");

// Writes the record if all that is not given up can be read now; else notes where that stopped, and
// returns 1. With `last`, writes what can be read.
__noinline int put_late(u32 tid, u32 last) {
  struct place place = {};
  struct late* late = bpf_map_lookup_elem(&lates, &tid);
  if (!late || find_place(&place, bpf_get_current_task_btf())) return 0;
  struct record* head = begin_at(&place, record_limit);
  if (!head) return 0;
  struct scratch* scratch = place.scratch;
  describe(head, record_late, place.label, now_ns());
  scratch->fill = sizeof(*head);
  scratch->missing = 0;
  scratch->partial = 0;
  scratch->result = 0;
  scratch->buffer_bytes = place.count->buffer_bytes;
  scratch->narrow = late->abi != 0;
  for (u32 i = 0; i < 6; i++) scratch->args[i] = late->args[i];
  u32 index = late->index, missing = late->missing;
  for (u32 i = 0; i < 6; i++) {
    if (!(missing >> i & 1) || !put_argument((struct room*)head, scratch, index, i, from_exit) ||
        last)
      continue;
    late->fault = scratch->fault;
    late->argument = i;
    scratch->busy = 0;  // the record is begun anew
    return 1;
  }
  commit_filled(place.area, scratch);
  return 0;
}

struct late_state {
  u32 tid;
  u64 fault;
  u32 pages;  // touched at that address
  u32 done;
};

enum { late_rounds = 64 };

static long late_round(u32 round, void* data) {
  struct late_state* state = data;
  u8 byte;
  bpf_preempt_disable();  // a ring has one writer
  u32 again = put_late(state->tid, round + 1 == late_rounds);
  bpf_preempt_enable();
  state->done = !again;
  if (!again) return 1;
  struct late* late = bpf_map_lookup_elem(&lates, &state->tid);
  if (!late) return 1;
  if (state->fault != late->fault) state->pages = 0;
  state->fault = late->fault;
  // A string or structure may go on in the next page.
  u64 page = state->pages ? (state->fault | (page_bytes - 1)) + 1 : state->fault;
  if (state->pages++ > 1 || bpf_copy_from_user(&byte, 1, (void*)page))
    late->missing &= ~(1u << (late->argument & 7));
  return 0;
}

static int read_late(struct bpf_map* map, void* key, void* value) {
  struct late_state state = {.tid = (u32)bpf_get_current_pid_tgid()};
  bpf_loop(late_rounds, late_round, &state, 0);
  return 0;
}

// The record of the call says that this one follows; without it the call stands as it is.
static __always_inline void schedule_late(struct task_label* label, struct pt_regs* regs) {
  u32 tid = (u32)bpf_get_current_pid_tgid();
  struct late* late = bpf_map_lookup_elem(&lates, &tid);
  if (!late) {
    struct late fresh = {};
    bpf_map_update_elem(&lates, &tid, &fresh, 0);
    late = bpf_map_lookup_elem(&lates, &tid);
    if (!late) return;
  }
  label->late_before = 1;
  read_arguments(late->args, regs, label->abi);
  late->index = plan_index(label->abi, label->number);
  late->missing = label->missing;
  late->abi = label->abi;
  label->missing = 0;
  bpf_task_work_schedule_resume_impl(bpf_get_current_task_btf(), &late->work, &lates, read_late, 0);
}
