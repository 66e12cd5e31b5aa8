// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Kernel side of the recorder: at entry and exit of every system call of a labelled task, writes a
// record with the arguments, what they point to and what the kernel knows, into the ring of the
// CPU.
//
// Raw tracepoint programs run with preemption off, so each ring has one writer at a time and plain
// stores do. Nothing here drops an event because an argument could not be read: it is retried at
// exit, and then recorded as missing. Lowest kernel by the helpers used: 5.17 (bpf_loop).
#include "kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char licence[] SEC("license") = "Dual BSD/GPL";

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

enum { kind_argv = 9, kind_identity = 13, kind_absolute_path = 15, kind_path = 1 };
enum { from_enter = 0, from_exit = 1, from_kernel = 2, from_nowhere = 3 };
enum { at_fdcwd = -100, result_argument = 6 };

#define READ_KERNEL(destination, address) \
  bpf_probe_read_kernel(&(destination), sizeof(destination), (const void*)(address))

// ---- rings ----------------------------------------------------------------------------------

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

// A wait that is over becomes a record of its own, ahead of the task's next one.
static __always_inline void record_waited(struct ring_control* control, struct session_count* count,
                                          struct task_label* label, u64 time) {
  if (!label->waited_ns) return;
  struct record* head = begin(control, count, label, sizeof(struct wait_record));
  if (!head) return;
  struct wait_record* wait = (struct wait_record*)head;
  describe(head, record_wait, label, time);
  wait->began = label->waited_at;
  wait->duration = label->waited_ns;
  label->waited_ns = 0;
  commit(control, head, sizeof(*wait));
}

// ---- captures -------------------------------------------------------------------------------
// Global functions: the verifier checks each once. They append to the record being written and
// return 0, or 1 when the memory could not be read, in which case nothing was appended.

static __always_inline void put_head(struct capture_head* head, u32 tag, u32 flags, u32 length,
                                     u32 full) {
  head->argument = tag;
  head->kind = tag >> 8;
  head->provenance = tag >> 16;
  head->flags = flags;
  head->length = length;
  head->full_length = full;
}

static __always_inline void advance(struct ring_control* control, u32 length) {
  control->fill += (sizeof(struct capture_head) + length + 3) & ~3u;
}

// tag: argument, kind << 8, provenance << 16
#define TAG(argument, kind, provenance) ((argument) | (kind) << 8 | (provenance) << 16)

__noinline int put_missing(u32 tag) {
  struct ring_control* control = my_control();
  if (!control) return 0;
  u8* at = record_at(control, control->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, 0, 0, 0);
  advance(control, 0);
  return 0;
}

__noinline int put_string(u32 tag, u64 address, u32 limit) {
  struct ring_control* control = my_control();
  if (!control) return 0;
  u8* at =
      record_at(control, control->fill, record_limit - sizeof(struct capture_head) - string_limit);
  if (!at) return 0;
  if (limit > string_limit) limit = string_limit;
  if (limit == 0) return 0;
  long length = bpf_probe_read_user_str(at + sizeof(struct capture_head), limit, (void*)address);
  if (length <= 0) return 1;
  u32 bytes = (u32)length - 1;
  put_head((struct capture_head*)at, tag, length == limit ? capture_truncated : 0, bytes, bytes);
  advance(control, bytes);
  return 0;
}

__noinline int put_bytes(u32 tag, u64 address, u64 length, u32 limit) {
  struct ring_control* control = my_control();
  if (!control) return 0;
  u8* at = record_at(control, control->fill,
                     record_limit - sizeof(struct capture_head) - structure_limit);
  if (!at) return 0;
  u64 bytes = length;
  if (bytes > limit) bytes = limit;
  if (bytes > structure_limit) bytes = structure_limit;
  if (bytes && bpf_probe_read_user(at + sizeof(struct capture_head), bytes, (void*)address))
    return 1;
  put_head((struct capture_head*)at, tag, bytes < length ? capture_truncated : 0, bytes,
           length > 0xffffffff ? 0xffffffff : length);
  advance(control, bytes);
  return 0;
}

struct strings {
  u64 address;
  u32 budget;
  u32 failed;
};

