// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Back-pressure: how a task that is ahead of the recorder is held back.
#pragma once

#include "ring.h"

extern int bpf_task_work_schedule_resume_impl(
    struct task_struct* task, struct bpf_task_work* work, void* map__map,
    int (*callback)(struct bpf_map* map, void* key, void* value), void* aux__prog) __ksym __weak;
extern struct task_struct* bpf_task_from_pid(s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct* task) __ksym __weak;

// Run once by the thread that reads the rings, which cannot find out its number itself where it is
// in a pid namespace.
SEC("syscall")
int who_reads(void* context) {
  return (u32)bpf_get_current_pid_tgid();
}

enum { kill_signal = 9 };

// Nothing may run on unrecorded: a task that has to wait for a reader that is no more dies. One
// that is only stopped is waited for.
__noinline int kill_without_reader(u32 number) {
  if (!bpf_task_from_pid || !bpf_task_release) return 0;
  struct task_struct* reader = bpf_task_from_pid(number);
  if (reader)
    bpf_task_release(reader);
  else
    bpf_send_signal(kill_signal);
  return 0;
}

struct wait_state {
  struct task_struct* reader;
  u64 reader_byte;
  u64 until;
  u32 recorder;
  u32 cpu;
};

static long wait_round(u32 round, void* data) {
  struct wait_state* state = data;
  struct cpu_area* area = area_on(state->recorder, state->cpu);
  struct task_struct* task = bpf_get_current_task_btf();
  u64 byte;
  if (!area || used_bytes(area) < settings.high_water / 2 || now_ns() > state->until) return 1;
  if (task->pending.signal.sig[0] & 1ull << 8) return 1;  // SIGKILL
  // The byte is of no interest: finding its page is a point where a kernel without full preemption
  // lets others run. It is the reader's, because a task can unmap every page of its own.
  bpf_copy_from_user_task(&byte, 1, (void*)state->reader_byte, state->reader, 0);
  return 0;
}

// Runs in the task on its way back to user mode, sleepable: no signal, no EINTR, state R. If the
// whole recorder dies meanwhile, the sandbox dies with its supervisor.
static int wait_for_room(struct bpf_map* map, void* key, void* value) {
  struct waiter* waiter = value;
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  struct cpu_area* area = area_on(waiter->recorder, waiter->cpu);
  if (!area) return 0;
  u64 began = now_ns();
  struct wait_state state = {.until = began + settings.wait_limit_ns,
                             .reader_byte = area->control.reader_byte,
                             .recorder = waiter->recorder,
                             .cpu = waiter->cpu};
  state.reader = bpf_task_from_pid(area->control.reader);
  if (!state.reader) {
    bpf_send_signal(kill_signal);
    return 0;
  }
  bpf_loop(1 << 23, wait_round, &state, 0);
  bpf_task_release(state.reader);
  note_wait(label, began);
  return 0;
}

static __always_inline int schedule_wait(struct task_label* label) {
  u32 tid = (u32)bpf_get_current_pid_tgid();
  struct waiter* waiter = bpf_map_lookup_elem(&waiters, &tid);
  if (!waiter) {
    struct waiter fresh = {};
    bpf_map_update_elem(&waiters, &tid, &fresh, 0);
    waiter = bpf_map_lookup_elem(&waiters, &tid);
    if (!waiter) return -1;
  }
  label->waited_before = 1;
  waiter->cpu = bpf_get_smp_processor_id();
  waiter->recorder = label->recorder;
  return bpf_task_work_schedule_resume_impl(bpf_get_current_task_btf(), &waiter->work, &waiters,
                                            wait_for_room, 0);
}

static __always_inline void spin_wait(struct place* place) {
  u64 began = now_ns();
  if (!spin_until(place->label->recorder, settings.high_water / 2))
    kill_without_reader(place->area->control.reader);
  note_wait(place->label, began);
}
