// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Start, exec, end and signals of recorded tasks.
#pragma once

#include "captures.h"
#include "denied.h"
#include "late.h"
#include "waiting.h"

// Number of a task in the innermost pid namespace that it is in.
static __always_inline u32 inside_number(struct pid* pid) {
  u32 level = BPF_CORE_READ(pid, level);
  s32 number = 0;
  if (level > 32) return 0;
  u64 at = (u64)pid + bpf_core_field_offset(struct pid, numbers) +
           level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr);
  READ_KERNEL(number, at);
  return number;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(tk_new, struct task_struct* task, u64 flags) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  struct task_calls of_parent = {};
  struct task_calls* from = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);
  if (from) of_parent = *from;
  struct task_calls* to = bpf_task_storage_get(&calls, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (to) *to = of_parent;
  struct task_label* child = bpf_task_storage_get(&labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (child) {
    child->session = label->session;
    child->recorder = label->recorder;
    child->epoch = label->epoch;
    child->fresh = 1;
  }
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 0;
  u64 time = now_ns();
  // The child runs unrecorded, or its children for no tool call: the trace is not complete.
  if (!child || !to) place.count->lost++;
  struct record* head = begin_at(&place, sizeof(struct start_record));
  if (!head) return 0;
  struct start_record* start = (struct start_record*)head;
  describe(head, record_start, label, time);
  start->tid = task->pid;
  start->pid = task->tgid;
  start->inside_tid = inside_number(BPF_CORE_READ(task, thread_pid));
  start->inside_pid = inside_number(BPF_CORE_READ(task, group_leader, thread_pid));
  start->origin_call = of_parent.origin_call;
  start->active_call = of_parent.active_call;
  start->flags = flags;
  commit_at(&place, head, sizeof(*start));
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tk_exec, struct task_struct* task, s32 old_tid, struct linux_binprm* program) {
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 0;
  u64 time = now_ns();
  struct task_label* label = place.label;
  u32 missing = label->missing;
  label->missing = 0;  // the old image is gone
  struct record* head = begin_at(&place, record_limit);
  if (!head) return 0;
  struct room* room = (struct room*)head;
  struct exec_record* exec = (struct exec_record*)head;
  describe(head, record_exec, label, time);
  exec->old_tid = old_tid;
  place.scratch->fill = sizeof(*exec);
  put_file(room, place.scratch, result_argument, (u64)BPF_CORE_READ(task, mm, exe_file));
  put_directory(room, place.scratch, capture_directory);
  if (missing) {
    // Numbered as of execve; the reader moves them where execveat has them.
    u64 from = BPF_CORE_READ(task, mm, arg_start), to = BPF_CORE_READ(task, mm, arg_end);
    put_laid_out(room, place.scratch, TAG(1, kind_argv, from_exit), from, to - from);
    from = BPF_CORE_READ(task, mm, env_start), to = BPF_CORE_READ(task, mm, env_end);
    put_laid_out(room, place.scratch, TAG(2, kind_envp, from_exit), from, to - from);
    u8* at = room_at(room, place.scratch->fill,
                     record_limit - sizeof(struct capture_head) - string_limit);
    if (at) {
      const char* name = BPF_CORE_READ(program, filename);
      long length = bpf_probe_read_kernel_str(at + sizeof(struct capture_head), string_limit, name);
      if (length > 0) {
        u32 bytes = length - 1;
        put_head((struct capture_head*)at, TAG(0, kind_path, from_kernel), 0, bytes, bytes);
        advance(place.scratch, bytes);
      }
    }
  }
  commit_filled(place.area, place.scratch);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tk_exit, struct task_struct* task) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  if (label->waited_before) {
    u32 tid = task->pid;
    bpf_map_delete_elem(&waiters, &tid);
  }
  if (label->late_before) {
    u32 tid = task->pid;
    bpf_map_delete_elem(&lates, &tid);
  }
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 0;
  u64 time = now_ns();
  if (label->waited_ns) record_waited(time);
  // It ended in a call that returns before its task ends, be it late: see is_answered_at_once().
  if (label->entered == entry_kept) place.count->lost++;
  if (ended_by_seccomp(bpf_get_current_task_btf(), label)) {
    place.count->exits++;
    record_denied_call(0, time, ended_in_call);
  }
  struct record* head = begin_at(&place, sizeof(struct end_record));
  if (!head) return 0;
  struct end_record* end = (struct end_record*)head;
  describe(head, record_end, label, time);
  end->status = task->exit_code;
  commit_at(&place, head, sizeof(*end));
  return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(tk_signal, int signal, struct kernel_siginfo* info) {
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 0;
  u64 time = now_ns();
  struct task_label* label = place.label;
  struct record* head = begin_at(&place, sizeof(struct signal_record));
  if (!head) return 0;
  struct signal_record* delivered = (struct signal_record*)head;
  describe(head, record_signal, label, time);
  delivered->signal = signal;
  // Some kernels take this argument for a number (Ubuntu's 6.8): read as one, not followed.
  delivered->code = info ? BPF_CORE_READ(info, si_code) : 0;
  commit_at(&place, head, sizeof(*delivered));
  return 0;
}