// bpf_loop and not `for`: the verifier follows the body once, not 256 times.
static long put_next_string(u32 i, void* data) {
  struct strings* strings = data;
  struct ring_control* control = my_control();
  if (!control) return 1;
  u8* at = record_at(control, control->fill,
                     record_limit - sizeof(struct capture_head) - argv_budget - string_limit);
  if (!at) return 1;
  u64 string = 0, offset = control->used;
  strings->failed = bpf_probe_read_user(&string, sizeof(string), (void*)strings->address) != 0;
  if (strings->failed) return 1;
  if (!string) {
    control->flags = 0;
    return 1;
  }
  strings->address += sizeof(string);
  barrier_var(offset);
  if (offset >= strings->budget || offset >= argv_budget) return 1;
  long length = bpf_probe_read_user_str(at + sizeof(struct capture_head) + offset, string_limit,
                                        (void*)string);
  strings->failed = length < 0;
  if (length < 0) return 1;
  control->used += length;
  return 0;
}

__noinline int put_strings(u32 tag, u64 address, u32 budget) {
  struct ring_control* control = my_control();
  if (!control) return 0;
  struct strings strings = {.address = address, .budget = budget};
  control->used = 0;
  control->flags = capture_truncated;
  bpf_loop(argv_strings, put_next_string, &strings, 0);
  if (strings.failed) return 1;
  u8* at = record_at(control, control->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, control->flags, control->used, control->used);
  advance(control, control->used);
  return 0;
}

// The first bytes of what an iovec gathers or scatters, at most `length` bytes of it.
__noinline int put_iovec(u32 tag, u64 address, u64 elements, u64 length) {
  struct ring_control* control = my_control();
  if (!control) return 0;
  u8* at = record_at(control, control->fill,
                     record_limit - sizeof(struct capture_head) - 2 * structure_limit);
  if (!at) return 0;
  u64 total = 0, limit = control->buffer_bytes;
  if (limit > length) limit = length;
  control->used = 0;
  for (u32 i = 0; i < iovec_elements; i++) {
    u64 vector[2];
    if (i >= elements) break;
    if (bpf_probe_read_user(vector, sizeof(vector), (void*)(address + 16 * i))) return 1;
    total += vector[1];
    u64 offset = control->used, bytes = vector[1];
    barrier_var(offset);
    if (offset >= limit || offset > 255) continue;
    if (bytes > limit - offset) bytes = limit - offset;
    barrier_var(bytes);
    if (bytes > 255) bytes = 255;
    if (bytes &&
        bpf_probe_read_user(at + sizeof(struct capture_head) + offset, bytes, (void*)vector[0]))
      return 1;
    control->used += bytes;
  }
  if (total > length) total = length;
  put_head((struct capture_head*)at, tag, control->used < total ? capture_truncated : 0,
           control->used, total > 0xffffffff ? 0xffffffff : total);
  advance(control, control->used);
  return 0;
}

struct user_msghdr {
  u64 name;
  u32 name_length, spare;
  u64 vectors, vector_count, control, control_length;
  u32 flags, spare2;
  u32 bytes;  // of struct mmsghdr
};

__noinline int put_msghdr(u32 argument, u64 address, u32 out, u32 several) {
  struct ring_control* control = my_control();
  struct user_msghdr message = {};
  if (!control) return 0;
  if (bpf_probe_read_user(&message, several ? 60 : 56, (void*)address)) return 1;
  u32 provenance = argument >> 16;
  argument &= 7;
  u64 length = ~0ull;
  if (out) length = several ? message.bytes : (u64)control->result;
  int missing = 0;
  if (message.name && message.name_length)
    missing |= put_bytes(TAG(argument, out ? 8 : 7, provenance), message.name, message.name_length,
                         sockaddr_limit);
  missing |= put_iovec(TAG(argument, out ? 12 : 11, provenance), message.vectors,
                       message.vector_count, length);
  return missing;
}

struct walk {
  u64 root_mount, root_dentry;
};

