// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Which tasks are recorded. A label is in task storage, but a look-up there is a call of the
// kernel, and so is asking for the current task: where calls are dear, both cost a multiple of the
// record. So the label of a task sits where the address of its registers leads to, which every
// program of a system call is given, and which no two living tasks share. An empty seat says that
// the task is not recorded, without any call.
#pragma once

#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
  __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct task_label);
} labels SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, u32);
  __type(value, struct seating);
} seatings SEC(".maps");

// From Linux 6.2 on the fields of an object whose address is known are loaded as they are of
// objects that the kernel hands over; before, each is a call.
extern void* bpf_rdonly_cast(const void* object, u32 type) __ksym __weak;

// A field of the current task, whose address is known; without the cast asking for it costs less
// than the load.
#define TASK_FIELD(address, field)                                                        \
  (bpf_rdonly_cast ? ((struct task_struct*)bpf_rdonly_cast(                               \
                          (void*)(address), bpf_core_type_id_kernel(struct task_struct))) \
                         ->field                                                          \
                   : bpf_get_current_task_btf()->field)

static __always_inline struct seating* all_seats(void) {
  u32 first = 0;
  return bpf_map_lookup_elem(&seatings, &first);
}

static __always_inline struct seat* seat_of(struct seating* seating, u64 page) {
  u64 place = (page >> page_shift) * 0x9E3779B97F4A7C15ull >> (64 - seats_log2);
  barrier_var(place);
  return &seating->seats[place & ((1u << seats_log2) - 1)];
}

// The page of the registers that a task has at each of its calls, counted from the seats, which
// begin a page: of addresses, the verifier lets programs compute the difference only.
static __always_inline u64 page_of(const struct seating* seating, const void* regs) {
  u64 distance = (u64)regs;
  asm volatile("%0 -= %1" : "+r"(distance) : "r"(seating));
  return distance & ~(u64)seat_crowd;
}

static __always_inline struct task_label* stored_label(struct seating* seating,
                                                       struct task_struct* task) {
  struct task_label* stored = bpf_task_storage_get(&labels, task, 0, 0);
  return stored && stored->generation == seating->generation ? stored : 0;
}

// Gives a stored label its seat, or counts it where somebody else has that. Of the current task, or
// of one that does not run yet.
static __always_inline void sit_down(struct seating* seating, struct task_label* label,
                                     struct task_struct* task, u64 page) {
  struct seat* seat = seat_of(seating, page);
  u64 key = seat->key;
  // One that holds the page already is the task's own, of a label that this one replaces.
  if ((key & ~(u64)seat_crowd) != page &&
      (key & ~(u64)seat_crowd || __sync_val_compare_and_swap(&seat->key, key, key | page) != key)) {
    __sync_fetch_and_add(&seat->key, 1);
    label->place = label_stands;
    return;
  }
  label->place = label_sits;
  seat->task = (u64)task;
  seat->label = *label;
}

// The task ends: what is left of its label is in task storage again.
static __always_inline void stand_up(struct task_struct* task) {
  struct seating* seating = all_seats();
  if (!seating) return;
  struct task_label* stored = stored_label(seating, task);
  if (!stored) return;
  u64 page = page_of(seating, (void*)bpf_task_pt_regs(task));
  struct seat* seat = seat_of(seating, page);
  u8 place = stored->place;
  if (place == label_arrives) {
    __sync_fetch_and_add(&seating->arriving, -1);
  } else if (place == label_stands) {
    __sync_fetch_and_add(&seat->key, -1);
  } else if (place == label_sits && (seat->key & ~(u64)seat_crowd) == page) {
    *stored = seat->label;
    __sync_fetch_and_add(&seat->key, -page);
  }
  stored->place = label_left;
}

static __always_inline struct task_label* label_of(struct task_struct* task) {
  struct seating* seating = all_seats();
  if (!seating) return 0;
  struct task_label* stored = stored_label(seating, task);
  if (!stored || stored->place != label_sits) return stored;
  u64 page = page_of(seating, (void*)bpf_task_pt_regs(task));
  struct seat* seat = seat_of(seating, page);
  return (seat->key & ~(u64)seat_crowd) == page ? &seat->label : 0;
}

// Of the current task, whose seat does not tell: 0, it is not recorded. Seats it if its label has
// just arrived. A global function, because it is rare and the verifier would otherwise follow it in
// every program.
__noinline int place_of_label(u64 page) {
  struct task_struct* task = bpf_get_current_task_btf();
  // What has no storage of any program has none of ours.
  if (!task->bpf_storage) return 0;
  struct seating* seating = all_seats();
  if (!seating) return 0;
  struct task_label* stored = stored_label(seating, task);
  if (!stored) return 0;
  if (stored->place == label_arrives) {
    __sync_fetch_and_add(&seating->arriving, -1);
    sit_down(seating, stored, task, page);
  }
  return stored->place;
}

// The label of the current task in a program of a system call, and the task's address.
static __always_inline struct task_label* label_at(const struct pt_regs* regs, u64* task) {
  struct seating* seating = all_seats();
  if (!seating) return 0;
  u64 page = page_of(seating, regs);
  struct seat* seat = seat_of(seating, page);
  u64 key = seat->key;
  int sits = (key & ~(u64)seat_crowd) == page;
  u32 arriving = *(volatile u32*)&seating->arriving;
  if (!key && !arriving) return 0;
  if (!sits || arriving) {
    int place = place_of_label(page);
    if (!place) return 0;
    if (place != label_sits) {
      struct task_struct* current = bpf_get_current_task_btf();
      *task = (u64)current;
      return stored_label(seating, current);
    }
    if ((seat->key & ~(u64)seat_crowd) != page) return 0;
  }
  *task = seat->task;
  return &seat->label;
}
