// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// What the arguments of a call point to, and what the kernel knows about files,
// copied behind the fixed part of a record by the call's plan.
#pragma once

#include "ring.h"

enum {
  kind_path = 1,
  kind_structure_in = 5,
  kind_structure_out = 6,
  kind_argv = 9,
  kind_identity = 13,
  kind_socket_peer = 14,
  kind_absolute_path = 15,
};
enum { from_enter = 0, from_exit = 1, from_kernel = 2, from_nowhere = 3, from_result = 4 };
enum { at_fdcwd = -100, result_argument = 6 };

// Where the record being written is; the ring has this much behind every possible start. Passed
// along, so that each function need not look it up.
struct room {
  u8 bytes[record_limit];
};

#define READ_KERNEL(destination, address) \
  bpf_probe_read_kernel(&(destination), sizeof(destination), (const void*)(address))

// Global functions: the verifier checks each once. They append to the record
// being written and return 0, or 1 when the memory could not be read, in which
// case nothing was appended.

static __always_inline void put_head(struct capture_head* head, u32 tag, u32 flags, u32 length,
                                     u32 full) {
  head->argument = tag;
  head->kind = tag >> 8;
  head->provenance = tag >> 16;
  head->flags = flags;
  head->length = length;
  head->full_length = full;
}

static __always_inline u8* room_at(struct room* room, u32 offset, u32 limit) {
  u64 inside = offset;
  barrier_var(inside);
  if (inside > limit) return 0;
  return room->bytes + inside;
}

static __always_inline void advance(struct scratch* scratch, u32 length) {
  scratch->fill += (sizeof(struct capture_head) + length + 3) & ~3u;
}

// tag: argument, kind << 8, provenance << 16
#define TAG(argument, kind, provenance) ((argument) | (kind) << 8 | (provenance) << 16)
#define LIMIT(bytes) ((u64)(bytes) << 32)

__noinline int put_missing(struct room* room, struct scratch* scratch, u32 tag) {
  if (!room || !scratch) return 0;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, 0, 0, 0);
  advance(scratch, 0);
  return 0;
}

__noinline int put_string(struct room* room, struct scratch* scratch, u32 tag, u64 address,
                          u32 limit) {
  if (!room || !scratch) return 0;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - string_limit);
  if (!at) return 0;
  if (limit > string_limit) limit = string_limit;
  if (limit == 0) return 0;
  long length = bpf_probe_read_user_str(at + sizeof(struct capture_head), limit, (void*)address);
  if (length <= 0) return 1;
  u32 bytes = (u32)length - 1;
  put_head((struct capture_head*)at, tag, length == limit ? capture_truncated : 0, bytes, bytes);
  advance(scratch, bytes);
  return 0;
}

__noinline int put_bytes(struct room* room, struct scratch* scratch, u64 tag_and_limit, u64 address,
                         u64 length) {
  u32 tag = tag_and_limit, limit = tag_and_limit >> 32;
  if (!room || !scratch) return 0;
  u8* at =
      room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - structure_limit);
  if (!at) return 0;
  u64 bytes = length;
  if (bytes > limit) bytes = limit;
  if (bytes > structure_limit) bytes = structure_limit;
  if (bytes && bpf_probe_read_user(at + sizeof(struct capture_head), bytes, (void*)address))
    return 1;
  put_head((struct capture_head*)at, tag, bytes < length ? capture_truncated : 0, bytes,
           length > 0xffffffff ? 0xffffffff : length);
  advance(scratch, bytes);
  return 0;
}

struct strings {
  struct room* room;
  struct scratch* scratch;
  u64 address;
  u32 budget;
  u32 failed;
};

// bpf_loop and not `for`: the verifier follows the body once, not 256 times.
static long put_next_string(u32 i, void* data) {
  struct strings* strings = data;
  struct room* room = strings->room;
  struct scratch* scratch = strings->scratch;
  u8* at = room_at(room, scratch->fill,
                   record_limit - sizeof(struct capture_head) - argv_budget - string_limit);
  if (!at) return 1;
  u64 string = 0, offset = scratch->used;
  strings->failed = bpf_probe_read_user(&string, sizeof(string), (void*)strings->address) != 0;
  if (strings->failed) return 1;
  if (!string) {
    scratch->flags = 0;
    return 1;
  }
  strings->address += sizeof(string);
  barrier_var(offset);
  if (offset >= strings->budget || offset >= argv_budget) return 1;
  long length = bpf_probe_read_user_str(at + sizeof(struct capture_head) + offset, string_limit,
                                        (void*)string);
  strings->failed = length < 0;
  if (length < 0) return 1;
  scratch->used += length;
  return 0;
}