static long walk_up(u32 i, void* data) {
  struct walk* walk = data;
  struct ring_control* control = my_control();
  if (!control) return 1;
  u8* at = record_at(control, control->fill,
                     record_limit - sizeof(struct capture_head) - walk_budget - 256);
  if (!at) return 1;
  u64 dentry = control->dentry, parent = 0, name = 0, offset = control->used;
  if (dentry == walk->root_dentry && control->mount == walk->root_mount) {
    control->flags |= capture_complete;
    return 1;
  }
  if (dentry == control->mount_root) {
    u64 self = control->mount - bpf_core_field_offset(struct mount, mnt);
    READ_KERNEL(parent, &((struct mount*)self)->mnt_parent);
    if (parent == self || !parent) return 1;  // the mount is not below the task's root
    READ_KERNEL(control->dentry, &((struct mount*)self)->mnt_mountpoint);
    parent += bpf_core_field_offset(struct mount, mnt);
    control->mount = parent;
    READ_KERNEL(control->mount_root, &((struct vfsmount*)parent)->mnt_root);
    return 0;
  }
  READ_KERNEL(parent, &((struct dentry*)dentry)->d_parent);
  READ_KERNEL(name, &((struct dentry*)dentry)->d_name.name);
  barrier_var(offset);
  if (offset > walk_budget) return 1;
  long length =
      bpf_probe_read_kernel_str(at + sizeof(struct capture_head) + offset, 256, (void*)name);
  if (length <= 0) return 1;
  control->used += length;
  control->dentry = parent;
  return parent == dentry;  // a pipe, a socket, an unreachable tree
}

// Names from `dentry` up to the root of the task, over mounts; written leaf first, because that is
// the order in which the kernel has them. The reader turns them round.
__noinline int put_walk(u32 tag, u64 mount, u64 dentry, u32 flags) {
  struct ring_control* control = my_control();
  if (!control) return 0;
  struct task_struct* task = bpf_get_current_task_btf();
  struct walk walk = {};
  walk.root_dentry = (u64)task->fs->root.dentry;
  walk.root_mount = (u64)task->fs->root.mnt;
  control->used = 0;
  control->flags = capture_components | flags;
  control->mount = mount;
  control->dentry = dentry;
  READ_KERNEL(control->mount_root, &((struct vfsmount*)mount)->mnt_root);
  bpf_loop(walk_steps, walk_up, &walk, 0);
  u8* at = record_at(control, control->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, control->flags, control->used, control->used);
  advance(control, control->used);
  return 0;
}

static __always_inline u64 file_of(u32 fd) {
  struct task_struct* task = bpf_get_current_task_btf();
  u64 file = 0;
  if (fd >= BPF_CORE_READ(task, files, fdt, max_fds)) return 0;
  struct file** files = BPF_CORE_READ(task, files, fdt, fd);
  READ_KERNEL(file, files + fd);
  return file;
}

// Identity and path of a file that the kernel used.
__noinline int put_file(u32 argument, u64 file_address) {
  struct ring_control* control = my_control();
  if (!control || !file_address) return 0;
  u8* at = record_at(control, control->fill, record_limit - sizeof(struct capture_head) - 24);
  if (!at) return 0;
  struct file* file = (struct file*)file_address;
  struct inode* inode = BPF_CORE_READ(file, f_inode);
  u32 device = BPF_CORE_READ(inode, i_sb, s_dev);
  u8* identity = at + sizeof(struct capture_head);
  u64 number = BPF_CORE_READ(inode, i_ino);
  *(u32*)(identity + 0) = (u32)number;
  *(u32*)(identity + 4) = (u32)(number >> 32);
  *(u32*)(identity + 8) = device >> 20;
  *(u32*)(identity + 12) = device & 0xfffff;
  *(u32*)(identity + 16) = BPF_CORE_READ(inode, i_mode);
  *(u32*)(identity + 20) = 0;
  put_head((struct capture_head*)at, TAG(argument, kind_identity, from_kernel), 0, 24, 24);
  advance(control, 24);
  struct path path = {};
  bpf_core_read(&path.mnt, sizeof(path.mnt), &file->f_path.mnt);
  bpf_core_read(&path.dentry, sizeof(path.dentry), &file->f_path.dentry);
  return put_walk(TAG(argument, kind_absolute_path, from_kernel), (u64)path.mnt, (u64)path.dentry,
                  0);
}

