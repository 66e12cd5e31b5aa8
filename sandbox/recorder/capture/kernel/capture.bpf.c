// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Kernel side of the recorder: at entry and exit of every system call of a labelled task, writes a
// record with the arguments, what they point to and what the kernel knows, into the ring of the
// CPU.
//
// Raw tracepoint programs run with preemption off, so each ring has one writer at a time and plain
// stores do. Nothing here drops an event because an argument could not be read: it is retried at
// exit, and then recorded as missing. Lowest kernel by the helpers used: 5.17 (bpf_loop).
#include "contents.h"
#include "denied.h"
#include "late.h"
#include "life_cycle.h"
#include "uring.h"
#include "waiting.h"

char licence[] SEC("license") = "Dual BSD/GPL";

// ---- system calls ---------------------------------------------------------------------------

// Programs of every call ask for the task once and hand it on: the helper is a call.
//
// Of every task of the machine but those that have task storage of some program: recorded ones
// have. The load costs unrecorded tasks a fraction of the look-up, which is a call.
static __always_inline int is_nobodys(struct task_struct* task) {
  return !task->bpf_storage;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sc_enter, struct pt_regs* regs, long number) {
  struct task_struct* task = bpf_get_current_task_btf();
  if (is_nobodys(task)) return 0;
  struct place place = {.label = label_of(task)};
  struct task_label* label = place.label;
  if (!label) return 0;
  u64 time = now_ns();
  u64 nr = (u32)number;
  label->fresh = 0;
  label->number = nr;
  label->abi = abi_of(task, nr);
  label->missing = 0;
  label->denied = 0;
  u32 index = plan_index(label->abi, nr), room = sizeof(struct enter_record), mask = 0;
  if (index < 2 * plan_numbers && settings.plans[index].call_bytes) {
    label->entered = entry_kept;
    label->entered_at = time;
    return 0;
  }
  if (find_place_of_label(&place)) return 0;
  label->entered = entry_recorded;
  place.count->enters++;
  if (label->waited_ns) record_waited(time);
  if (index < 2 * plan_numbers) {
    mask = settings.plans[index].enter_work;
    if (mask) room = settings.plans[index].enter_room;
  }
  struct record* head = begin_at(&place, room);
  if (!head) return 0;
  struct enter_record* enter = (struct enter_record*)head;
  describe_of(head, record_enter, label, time, task);
  enter->number = nr;
  read_arguments(enter->args, regs, label->abi);
  if (!mask) {
    commit_at(&place, head, sizeof(*enter));
    return 0;
  }
  prepare(&place, regs, sizeof(*enter), 0);
  put_enter_arguments((struct room*)head, place.scratch, index, from_enter, 0);
  label->missing = place.scratch->missing;
  commit_filled(place.area, place.scratch);
  return 0;
}

static __always_inline void record_exit_of(struct place* place, struct task_struct* task,
                                           struct pt_regs* regs, s64 result, u32 late) {
  u64 time = now_ns();
  struct task_label* label = place->label;
  if (!label->entered && label->fresh) {
    label->fresh = 0;
    place->count->first_returns++;
    return;
  }
  place->count->exits++;
  if (label->waited_ns) record_waited(time);
  if (!label->entered) {
    record_denied_call(result, time, late ? late_follows : 0);
    return;
  }
  u32 index = plan_index(label->abi, label->number), more = 0;
  if (index < 2 * plan_numbers) {
    u8 flags = settings.plans[index].flags;
    more = label->missing || (result >= 0 && settings.plans[index].exit_mask) ||
           (result >= 0 && flags & (plan_returns_file | plan_new_directory | plan_socket_peer |
                                    plan_peer_of_result)) ||
           (result < 0 && flags & plan_base_failed);
    if (more) more = settings.plans[index].exit_room;
  }
  if (label->entered == entry_kept) {
    label->entered = entry_none;
    place->count->enters++;
    struct call_record* call = (struct call_record*)begin_at(place, more ? more : sizeof(*call));
    if (!call) return;
    describe_of(&call->head, record_call, label, time, task);
    call->entered = label->entered_at;
    call->result = result;
    call->number = label->number;
    call->spare = 0;
    read_arguments(call->args, regs, label->abi);
    if (!more) {
      commit_at(place, &call->head, settings.plans[index & (2 * plan_numbers - 1)].call_bytes);
      return;
    }
    prepare(place, regs, sizeof(*call), result);
    put_exit_arguments((struct room*)call, place->scratch, index, 0);
    commit_filled(place->area, place->scratch);
    return;
  }
  label->entered = entry_none;
  struct record* head = begin_at(place, more ? more : sizeof(struct exit_record));
  if (!head) return;
  describe_of(head, record_exit, label, time, task);
  ((struct exit_record*)head)->result = result;
  if (!more) {
    commit_at(place, head, sizeof(struct exit_record));
  } else {
    prepare(place, regs, sizeof(struct exit_record), result);
    put_exit_arguments((struct room*)head, place->scratch, index, label->missing);
    label->missing = place->scratch->missing;
    if (late && label->missing) head->flags = late_follows;
    commit_filled(place->area, place->scratch);
  }
  if (result > 0 && place->count->contents && index < 2 * plan_numbers &&
      settings.plans[index].content)
    record_contents(result, time);
}

// Records the exit; says whether the task has to wait for the consumer.
static __always_inline int exit_waits(struct place* place, struct task_struct* task,
                                      struct pt_regs* regs, s64 result, u32 late) {
  if (find_place(place, task)) {
    // The slot of a recorder that was killed has a new owner: this task has no record any more.
    if (place->label && place->area && place->label->epoch != place->area->control.epoch &&
        place->area->control.orphans_die)
      bpf_send_signal(kill_signal);
    return 0;
  }
  record_exit_of(place, task, regs, result, late);
  if (late && place->label->missing) schedule_late(place->label, regs);
  if (place->count->doomed) bpf_send_signal(kill_signal);
  u64 used = used_bytes(place->area);
  if (used < settings.bell_bytes) return 0;
  if (place->area->control.asleep) ring_bell(place->label->recorder);
  if (used < settings.high_water) return 0;
  place->count->waits++;
  return 1;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sc_exit, struct pt_regs* regs, long result) {
  struct task_struct* task = bpf_get_current_task_btf();
  if (is_nobodys(task)) return 0;
  struct place place = {};
  if (exit_waits(&place, task, regs, result, 1) && schedule_wait(place.label)) spin_wait(&place);
  return 0;
}

// For kernels without task work.
SEC("tp_btf/sys_exit")
int BPF_PROG(sc_exit_spin, struct pt_regs* regs, long result) {
  struct task_struct* task = bpf_get_current_task_btf();
  if (is_nobodys(task)) return 0;
  struct place place = {};
  if (exit_waits(&place, task, regs, result, 0)) spin_wait(&place);
  return 0;
}