__noinline int put_strings(struct room* room, struct scratch* scratch, u32 tag, u64 address,
                           u32 budget) {
  if (!room || !scratch) return 0;
  struct strings strings = {.room = room, .scratch = scratch, .address = address, .budget = budget};
  scratch->used = 0;
  scratch->flags = capture_truncated;
  bpf_loop(argv_strings, put_next_string, &strings, 0);
  if (strings.failed) return 1;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, scratch->flags, scratch->used, scratch->used);
  advance(scratch, scratch->used);
  return 0;
}

// The first bytes of what an iovec gathers or scatters, at most `length` bytes
// of it.
__noinline int put_iovec(struct room* room, struct scratch* scratch, u32 tag, u64 address,
                         u64 elements) {
  if (!room || !scratch) return 0;
  u8* at = room_at(room, scratch->fill,
                   record_limit - sizeof(struct capture_head) - 2 * structure_limit);
  if (!at) return 0;
  u64 total = 0, length = scratch->length, limit = scratch->buffer_bytes;
  if (limit > length) limit = length;
  scratch->used = 0;
  for (u32 i = 0; i < iovec_elements; i++) {
    u64 vector[2];
    if (i >= elements) break;
    if (bpf_probe_read_user(vector, sizeof(vector), (void*)(address + 16 * i))) return 1;
    total += vector[1];
    u64 offset = scratch->used, bytes = vector[1];
    barrier_var(offset);
    if (offset >= limit || offset > 255) continue;
    if (bytes > limit - offset) bytes = limit - offset;
    barrier_var(bytes);
    if (bytes > 255) bytes = 255;
    if (bytes &&
        bpf_probe_read_user(at + sizeof(struct capture_head) + offset, bytes, (void*)vector[0]))
      return 1;
    scratch->used += bytes;
  }
  if (total > length) total = length;
  put_head((struct capture_head*)at, tag, scratch->used < total ? capture_truncated : 0,
           scratch->used, total > 0xffffffff ? 0xffffffff : total);
  advance(scratch, scratch->used);
  return 0;
}

struct user_msghdr {
  u64 name;
  u32 name_length, spare;
  u64 vectors, vector_count, control, control_length;
  u32 flags, spare2;
  u32 bytes;  // of struct mmsghdr
};

__noinline int put_msghdr(struct room* room, struct scratch* scratch, u32 argument, u64 address,
                          u32 what) {
  u32 out = what & 1, several = what & 2;
  struct user_msghdr message = {};
  if (!room || !scratch) return 0;
  if (bpf_probe_read_user(&message, several ? 60 : 56, (void*)address)) return 1;
  u32 provenance = argument >> 16;
  argument &= 7;
  u64 length = ~0ull;
  if (out) length = several ? message.bytes : (u64)scratch->result;
  int missing = 0;
  if (message.name && message.name_length)
    missing |=
        put_bytes(room, scratch, TAG(argument, out ? 8 : 7, provenance) | LIMIT(sockaddr_limit),
                  message.name, message.name_length);
  if (message.control && message.control_length)
    missing |= put_bytes(room, scratch,
                         TAG(argument, (u32)(out ? kind_structure_out : kind_structure_in),
                             provenance) |
                             LIMIT(structure_limit),
                         message.control, message.control_length);
  scratch->length = length;
  missing |= put_iovec(room, scratch, TAG(argument, out ? 12 : 11, provenance), message.vectors,
                       message.vector_count);
  return missing;
}

struct walk {
  struct room* room;
  struct scratch* scratch;
  u64 root_mount, root_dentry;
};

static long walk_up(u32 i, void* data) {
  struct walk* walk = data;
  struct room* room = walk->room;
  struct scratch* scratch = walk->scratch;
  u8* at =
      room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - walk_budget - 256);
  if (!at) return 1;
  u64 dentry = scratch->dentry, parent = 0, name = 0, offset = scratch->used;
  if (dentry == walk->root_dentry && scratch->mount == walk->root_mount) {
    scratch->flags |= capture_complete;
    return 1;
  }
  if (dentry == scratch->mount_root) {
    u64 self = scratch->mount - bpf_core_field_offset(struct mount, mnt);
    READ_KERNEL(parent, &((struct mount*)self)->mnt_parent);
    if (parent == self || !parent) return 1;  // the mount is not below the task's root
    READ_KERNEL(scratch->dentry, &((struct mount*)self)->mnt_mountpoint);
    parent += bpf_core_field_offset(struct mount, mnt);
    scratch->mount = parent;
    READ_KERNEL(scratch->mount_root, &((struct vfsmount*)parent)->mnt_root);
    return 0;
  }
  READ_KERNEL(parent, &((struct dentry*)dentry)->d_parent);
  READ_KERNEL(name, &((struct dentry*)dentry)->d_name.name);
  barrier_var(offset);
  if (offset > walk_budget) return 1;
  long length =
      bpf_probe_read_kernel_str(at + sizeof(struct capture_head) + offset, 256, (void*)name);
  if (length <= 0) return 1;
  scratch->used += length;
  scratch->dentry = parent;
  return parent == dentry;  // a pipe, a socket, an unreachable tree
}