// The directory that a relative path starts from.
__noinline int put_base(u32 argument, u64 path_address, u32 dirfd_argument) {
  struct ring_control* control = my_control();
  u8 first = 0;
  if (!control) return 0;
  if (!bpf_probe_read_user(&first, 1, (void*)path_address) && first == '/') return 0;
  struct task_struct* task = bpf_get_current_task_btf();
  u64 mount = 0, dentry = 0;
  s32 fd = dirfd_argument < 6 ? (s32)control->args[dirfd_argument & 7] : at_fdcwd;
  if (fd == at_fdcwd) {
    mount = (u64)BPF_CORE_READ(task, fs, pwd.mnt);
    dentry = (u64)BPF_CORE_READ(task, fs, pwd.dentry);
  } else {
    struct file* file = (struct file*)file_of(fd);
    if (!file) return 0;
    mount = (u64)BPF_CORE_READ(file, f_path.mnt);
    dentry = (u64)BPF_CORE_READ(file, f_path.dentry);
  }
  return put_walk(TAG(argument, kind_absolute_path, from_kernel), mount, dentry, capture_base);
}

// Captures argument `i` of a call at entry (phase from_enter), again at exit because it was missing
// (from_exit), or, with `out`, what the kernel left there.
__noinline int put_argument(u32 index, u32 i, u32 provenance, u32 out) {
  struct ring_control* control = my_control();
  if (!control || i > 5) return 0;
  const volatile struct plan_argument* spec =
      &settings.plans[index % (2 * plan_numbers)].arguments[i];
  u64 address = control->args[i];
  if (!address) return 0;
  u32 tag = TAG(i, (u32)(out ? spec->kind_out : spec->kind_in), provenance);
  u32 source = spec->length, limit = control->buffer_bytes;
  u64 length = spec->unit, other = control->args[spec->length_argument & 7];
  if (source == plan_length_argument)
    length *= other;
  else if (source == plan_length_result)
    length *= (u64)control->result;
  else if (source == plan_length_ioctl)
    length = other >> 16 & 0x3fff;
  else if (source == plan_length_pointed) {
    u32 pointed = 0;
    if (bpf_probe_read_user(&pointed, sizeof(pointed), (void*)other)) return 1;
    length = pointed;
  } else
    limit = structure_limit;
  u32 operation = spec->operation;
  if (operation == plan_string) return put_string(tag, address, spec->unit);
  if (operation == plan_bytes) return length ? put_bytes(tag, address, length, limit) : 0;
  if (operation == plan_sockaddr)
    return length ? put_bytes(tag, address, length, sockaddr_limit) : 0;
  if (control->narrow) return 0;  // 32-bit arrays of pointers are not followed
  if (operation == plan_strings) return put_strings(tag, address, spec->unit);
  if (operation == plan_iovec)
    return put_iovec(tag, address, other, out ? (u64)control->result : ~0ull);
  if (operation == plan_msghdr) return put_msghdr(tag & 0xff00ff, address, out, spec->several);
  return 0;
}

static __always_inline u32 plan_index(u8 abi, u64 number) {
  if (abi == 2) number &= ~0x40000000ull;
  if (number >= plan_numbers) return 2 * plan_numbers;
  return abi == 1 ? plan_numbers + number : number;
}

__noinline int put_directory(u32 argument) {
  struct task_struct* task = bpf_get_current_task_btf();
  u64 mount = (u64)BPF_CORE_READ(task, fs, pwd.mnt);
  u64 dentry = (u64)BPF_CORE_READ(task, fs, pwd.dentry);
  return put_walk(TAG(argument, kind_absolute_path, from_kernel), mount, dentry, 0);
}

// With `last`, arguments that cannot be read are recorded as missing: there is no retry.
__noinline int put_enter_arguments(u32 index, u32 provenance, u32 last) {
  struct ring_control* control = my_control();
  if (!control || index >= 2 * plan_numbers) return 0;
  const volatile struct plan* plan = &settings.plans[index];
  for (u32 i = 0; i < 6; i++) {
    if (plan->enter_mask >> i & 1 && put_argument(index, i, provenance, 0)) {
      control->missing |= 1u << i;
      if (last) put_missing(TAG(i, (u32)plan->arguments[i].kind_in, from_nowhere));
    }
    if (plan->flags & plan_base_always && plan->base_mask >> i & 1)
      put_base(i, control->args[i], plan->dirfd[i]);
  }
  if (plan->flags & plan_identify_fd) put_file(0, file_of(control->args[0]));
  return 0;
}

