// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Maps of the kernel side, and how a record gets into the ring of its CPU.
#pragma once

#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

const volatile struct settings settings = {};

// One array of cpu_area for each recorder; slots of recorders that ended are empty.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, recorder_slots);
  __type(key, u32);
  __array(
      values, struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(map_flags, BPF_F_MMAPABLE);
        __uint(max_entries, 1);
        __uint(key_size, sizeof(u32));
        __uint(value_size, sizeof(struct cpu_area) + record_limit);
      });
} recorders SEC(".maps");

// What wakes a recorder that sleeps: the contents are of no interest.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, recorder_slots);
  __type(key, u32);
  __array(
      values, struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, 4096);
      });
} bells SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct scratch);
} scratches SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct task_label);
} labels SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct task_calls);
} calls SEC(".maps");

struct waiter {
  struct bpf_task_work work;
  u32 cpu;
  u32 recorder;
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 16384);
  __type(key, u32);
  __type(value, struct waiter);
} waiters SEC(".maps");

static __always_inline struct cpu_area* area_on(u32 slot, u32 cpu) {
  void* areas = bpf_map_lookup_elem(&recorders, &slot);
  return areas ? bpf_map_lookup_elem(areas, &cpu) : 0;
}

static __always_inline struct cpu_area* area_of(const struct task_label* label) {
  return area_on(label->recorder, bpf_get_smp_processor_id());
}

static __always_inline struct scratch* my_scratch(void) {
  u32 cpu = bpf_get_smp_processor_id();
  return bpf_map_lookup_elem(&scratches, &cpu);
}

static __always_inline u64 used_bytes(const struct cpu_area* area) {
  return area->control.head - *(volatile u64*)&area->control.tail;
}

// `offset` bytes (at most `limit`) into the record that starts at `start`.
static __always_inline u8* record_in(struct cpu_area* area, u64 start, u32 offset, u32 limit) {
  u64 inside = offset;
  barrier_var(start);
  if (start >= settings.ring_bytes) return 0;
  barrier_var(inside);
  if (inside > limit) return 0;
  barrier_var(start);
  barrier_var(inside);  // as in room_at()
  return (u8*)(area + 1) + start + inside;
}

static __always_inline u64 now_ns(void) {
  return bpf_ktime_get_ns();
}

struct spin {
  u64 goal;
  u32 recorder;
};

static long spin_round(u32 round, void* data) {
  struct spin* spin = data;
  struct cpu_area* area = area_on(spin->recorder, bpf_get_smp_processor_id());
  return !area || used_bytes(area) <= spin->goal;
}

// Wakes the consumer. A global function, because it is rare and the verifier would otherwise follow
// it in every program.
__noinline int ring_bell(u32 recorder) {
  u32 slot = recorder;
  struct cpu_area* area = area_on(slot, bpf_get_smp_processor_id());
  void* bell = bpf_map_lookup_elem(&bells, &slot);
  if (!area || !bell) return 0;
  area->control.asleep = 0;
  u64 note = 0;
  bpf_ringbuf_output(bell, &note, sizeof(note), BPF_RB_FORCE_WAKEUP);
  return 0;
}

// Holds the CPU until the ring has drained to `goal` bytes or the rounds are used up.
__noinline int spin_until(u32 recorder, u64 goal) {
  struct spin spin = {.goal = goal, .recorder = recorder};
  ring_bell(recorder);
  bpf_loop(settings.spin_rounds, spin_round, &spin, 0);
  struct cpu_area* area = area_on(spin.recorder, bpf_get_smp_processor_id());
  return area && used_bytes(area) <= goal;
}

static __always_inline void note_wait(struct task_label* label, u64 began) {
  if (!label->waited_ns) label->waited_at = began;
  label->waited_ns += now_ns() - began;
}

// Opens a record of at most `room` bytes; null when the ring is full, which is counted.
static __always_inline struct record* begin(struct cpu_area* area, struct scratch* scratch,
                                            struct session_count* count, struct task_label* label,
                                            u32 room) {
  if (used_bytes(area) + room > settings.ring_bytes) {
    u64 began = now_ns();
    spin_until(label->recorder, settings.ring_bytes - room);
    note_wait(label, began);
    count->waits++;
  }
  if (scratch->busy || used_bytes(area) + room > settings.ring_bytes) {
    count->lost++;
    return 0;
  }
  scratch->busy = 1;
  scratch->recorder = label->recorder;
  scratch->start = area->control.head & (settings.ring_bytes - 1);
  return (struct record*)record_in(area, scratch->start, 0, 0);
}

static __always_inline void commit(struct cpu_area* area, struct scratch* scratch,
                                   struct record* record, u32 size) {
  record->size = size;
  scratch->busy = 0;
  u64 head = area->control.head + size;
  asm volatile("" ::: "memory");  // x86 keeps the order of stores; the compiler must too
  *(volatile u64*)&area->control.head = head;
}

static __always_inline void commit_filled(struct cpu_area* area, struct scratch* scratch) {
  struct record* record = (struct record*)record_in(area, scratch->start, 0, 0);
  if (record) commit(area, scratch, record, (scratch->fill + 7) & ~7u);
}

static __always_inline void describe_of(struct record* record, u8 kind, struct task_label* label,
                                        u64 time, struct task_struct* task) {
  record->kind = kind;
  record->abi = label->abi;
  record->flags = 0;
  record->tid = task->pid;
  record->session = label->session;
  record->time = time;
}

static __always_inline void describe(struct record* record, u8 kind, struct task_label* label,
                                     u64 time) {
  describe_of(record, kind, label, time, bpf_get_current_task_btf());
}

static __always_inline struct task_label* label_of(struct task_struct* task) {
  return bpf_task_storage_get(&labels, task, 0, 0);
}

// The counters of the task's session on this CPU; null when that session is over.
static __always_inline struct session_count* count_of(struct cpu_area* area,
                                                      const struct task_label* label) {
  struct session_count* count = &area->counts[label->session % session_slots];
  return label->epoch == area->control.epoch && count->session == label->session ? count : 0;
}

// Everything a program needs to write a record for the current task.
struct place {
  struct task_label* label;
  struct cpu_area* area;
  struct scratch* scratch;
  struct session_count* count;
};

// 0 if the task of `place->label` is recorded.
static __always_inline int find_place_of_label(struct place* place) {
  if (!place->label) return 1;
  place->area = area_of(place->label);
  place->scratch = my_scratch();
  if (!place->area || !place->scratch) return 1;
  place->count = count_of(place->area, place->label);
  return !place->count;
}

// 0 if the task is recorded.
static __always_inline int find_place(struct place* place, struct task_struct* task) {
  place->label = label_of(task);
  return find_place_of_label(place);
}

static __always_inline struct record* begin_at(struct place* place, u32 room) {
  return begin(place->area, place->scratch, place->count, place->label, room);
}

static __always_inline void commit_at(struct place* place, struct record* record, u32 size) {
  commit(place->area, place->scratch, record, size);
}

// A wait that is over becomes a record of its own, ahead of the task's next one. A global function,
// because it is rare and the verifier would otherwise follow it in every program.
__noinline int record_waited(u64 time) {
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 0;
  struct record* head = begin_at(&place, sizeof(struct wait_record));
  if (!head) return 0;
  struct wait_record* wait = (struct wait_record*)head;
  describe(head, record_wait, place.label, time);
  wait->began = place.label->waited_at;
  wait->duration = place.label->waited_ns;
  place.label->waited_ns = 0;
  commit_at(&place, head, sizeof(*wait));
  return 0;
}