// Names from `dentry` up to the root of the task, over mounts; written leaf
// first, because that is the order in which the kernel has them. The reader
// turns them round.
__noinline int put_walk(struct room* room, struct scratch* scratch, u32 tag, u64 mount,
                        u64 dentry) {
  u32 flags = tag >> 24;
  if (!room || !scratch) return 0;
  struct task_struct* task = bpf_get_current_task_btf();
  struct walk walk = {.room = room, .scratch = scratch};
  struct fs_struct* fs = BPF_CORE_READ(task, fs);
  walk.root_dentry = (u64)BPF_CORE_READ(fs, root.dentry);
  walk.root_mount = (u64)BPF_CORE_READ(fs, root.mnt);
  scratch->used = 0;
  scratch->flags = capture_components | flags;
  scratch->mount = mount;
  scratch->dentry = dentry;
  READ_KERNEL(scratch->mount_root, &((struct vfsmount*)mount)->mnt_root);
  bpf_loop(walk_steps, walk_up, &walk, 0);
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head));
  if (!at) return 0;
  put_head((struct capture_head*)at, tag, scratch->flags, scratch->used, scratch->used);
  advance(scratch, scratch->used);
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
__noinline int put_file(struct room* room, struct scratch* scratch, u32 argument,
                        u64 file_address) {
  if (!room || !scratch || !file_address) return 0;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - 24);
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
  advance(scratch, 24);
  struct path path = {};
  bpf_core_read(&path.mnt, sizeof(path.mnt), &file->f_path.mnt);
  bpf_core_read(&path.dentry, sizeof(path.dentry), &file->f_path.dentry);
  return put_walk(room, scratch, TAG(argument, kind_absolute_path, from_kernel), (u64)path.mnt,
                  (u64)path.dentry);
}

enum { mode_type = 0170000, mode_socket = 0140000 };
enum { family_unix = 1, family_inet = 2, family_inet6 = 10 };
enum { unix_address_limit = 110 };  // sizeof(struct sockaddr_un)

// The address of the other end, as a socket address, from the kernel's own
// socket.
__noinline int put_peer(struct room* room, struct scratch* scratch, u32 argument,
                        u64 file_address) {
  if (!room || !scratch || !file_address) return 0;
  struct file* file = (struct file*)file_address;
  if ((BPF_CORE_READ(file, f_inode, i_mode) & mode_type) != mode_socket) return 0;
  struct socket* socket = (struct socket*)BPF_CORE_READ(file, private_data);
  struct sock* sock = BPF_CORE_READ(socket, sk);
  if (!sock) return 0;
  u8* at =
      room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - sockaddr_limit);
  if (!at) return 0;
  u8* address = at + sizeof(struct capture_head);
  u16 family = BPF_CORE_READ(sock, __sk_common.skc_family);
  u32 length = 0;
  *(u32*)address = family | (u32)BPF_CORE_READ(sock, __sk_common.skc_dport) << 16;
  if (family == family_inet) {
    *(u32*)(address + 4) = BPF_CORE_READ(sock, __sk_common.skc_daddr);
    *(u32*)(address + 8) = 0;
    *(u32*)(address + 12) = 0;
    length = 16;
  } else if (family == family_inet6) {
    struct in6_addr peer = BPF_CORE_READ(sock, __sk_common.skc_v6_daddr);
    *(u32*)(address + 4) = 0;
    *(u32*)(address + 8) = peer.words[0];
    *(u32*)(address + 12) = peer.words[1];
    *(u32*)(address + 16) = peer.words[2];
    *(u32*)(address + 20) = peer.words[3];
    *(u32*)(address + 24) = 0;
    length = 28;
  } else if (family == family_unix && bpf_core_type_exists(struct unix_sock)) {
    struct unix_sock* other = (struct unix_sock*)BPF_CORE_READ((struct unix_sock*)sock, peer);
    if (!other) return 0;
    struct unix_address* name = BPF_CORE_READ(other, addr);
    if (!name) return 0;  // the other end has none
    length = BPF_CORE_READ(name, len);
    if (length > unix_address_limit) length = unix_address_limit;
    if (bpf_probe_read_kernel(address, length,
                              (void*)name + bpf_core_field_offset(struct unix_address, name)))
      return 0;
  } else {
    return 0;
  }
  put_head((struct capture_head*)at, TAG(argument, kind_socket_peer, from_kernel), 0, length,
           length);
  advance(scratch, length);
  return 0;
}

