// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// What the kernel itself knows: paths of files and directories from its own objects, the peers of
// sockets. Appended to the record that is being written.
#pragma once

#include "ring.h"

enum {
  kind_path = 1,
  kind_structure_in = 5,
  kind_structure_out = 6,
  kind_argv = 9,
  kind_envp = 10,
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

// From Linux 6.2 on the fields of an object whose address is known are loaded as they are of
// objects that the kernel hands over; before, each is a call.
extern void* bpf_rdonly_cast(const void* object, u32 type) __ksym __weak;
#define READ_FIELD(destination, type, address, field)                                              \
  do {                                                                                             \
    u64 object_ = (u64)(address); /* or what it is read from would be relocated, too */            \
    if (bpf_rdonly_cast)                                                                           \
      (destination) = (typeof(destination))((type*)bpf_rdonly_cast((void*)object_,                 \
                                                                   bpf_core_type_id_kernel(type))) \
                          ->field;                                                                 \
    else                                                                                           \
      bpf_core_read(&(destination), sizeof(((type*)0)->field), &((type*)object_)->field);          \
  } while (0)

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
  barrier_var(
      inside);  // or a compiler adds before it compares (clang 18), and the verifier forgets
  return room->bytes + inside;
}

static __always_inline void advance(struct scratch* scratch, u32 length) {
  scratch->fill += (sizeof(struct capture_head) + length + 3) & ~3u;
}

// tag: argument, kind << 8, provenance << 16
#define TAG(argument, kind, provenance) ((argument) | (kind) << 8 | (provenance) << 16)
#define LIMIT(bytes) ((u64)(bytes) << 32)

struct walk {
  struct room* room;
  struct scratch* scratch;
};

static long walk_up(u32 i, void* data) {
  struct walk* walk = data;
  struct room* room = walk->room;
  struct scratch* scratch = walk->scratch;
  u8* at =
      room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - walk_budget - 256);
  if (!at) return 1;
  u64 dentry = scratch->dentry, parent = 0, name = 0, offset = scratch->used;
  if (dentry == scratch->root_dentry && scratch->mount == scratch->root_mount) {
    scratch->flags |= capture_complete;
    return 1;
  }
  if (dentry == scratch->mount_root) {
    u64 self = scratch->mount - bpf_core_field_offset(struct mount, mnt);
    READ_FIELD(parent, struct mount, self, mnt_parent);
    if (parent == self || !parent) return 1;  // the mount is not below the task's root
    READ_FIELD(scratch->dentry, struct mount, self, mnt_mountpoint);
    parent += bpf_core_field_offset(struct mount, mnt);
    scratch->mount = parent;
    READ_FIELD(scratch->mount_root, struct vfsmount, parent, mnt_root);
    return 0;
  }
  READ_FIELD(parent, struct dentry, dentry, d_parent);
  READ_FIELD(name, struct dentry, dentry, d_name.name);
  barrier_var(offset);
  if (offset > walk_budget) return 1;
  long length =
      bpf_probe_read_kernel_str(at + sizeof(struct capture_head) + offset, 256, (void*)name);
  if (length <= 0) return 1;
  scratch->used += length;
  scratch->dentry = parent;
  return parent == dentry;  // a pipe, a socket, an unreachable tree
}

// Names from scratch->dentry on scratch->mount up to the root of the task, over mounts; written
// leaf first, because that is the order in which the kernel has them. The reader turns them round.
__noinline int put_walk(struct room* room, struct scratch* scratch, u32 tag) {
  u32 flags = tag >> 24;
  if (!room || !scratch) return 0;
  struct task_struct* task = bpf_get_current_task_btf();
  struct walk walk = {.room = room, .scratch = scratch};
  scratch->root_dentry = (u64)task->fs->root.dentry;
  scratch->root_mount = (u64)task->fs->root.mnt;
  scratch->used = 0;
  scratch->flags = capture_components | flags;
  READ_FIELD(scratch->mount_root, struct vfsmount, scratch->mount, mnt_root);
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
  struct fdtable* table = task->files->fdt;
  if (fd >= table->max_fds) return 0;
  READ_KERNEL(file, table->fd + fd);
  return file;
}

// Identity and path of a file that the kernel used. `which`: the argument, and from bit 8 on 1 +
// the descriptor of a file that came with a message.
__noinline int put_file(struct room* room, struct scratch* scratch, u32 which, u64 file_address) {
  u32 argument = which & 0xff;
  if (!room || !scratch || !file_address) return 0;
  u8* at = room_at(room, scratch->fill, record_limit - sizeof(struct capture_head) - 24);
  if (!at) return 0;
  u64 inode = 0, super = 0, number = 0;
  u32 device = 0, mode = 0;
  READ_FIELD(inode, struct file, file_address, f_inode);
  READ_FIELD(super, struct inode, inode, i_sb);
  READ_FIELD(device, struct super_block, super, s_dev);
  READ_FIELD(number, struct inode, inode, i_ino);
  READ_FIELD(mode, struct inode, inode, i_mode);
  u8* identity = at + sizeof(struct capture_head);
  *(u32*)(identity + 0) = (u32)number;
  *(u32*)(identity + 4) = (u32)(number >> 32);
  *(u32*)(identity + 8) = device >> 20;
  *(u32*)(identity + 12) = device & 0xfffff;
  *(u32*)(identity + 16) = mode;
  *(u32*)(identity + 20) = which >> 8;
  put_head((struct capture_head*)at, TAG(argument, kind_identity, from_kernel), 0, 24, 24);
  advance(scratch, 24);
  READ_FIELD(scratch->mount, struct file, file_address, f_path.mnt);
  READ_FIELD(scratch->dentry, struct file, file_address, f_path.dentry);
  return put_walk(room, scratch, TAG(argument, kind_absolute_path, from_kernel));
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
  s32 fd = dirfd_argument < 6 ? (s32)scratch->args[dirfd_argument & 7] : at_fdcwd;
  if (fd == at_fdcwd) {
    scratch->mount = (u64)task->fs->pwd.mnt;
    scratch->dentry = (u64)task->fs->pwd.dentry;
  } else {
    u64 file = file_of(fd);
    if (!file) return 0;
    READ_FIELD(scratch->mount, struct file, file, f_path.mnt);
    READ_FIELD(scratch->dentry, struct file, file, f_path.dentry);
  }
  return put_walk(room, scratch,
                  TAG(argument, kind_absolute_path, from_kernel) | (u32)capture_base << 24);
}

// The working directory, as a capture of argument 0.
__noinline int put_directory(struct room* room, struct scratch* scratch, u32 flags) {
  if (!scratch) return 0;
  struct task_struct* task = bpf_get_current_task_btf();
  scratch->mount = (u64)task->fs->pwd.mnt;
  scratch->dentry = (u64)task->fs->pwd.dentry;
  return put_walk(room, scratch, TAG(0, kind_absolute_path, from_kernel) | flags << 24);
}