__noinline int put_exit_arguments(u32 index, u32 retry) {
  struct ring_control* control = my_control();
  if (!control || index >= 2 * plan_numbers) return 0;
  const volatile struct plan* plan = &settings.plans[index];
  s64 result = control->result;
  for (u32 i = 0; i < 6; i++) {
    if (retry >> i & 1 &&
        (plan->flags & plan_replaces_image && result == 0 ? 1
                                                          : put_argument(index, i, from_exit, 0)))
      put_missing(TAG(i, (u32)plan->arguments[i].kind_in, from_nowhere));
    if (result >= 0 && plan->exit_mask >> i & 1 && put_argument(index, i, from_exit - 1, 1))
      put_missing(TAG(i, (u32)plan->arguments[i].kind_out, from_nowhere));
    if (result < 0 && plan->flags & plan_base_failed && plan->base_mask >> i & 1)
      put_base(i, control->args[i], plan->dirfd[i]);
  }
  if (result >= 0 && plan->flags & plan_returns_file) put_file(result_argument, file_of(result));
  if (result == 0 && plan->flags & plan_new_directory) put_directory(0);
  return 0;
}

// ---- system calls ---------------------------------------------------------------------------

static __always_inline u8 abi_of(u64 number) {
  // Not the code segment: 64-bit code may execute int 0x80.
  if (bpf_get_current_task_btf()->thread_info.status & 2) return 1;  // TS_COMPAT
  return number & 0x40000000 ? 2 : 0;
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

static __always_inline void prepare(struct ring_control* control, struct session_count* count,
                                    struct task_label* label, struct pt_regs* regs, u32 fixed,
                                    s64 result) {
  read_arguments(control->args, regs, label->abi);
  control->fill = fixed;
  control->missing = 0;
  control->result = result;
  control->buffer_bytes = count->buffer_bytes;
  control->narrow = label->abi != 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sc_enter, struct pt_regs* regs, long number) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 time = now_ns();
  struct session_count* count = count_of(label);
  struct ring_control* control = my_control();
  if (!count || !control) return 0;
  u64 nr = (u32)number;
  label->fresh = 0;
  label->entered = 1;
  label->number = nr;
  label->abi = abi_of(nr);
  label->missing = 0;
  count->enters++;
  record_waited(control, count, label, time);
  u32 index = plan_index(label->abi, nr), room = sizeof(struct enter_record), mask = 0;
  if (index < 2 * plan_numbers) {
    mask = settings.plans[index].enter_work;
    if (mask) room = settings.plans[index].enter_room;
  }
  struct record* head = begin(control, count, label, room);
  if (!head) return 0;
  struct enter_record* enter = (struct enter_record*)head;
  describe(head, record_enter, label, time);
  enter->number = nr;
  read_arguments(enter->args, regs, label->abi);
  if (!mask) {
    commit(control, head, sizeof(*enter));
    return 0;
  }
  prepare(control, count, label, regs, sizeof(*enter), 0);
  put_enter_arguments(index, from_enter, 0);
  label->missing = control->missing;
  commit_filled(control);
  return 0;
}

