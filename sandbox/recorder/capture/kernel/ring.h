// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Maps of the kernel side, and how a record gets into the ring of its CPU.
#pragma once

#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile struct settings settings = {};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct ring_control);
} controls SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(u32));
  __uint(value_size, (1u << 22) + record_limit);
} rings SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, session_slots);
  __type(key, u32);
  __type(value, struct session_count);
} counts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct task_label);
} labels SEC(".maps");

struct waiter {
  struct bpf_task_work work;
  u32 cpu;
  u32 spare;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 4096);
  __type(key, u32);
  __type(value, struct waiter);
} waiters SEC(".maps");

static __always_inline struct ring_control* control_of(u32 cpu) {
  return bpf_map_lookup_elem(&controls, &cpu);
}

static __always_inline struct ring_control* my_control(void) {
  return control_of(bpf_get_smp_processor_id());
}

static __always_inline u64 used_bytes(const struct ring_control* control) {
  return control->head - *(volatile u64*)&control->tail;
}

// The address `offset` bytes (at most `limit`) into the record being written.
static __always_inline u8* record_at(struct ring_control* control, u32 offset, u32 limit) {
  u32 cpu = bpf_get_smp_processor_id();
  u8* ring = bpf_map_lookup_elem(&rings, &cpu);
  if (!ring) return 0;
  u64 start = control->start;
  u64 inside = offset;
  barrier_var(start);
  if (start >= settings.ring_bytes) return 0;
  barrier_var(inside);
  if (inside > limit) return 0;
  return ring + start + inside;
}

static __always_inline u64 now_ns(void) {
  return bpf_ktime_get_ns();
}

struct spin {
  struct ring_control* control;
  u64 goal;
};

static long spin_round(u32 round, void* data) {
  struct ring_control* control = my_control();
  return !control || used_bytes(control) <= *(u64*)data;
}

// Holds the CPU until the ring has drained to `goal` bytes or the rounds are used up.
__noinline int spin_until(u64 goal) {
  u64 wanted = goal;
  bpf_loop(settings.spin_rounds, spin_round, &wanted, 0);
  struct ring_control* control = my_control();
  return control && used_bytes(control) <= goal;
}

static __always_inline void note_wait(struct task_label* label, u64 began) {
  if (!label->waited_ns) label->waited_at = began;
  label->waited_ns += now_ns() - began;
}

// Opens a record of at most `room` bytes; null when the ring is full, which is counted.
static __always_inline struct record* begin(struct ring_control* control,
                                            struct session_count* count, struct task_label* label,
                                            u32 room) {
  if (used_bytes(control) + room > settings.ring_bytes) {
    u64 began = now_ns();
    spin_until(settings.ring_bytes - room);
    note_wait(label, began);
    count->waits++;
  }
  if (control->busy || used_bytes(control) + room > settings.ring_bytes) {
    count->lost++;
    return 0;
  }
  control->busy = 1;
  control->start = control->head & (settings.ring_bytes - 1);
  return (struct record*)record_at(control, 0, 0);
}

static __always_inline void commit(struct ring_control* control, struct record* record, u32 size) {
  record->size = size;
  control->busy = 0;
  u64 head = control->head + size;
  asm volatile("" ::: "memory");  // x86 keeps the order of stores; the compiler must too
  *(volatile u64*)&control->head = head;
}

static __always_inline void commit_filled(struct ring_control* control) {
  struct record* record = (struct record*)record_at(control, 0, 0);
  if (record) commit(control, record, (control->fill + 7) & ~7u);
}

static __always_inline void describe(struct record* record, u8 kind, struct task_label* label,
                                     u64 time) {
  record->kind = kind;
  record->abi = label->abi;
  record->tid = (u32)bpf_get_current_pid_tgid();
  record->session = label->session;
  record->time = time;
}

static __always_inline struct task_label* label_of(struct task_struct* task) {
  return bpf_task_storage_get(&labels, task, 0, 0);
}

// The counters of the task's session on this CPU; null when that session is over.
static __always_inline struct session_count* count_of(const struct task_label* label) {
  u32 index = (label->session % session_slots) * settings.cpu_count + bpf_get_smp_processor_id();
  struct session_count* count = bpf_map_lookup_elem(&counts, &index);
  return count && count->session == label->session ? count : 0;
}

// A wait that is over becomes a record of its own, ahead of the task's next one. A global function,
// because it is rare and the verifier would otherwise follow it in every program.
__noinline int record_waited(u64 time) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  struct ring_control* control = my_control();
  if (!label || !control) return 0;
  struct session_count* count = count_of(label);
  if (!count) return 0;
  struct record* head = begin(control, count, label, sizeof(struct wait_record));
  if (!head) return 0;
  struct wait_record* wait = (struct wait_record*)head;
  describe(head, record_wait, label, time);
  wait->began = label->waited_at;
  wait->duration = label->waited_ns;
  label->waited_ns = 0;
  commit(control, head, sizeof(*wait));
  return 0;
}
