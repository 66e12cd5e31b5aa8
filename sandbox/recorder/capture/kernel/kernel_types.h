// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// The few fields of kernel structures that the recorder reads. Offsets here are meaningless: libbpf
// relocates every access against the type information of the running kernel.
#pragma once

#include "record.h"

typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u32 __wsum;

// Of the kernel's bpf(2) interface; <linux/bpf.h> of newer systems declares bpf_task_work itself.
enum {
  BPF_MAP_TYPE_HASH = 1,
  BPF_MAP_TYPE_ARRAY = 2,
  BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
  BPF_MAP_TYPE_RINGBUF = 27,
  BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1, BPF_RB_FORCE_WAKEUP = 2 };

#define KERNEL_TYPE __attribute__((preserve_access_index))

struct pt_regs {
  unsigned long r10, r9, r8, ax, bx, cx, dx, si, di, bp, orig_ax;
} KERNEL_TYPE;

struct qstr {
  const unsigned char* name;
} KERNEL_TYPE;

struct super_block {
  u32 s_dev;
} KERNEL_TYPE;

struct inode {
  u16 i_mode;
  u32 i_rdev;
  unsigned long i_ino;
  struct super_block* i_sb;
} KERNEL_TYPE;

struct dentry {
  struct dentry* d_parent;
  struct qstr d_name;
} KERNEL_TYPE;

struct vfsmount {
  struct dentry* mnt_root;
} KERNEL_TYPE;

struct mount {
  struct mount* mnt_parent;
  struct dentry* mnt_mountpoint;
  struct vfsmount mnt;
} KERNEL_TYPE;

struct path {
  struct vfsmount* mnt;
  struct dentry* dentry;
} KERNEL_TYPE;

struct file {
  struct path f_path;
  struct inode* f_inode;
  void* private_data;
} KERNEL_TYPE;

struct in6_addr {
  u32 words[4];
};

struct sock_common {
  u16 skc_family;
  u32 skc_daddr;
  u16 skc_dport;
  struct in6_addr skc_v6_daddr;
} KERNEL_TYPE;

struct sock {
  struct sock_common __sk_common;
} KERNEL_TYPE;

struct socket {
  struct sock* sk;
} KERNEL_TYPE;

struct sockaddr_un {
  u16 sun_family;
};

struct unix_address {
  int len;
  struct sockaddr_un name[];
} KERNEL_TYPE;

struct unix_sock {
  struct unix_address* addr;
  struct sock* peer;
} KERNEL_TYPE;

struct fdtable {
  unsigned int max_fds;
  struct file** fd;
} KERNEL_TYPE;

struct files_struct {
  struct fdtable* fdt;
} KERNEL_TYPE;

struct fs_struct {
  struct path root, pwd;
} KERNEL_TYPE;

struct mm_struct {
  unsigned long arg_start, arg_end, env_start, env_end;
  struct file* exe_file;
} KERNEL_TYPE;

struct linux_binprm {
  const char* filename;
} KERNEL_TYPE;

struct upid {
  int nr;
} KERNEL_TYPE;

struct pid {
  unsigned int level;
  struct upid numbers[1];
} KERNEL_TYPE;

typedef struct {
  unsigned long sig[1];
} KERNEL_TYPE sigset_t;

struct sigpending {
  sigset_t signal;
} KERNEL_TYPE;

struct thread_info {
  u32 status;
} KERNEL_TYPE;

struct bpf_local_storage;

struct seccomp {
  int mode;
} KERNEL_TYPE;

struct task_struct {
  struct thread_info thread_info;
  struct seccomp seccomp;
  struct bpf_local_storage* bpf_storage;
  int pid, tgid;
  int exit_code;
  struct task_struct* group_leader;
  struct pid* thread_pid;
  struct mm_struct* mm;
  struct fs_struct* fs;
  struct files_struct* files;
  struct sigpending pending;
} KERNEL_TYPE;

struct kernel_siginfo {
  int si_code;
} KERNEL_TYPE;

struct io_cqe {
  u64 user_data;
  int fd;
} KERNEL_TYPE;

struct io_kiocb {
  u8 opcode;
  u64 flags;
  struct io_cqe cqe;
} KERNEL_TYPE;

struct io_ring_ctx;

struct io_uring_cqe {
  u64 user_data;
  int res;
} KERNEL_TYPE;

struct bpf_map {
  u32 max_entries;
} KERNEL_TYPE;

// From 6.18 on; opaque to programs, initialised by the kernel.
struct bpf_task_work {
  u64 __opaque;
} __attribute__((aligned(8)));