static __always_inline struct ring_control* exit_record_of(struct pt_regs* regs, s64 result,
                                                           struct task_label* label,
                                                           struct session_count* count, u64 time) {
  struct ring_control* control = my_control();
  if (!control) return 0;
  if (!label->entered && label->fresh) {
    label->fresh = 0;
    count->first_returns++;
    return control;
  }
  count->exits++;
  record_waited(control, count, label, time);
  if (!label->entered) {  // seccomp answered before the entry tracepoint
    u64 nr = (u32)regs->orig_ax;
    label->abi = abi_of(nr);
    u32 index = plan_index(label->abi, nr), room = sizeof(struct denied_record), mask = 0;
    if (index < 2 * plan_numbers) {
      mask = settings.plans[index].enter_work;
      if (mask) room = settings.plans[index].enter_room;
    }
    struct record* head = begin(control, count, label, room);
    if (!head) return control;
    struct denied_record* denied = (struct denied_record*)head;
    describe(head, record_denied, label, time);
    denied->number = nr;
    denied->result = result;
    read_arguments(denied->args, regs, label->abi);
    if (!mask) {
      commit(control, head, sizeof(*denied));
      return control;
    }
    prepare(control, count, label, regs, sizeof(*denied), result);
    put_enter_arguments(index, from_exit, 1);
    commit_filled(control);
    return control;
  }
  label->entered = 0;
  u32 index = plan_index(label->abi, label->number), room = sizeof(struct exit_record), more = 0;
  if (index < 2 * plan_numbers) {
    u8 flags = settings.plans[index].flags;
    more = label->missing || (result >= 0 && settings.plans[index].exit_mask) ||
           (result >= 0 && flags & (plan_returns_file | plan_new_directory)) ||
           (result < 0 && flags & plan_base_failed);
    if (more) room = settings.plans[index].exit_room;
  }
  struct record* head = begin(control, count, label, room);
  if (!head) return control;
  struct exit_record* exit = (struct exit_record*)head;
  describe(head, record_exit, label, time);
  exit->result = result;
  if (!more) {
    commit(control, head, sizeof(*exit));
    return control;
  }
  prepare(control, count, label, regs, sizeof(*exit), result);
  put_exit_arguments(index, label->missing);
  commit_filled(control);
  return control;
}

// ---- back-pressure --------------------------------------------------------------------------

extern int bpf_task_work_schedule_resume_impl(
    struct task_struct* task, struct bpf_task_work* work, void* map__map,
    int (*callback)(struct bpf_map* map, void* key, void* value), void* aux__prog) __ksym __weak;
extern struct task_struct* bpf_task_from_pid(s32 pid) __ksym __weak;
extern void bpf_task_release(struct task_struct* task) __ksym __weak;

struct wait_state {
  struct task_struct* consumer;
  u64 until;
  u32 cpu;
};

static long wait_round(u32 round, void* data) {
  struct wait_state* state = data;
  struct ring_control* control = control_of(state->cpu);
  u64 byte;
  if (!control || used_bytes(control) < settings.high_water / 2 || now_ns() > state->until)
    return 1;
  if (bpf_get_current_task_btf()->pending.signal.sig[0] & 1ull << 8) return 1;  // SIGKILL
  // Sleeps where the scheduler wants it to; reads nothing of interest.
  bpf_copy_from_user_task(&byte, sizeof(byte), (void*)settings.consumer_byte, state->consumer, 0);
  return 0;
}

// Runs in the task on its way back to user mode, sleepable: no signal, no EINTR, state R.
static int wait_for_room(struct bpf_map* map, void* key, void* value) {
  struct waiter* waiter = value;
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 began = now_ns();
  struct wait_state state = {.until = began + settings.wait_limit_ns, .cpu = waiter->cpu};
  state.consumer = bpf_task_from_pid(settings.consumer_pid);
  if (!state.consumer) {
    bpf_send_signal(9);  // nobody will ever read the ring again: nothing may run unrecorded
    return 0;
  }
  bpf_loop(1 << 23, wait_round, &state, 0);
  bpf_task_release(state.consumer);
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
  return bpf_task_work_schedule_resume_impl(bpf_get_current_task_btf(), &waiter->work, &waiters,
                                            wait_for_room, 0);
}

static __always_inline void spin_wait(struct task_label* label) {
  u64 began = now_ns();
  spin_until(settings.high_water / 2);
  note_wait(label, began);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sc_exit, struct pt_regs* regs, long result) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 time = now_ns();
  struct session_count* count = count_of(label);
  if (!count) return 0;
  struct ring_control* control = exit_record_of(regs, result, label, count, time);
  if (!control || used_bytes(control) < settings.high_water) return 0;
  count->waits++;
  if (schedule_wait(label)) spin_wait(label);
  return 0;
}