// The directory that a relative path starts from.
__noinline int put_base(struct room* room, struct scratch* scratch, u32 argument, u64 path_address,
                        u32 dirfd_argument) {
  u8 first = 0;
  if (!room || !scratch) return 0;
  if (!bpf_probe_read_user(&first, 1, (void*)path_address) && first == '/') return 0;
  struct task_struct* task = bpf_get_current_task_btf();
  u64 mount = 0, dentry = 0;
  s32 fd = dirfd_argument < 6 ? (s32)scratch->args[dirfd_argument & 7] : at_fdcwd;
  if (fd == at_fdcwd) {
    mount = (u64)BPF_CORE_READ(task, fs, pwd.mnt);
    dentry = (u64)BPF_CORE_READ(task, fs, pwd.dentry);
  } else {
    struct file* file = (struct file*)file_of(fd);
    if (!file) return 0;
    mount = (u64)BPF_CORE_READ(file, f_path.mnt);
    dentry = (u64)BPF_CORE_READ(file, f_path.dentry);
  }
  return put_walk(room, scratch,
                  TAG(argument, kind_absolute_path, from_kernel) | (u32)capture_base << 24, mount,
                  dentry);
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

static __always_inline const volatile struct plan* plan_at(u32 index) {
  u64 place = index;
  barrier_var(place);  // the compiler knows the range, but the verifier has to see it
  return &settings.plans[place & (2 * plan_numbers - 1)];
}

// What an argument is, as the value of another one decides; null where the value says nothing.
static __always_inline const volatile struct plan_argument* chosen_plan(u32 choice, u32 value) {
  u32 wanted = value & settings.choice_masks[choice & (plan_choices - 1)];
  u64 place = case_bucket(choice, wanted, settings.case_multiplier);
  barrier_var(place);  // as in plan_at()
  const volatile struct plan_case* cases =
      &settings.cases[(place & ((1u << case_buckets_log2) - 1)) * bucket_cases];
  for (u32 i = 0; i < bucket_cases; i++)
    if (cases[i].choice == choice && cases[i].value == wanted) return &cases[i].argument;
  return 0;
}

// Captures argument `i` of a call at entry (phase from_enter), again at exit
// because it was missing (from_exit), or, with `out`, what the kernel left
// there.
__noinline int put_argument(struct room* room, struct scratch* scratch, u32 index, u32 i,
                            u32 what) {
  u32 provenance = what & 0xff, out = what >> 8;
  if (!room || !scratch || i > 5) return 0;
  const volatile struct plan_argument* spec = &plan_at(index)->arguments[i];
  u64 address = scratch->args[i];
  if (!address) return 0;
  u32 choice = plan_at(index)->choice[i];
  if (choice) {
    const volatile struct plan_argument* chosen =
        chosen_plan(choice, scratch->args[spec->length_argument & 7]);
    if (chosen) spec = chosen;
  }
  u32 kind = out ? spec->kind_out : spec->kind_in;
  if (!kind) return 0;
  scratch->kind = kind;
  u32 tag = TAG(i, kind, provenance);
  u32 source = spec->length, limit = scratch->buffer_bytes;
  u64 length = spec->unit, other = scratch->args[spec->length_argument & 7];
  if (source == plan_length_argument)
    length *= other;
  else if (source == plan_length_result)
    length *= (u64)scratch->result;
  else if (source == plan_length_ioctl)
    length = other >> 16 & 0x3fff;
  else if (source == plan_length_pointed) {
    u32 pointed = 0;
    if (bpf_probe_read_user(&pointed, sizeof(pointed), (void*)other)) return 1;
    length = pointed;
  } else
    limit = structure_limit;
  u32 operation = spec->operation;
  if (operation == plan_string) return put_string(room, scratch, tag, address, spec->unit);
  if (operation == plan_bytes && spec->several) limit = structure_limit;
  if (operation == plan_bytes)
    return length ? put_bytes(room, scratch, tag | LIMIT(limit), address, length) : 0;
  if (operation == plan_sockaddr)
    return length ? put_bytes(room, scratch, tag | LIMIT(sockaddr_limit), address, length) : 0;
  if (scratch->narrow) return 0;  // 32-bit arrays of pointers are not followed
  if (operation == plan_strings) return put_strings(room, scratch, tag, address, spec->unit);
  if (operation == plan_iovec) {
    scratch->length = out ? (u64)scratch->result : ~0ull;
    return put_iovec(room, scratch, tag, address, other);
  }
  if (operation == plan_msghdr)
    return put_msghdr(room, scratch, tag & 0xff00ff, address,
                      (out ? 1 : 0) | (spec->several ? 2 : 0));
  return 0;
}

static __always_inline u32 plan_index(u8 abi, u64 number) {
  if (abi == 2) number &= ~0x40000000ull;
  if (number >= plan_numbers) return 2 * plan_numbers;
  return abi == 1 ? plan_numbers + number : number;
}

// The working directory, as a capture of argument 0.
__noinline int put_directory(struct room* room, struct scratch* scratch, u32 flags) {
  struct task_struct* task = bpf_get_current_task_btf();
  u64 mount = (u64)BPF_CORE_READ(task, fs, pwd.mnt);
  u64 dentry = (u64)BPF_CORE_READ(task, fs, pwd.dentry);
  return put_walk(room, scratch, TAG(0, kind_absolute_path, from_kernel) | flags << 24, mount,
                  dentry);
}

// With `last`, arguments that cannot be read are recorded as missing: there is
// no retry.
__noinline int put_enter_arguments(struct room* room, struct scratch* scratch, u32 index,
                                   u32 provenance, u32 last) {
  if (!room || !scratch || index >= 2 * plan_numbers) return 0;
  const volatile struct plan* plan = plan_at(index);
  for (u32 i = 0; i < 6; i++) {
    if (plan->enter_mask >> i & 1 && put_argument(room, scratch, index, i, provenance)) {
      scratch->missing |= 1u << i;
      if (last) put_missing(room, scratch, TAG(i, scratch->kind, from_nowhere));
    }
    if (plan->flags & plan_base_always && plan->base_mask >> i & 1)
      put_base(room, scratch, i, scratch->args[i], plan->dirfd[i]);
  }
  if (plan->flags & plan_identify_fd) put_file(room, scratch, 0, file_of(scratch->args[0]));
  return 0;
}

__noinline int put_exit_argument(struct room* room, struct scratch* scratch, u32 index, u32 i,
                                 u32 retry) {
  if (!room || !scratch || index >= 2 * plan_numbers || i > 5) return 0;
  const volatile struct plan* plan = plan_at(index);
  s64 result = scratch->result;
  // After an exec the old address space is gone.
  if (retry && plan->flags & plan_replaces_image && result == 0)
    put_missing(room, scratch, TAG(i, (u32)plan->arguments[i].kind_in, from_nowhere));
  else if (retry && put_argument(room, scratch, index, i, from_exit))
    put_missing(room, scratch, TAG(i, scratch->kind, from_nowhere));
  if (result < 0) {
    if (plan->flags & plan_base_failed && plan->base_mask >> i & 1)
      put_base(room, scratch, i, scratch->args[i], plan->dirfd[i]);
  } else if (plan->exit_mask >> i & 1 &&
             put_argument(room, scratch, index, i, from_result | 1 << 8)) {
    put_missing(room, scratch, TAG(i, scratch->kind, from_nowhere));
  }
  return 0;
}

__noinline int put_exit_arguments(struct room* room, struct scratch* scratch, u32 index,
                                  u32 retry) {
  if (!room || !scratch || index >= 2 * plan_numbers) return 0;
  const volatile struct plan* plan = plan_at(index);
  s64 result = scratch->result;
  u32 wanted = retry | plan->exit_mask | plan->base_mask;
  for (u32 i = 0; i < 6; i++)
    if (wanted >> i & 1) put_exit_argument(room, scratch, index, i, retry >> i & 1);
  if (result >= 0 && plan->flags & plan_returns_file)
    put_file(room, scratch, result_argument, file_of(result));
  if (result == 0 && plan->flags & plan_new_directory) put_directory(room, scratch, 0);
  if (result >= 0 && plan->flags & plan_peer_of_result)
    put_peer(room, scratch, result_argument, file_of(result));
  if (result >= 0 && plan->flags & plan_socket_peer)
    put_peer(room, scratch, 0, file_of(scratch->args[0]));
  return 0;
}