// For kernels without task work.
SEC("tp_btf/sys_exit")
int BPF_PROG(sc_exit_spin, struct pt_regs* regs, long result) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 time = now_ns();
  struct session_count* count = count_of(label);
  if (!count) return 0;
  struct ring_control* control = exit_record_of(regs, result, label, count, time);
  if (!control || used_bytes(control) < settings.high_water) return 0;
  count->waits++;
  spin_wait(label);
  return 0;
}

// ---- life cycle -----------------------------------------------------------------------------

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
  u64 time = now_ns();
  struct session_count* count = count_of(label);
  struct ring_control* control = my_control();
  if (!count || !control) return 0;
  struct task_label* child = bpf_task_storage_get(&labels, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
  if (child) {
    child->session = label->session;
    child->origin_call = label->origin_call;
    child->active_call = label->active_call;
    child->fresh = 1;
  } else {
    count->lost++;  // the child runs unrecorded: the trace is not complete
  }
  struct record* head = begin(control, count, label, sizeof(struct start_record));
  if (!head) return 0;
  struct start_record* start = (struct start_record*)head;
  describe(head, record_start, label, time);
  start->tid = task->pid;
  start->pid = task->tgid;
  start->inside_tid = inside_number(BPF_CORE_READ(task, thread_pid));
  start->inside_pid = inside_number(BPF_CORE_READ(task, group_leader, thread_pid));
  start->origin_call = label->origin_call;
  start->active_call = label->active_call;
  start->flags = flags;
  commit(control, head, sizeof(*start));
  return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(tk_exec, struct task_struct* task, s32 old_tid, struct linux_binprm* program) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 time = now_ns();
  struct session_count* count = count_of(label);
  struct ring_control* control = my_control();
  if (!count || !control) return 0;
  u32 missing = label->missing;
  label->missing = 0;  // the old image is gone
  struct record* head = begin(control, count, label, record_limit);
  if (!head) return 0;
  struct exec_record* exec = (struct exec_record*)head;
  describe(head, record_exec, label, time);
  exec->old_tid = old_tid;
  control->fill = sizeof(*exec);
  put_file(result_argument, (u64)BPF_CORE_READ(task, mm, exe_file));
  if (missing) {
    u64 from = BPF_CORE_READ(task, mm, arg_start), to = BPF_CORE_READ(task, mm, arg_end);
    put_bytes(TAG(1, kind_argv, from_exit), from, to - from, structure_limit);
    u8* at = record_at(control, control->fill,
                       record_limit - sizeof(struct capture_head) - string_limit);
    if (at) {
      const char* name = BPF_CORE_READ(program, filename);
      long length = bpf_probe_read_kernel_str(at + sizeof(struct capture_head), string_limit, name);
      if (length > 0) {
        u32 bytes = length - 1;
        put_head((struct capture_head*)at, TAG(0, kind_path, from_kernel), 0, bytes, bytes);
        advance(control, bytes);
      }
    }
  }
  commit_filled(control);
  return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(tk_exit, struct task_struct* task) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 time = now_ns();
  struct session_count* count = count_of(label);
  struct ring_control* control = my_control();
  if (label->waited_before) {
    u32 tid = task->pid;
    bpf_map_delete_elem(&waiters, &tid);
  }
  if (!count || !control) return 0;
  record_waited(control, count, label, time);
  struct record* head = begin(control, count, label, sizeof(struct end_record));
  if (!head) return 0;
  struct end_record* end = (struct end_record*)head;
  describe(head, record_end, label, time);
  end->status = task->exit_code;
  commit(control, head, sizeof(*end));
  return 0;
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(tk_signal, int signal, struct kernel_siginfo* info) {
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 time = now_ns();
  struct session_count* count = count_of(label);
  struct ring_control* control = my_control();
  if (!count || !control) return 0;
  struct record* head = begin(control, count, label, sizeof(struct signal_record));
  if (!head) return 0;
  struct signal_record* delivered = (struct signal_record*)head;
  describe(head, record_signal, label, time);
  delivered->signal = signal;
  delivered->code = info ? info->si_code : 0;
  commit(control, head, sizeof(*delivered));
  return 0;
}
