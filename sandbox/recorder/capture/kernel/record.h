// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// What the kernel side of the recorder and its consumer in user space share: the layout of rings,
// records, session counters, task labels and the capture plan. Plain C, little-endian, fixed sizes;
// both sides are built from the same tree and never mixed with another version.
#pragma once

#ifdef __cplusplus
#include <cstdint>
namespace gyges::recorder::wire {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using s32 = std::int32_t;
using s64 = std::int64_t;
#else
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
#endif

enum {
  // No record is longer. A ring has this much slack behind its end, so that no record wraps.
  record_limit = 32768,
  string_limit = 4096,    // of a path, with its NUL
  text_limit = 1024,      // of any other string, with its NUL
  structure_limit = 512,  // of a structure of fixed size
  sockaddr_limit = 128,   // sizeof(struct sockaddr_storage)
  argv_budget = 8192,     // all strings of an argv; the last may run over by string_limit
  envp_budget = 4096,
  argv_strings = 256,     // strings of an argv or envp looked at
  iovec_elements = 4,     // elements of an iovec looked at
  messages = 16,          // of an array of struct mmsghdr looked at
  received_files = 253,   // named of one call: the kernel's limit of one message
  walk_steps = 2112,      // components and mount crossings of a path: walk_budget ends it before
  walk_budget = 4096,     // bytes of all components; the last may run over by 256
  session_slots = 256,    // sessions of a recorder at the same time; slot = session id modulo this
  recorder_slots = 1024,  // recorders that share one set of programs
  content_chunk = 8192,   // bytes of a content record
  content_rounds = 9216,  // chunks and elements of an iovec that one call's contents may take
  plan_numbers = 512,     // system call numbers of an ABI that have a plan
  plan_choices = 128,     // kinds of arguments that another one decides, of both ABIs
  case_buckets_log2 = 9,  // places for the values that decide
  bucket_cases = 4,
};

// Of one recorder on one CPU. One producer (the CPU) and one consumer. head and tail count bytes
// and never wrap.
struct ring_control {
  u64 head;
  u32 epoch;        // of the recorder that owns the area; labels carry it
  u32 orphans_die;  // labels of another epoch belong to a recorder that was killed
  u64 spare0[6];
  u64 tail;
  u32 asleep;       // set by the consumer before it sleeps: ring its bell once there is work
  u32 reader;       // number of the reading thread in the initial pid namespace
  u64 reader_byte;  // address of a readable byte in the reader's memory, see wait_round
  u64 spare1[5];
};

// How far the contents of a call have been recorded.
struct content_walk {
  u64 address, left;  // of the piece of memory being read
  u64 vectors;        // address of the next element of an iovec
  u64 vector_count;
  u64 offset, limit;  // bytes done, and to be done
  u64 total;
  u64 time;
  u32 argument;
  u32 kind;
  u32 ended;  // the record that says so is written
};

// A message header of the program's (recvmsg(2)), with the `msg_len` of struct mmsghdr behind it.
struct user_msghdr {
  u64 name;
  u32 name_length, spare;
  u64 vectors, vector_count, control, control_length;
  u32 flags, spare2;
  u32 bytes;
};

// Scratch space of a CPU while a record is written, shared by all recorders; it spares the verifier
// the arithmetic.
struct scratch {
  u32 recorder;      // slot of the recorder whose ring is written
  u32 busy;          // a record is being written; a second writer on this CPU would be a fault
  u32 start;         // offset of the record in the ring
  u32 fill;          // bytes of the record written so far
  u32 missing;       // arguments that could not be read
  u32 buffer_bytes;  // of the session
  u32 narrow;        // the caller's pointers have 32 bits
  u32 kind;          // CaptureKind of the argument looked at last
  s64 result;
  u64 args[8];  // two more than there are, so that a masked index is in bounds
  u64 fault;    // address that could not be read last
  // Loops keep these here and not in registers: the verifier would follow every value they take.
  u32 used;
  u32 flags;
  u64 mount, dentry, mount_root;  // of a walk: where it is
  u64 root_mount, root_dentry;    // ... and where it ends
  u64 length;  // of what an iovec moves
  u32 received;  // files named that came with messages
  u32 before;    // `fill` before the argument looked at last
  u32 spare;
  u32 partial;   // what of a structure is in its first page will do
  struct content_walk walk;
  // A program and all it calls have 512 bytes of stack, in which these find no room (Linux 6.1).
  struct user_msghdr message;
  u64 vector[2];  // an element of an iovec
};

// Per session slot and CPU; written by that CPU only, except `session` and `buffer_bytes`, which
// the consumer sets before it labels the first task.
struct session_count {
  u32 session;  // records of other sessions are refused: their labels outlived their session
  u32 buffer_bytes;
  u64 enters;
  u64 exits;
  u64 first_returns;  // returns of a fork in the child and of the gate's read: not calls
  u64 lost;
  u64 waits;
  u32 doomed;    // set by the consumer when it cannot keep the record: tasks die at their next call
  u32 contents;  // classes of descriptors whose contents are recorded whole, set with buffer_bytes
  u32 content_bytes;  // of one call at most so many
  u32 spare;
};

// What a recorder has on each CPU: one element of its map. The ring, settings.ring_bytes and
// record_limit of slack, follows.
struct cpu_area {
  struct ring_control control;
  struct session_count counts[session_slots];
};

// Task storage: the tool calls that a task works for, inherited at its creation. Apart from the
// label, which the task's own calls write at any moment, because they change while it runs: whoever
// replaced a label would put the state of another call back.
struct task_calls {
  u32 origin_call;
  u32 active_call;
};

// Task storage: the label of a task, inherited at its creation.
struct task_label {
  u32 session;
  u32 number;        // of the call in progress
  u8 entered;        // inside a call: entry_state
  u8 fresh;          // the next exit belongs to a call that began before the label
  u8 waited_before;  // an element of the task-work map exists
  u8 abi;
  u16 recorder;   // slot of the recorder
  u8 missing;     // arguments to retry at exit, and then in task work
  u8 late_before;  // an element of the map of late reads exists
  u32 epoch;      // of the recorder
  u32 denied;     // the last call was one that seccomp answered, and is recorded
  u64 waited_at;  // a wait that is not recorded yet
  u64 waited_ns;
  u64 entered_at;  // of a call that is entry_kept
};

enum entry_state {
  entry_none = 0,
  entry_recorded,
  entry_kept,  // is written with the exit, as one record
};

enum record_kind {
  record_enter = 1,
  record_exit,
  record_denied,  // exit without entry
  record_start,
  record_exec,
  record_end,
  record_signal,
  record_wait,
  record_uring_submit,
  record_uring_complete,
  record_content,
  record_late,  // captures of the call whose exit or denied record said late_follows
  record_call,  // entry and exit of a call that is answered at once
};

// Of an exit or denied record; of a denied record, the task ended at once in that call.
enum { late_follows = 1, ended_in_call = 2 };

// Classes of descriptors.
enum {
  content_files = 1,
  content_pipes = 2,
  content_sockets = 4,
  content_terminals = 8,
};

struct record {
  u32 size;  // with captures, a multiple of 8
  u8 kind;
  u8 abi;
  u16 flags;
  u32 tid;
  u32 session;
  u64 time;
};

struct enter_record {
  struct record head;
  u64 number;
  u64 args[6];
};

struct exit_record {
  struct record head;
  s64 result;
};

// What follows `number` is cut off behind the arguments that the call takes, where no captures
// follow.
struct call_record {
  struct record head;
  u64 entered;
  s64 result;
  u32 number;
  u32 spare;
  u64 args[6];
};

struct denied_record {
  struct record head;
  u64 number;
  u64 args[6];
  s64 result;
};

struct start_record {
  struct record head;
  u32 tid, pid, inside_tid, inside_pid;
  u32 origin_call, active_call;
  u64 flags;
};

struct exec_record {
  struct record head;
  u32 old_tid;
  u32 spare;
};

struct end_record {
  struct record head;
  s64 status;
};

struct signal_record {
  struct record head;
  s32 signal;
  s32 code;
};

struct wait_record {
  struct record head;
  u64 began;
  u64 duration;
};

struct uring_record {
  struct record head;
  u64 request;  // address of the kernel's request: what joins submission and completion
  u64 user_data;
  u32 opcode;  // of a submission, like the two below
  s32 fd;
  u64 flags;
  s64 result;  // of a completion
};

// `length` bytes of what a call moved follow it; the call's exit record is the one before the first
// of its chunks.
struct content_record {
  struct record head;
  u32 number;    // of the call
  u32 argument;  // that points to the bytes
  u32 kind;      // CaptureKind
  u32 missing;   // they could not be read, or more of them than there was room for
  u64 offset;    // of the first one in all that the call moved
  u64 total;     // bytes that it moved
  s32 fd;
  u32 length;
  u32 last;  // no further chunk of this call
  u32 spare;
};

// Captures follow the fixed part of enter, exit, denied and exec records, each padded to 4 bytes.
struct capture_head {
  u8 argument;
  u8 kind;        // CaptureKind
  u8 provenance;  // Provenance
  u8 flags;
  u32 length;
  u32 full_length;
};

enum {
  capture_truncated = 1,
  capture_components = 2,  // names from the leaf up, each ended by NUL
  capture_complete = 4,    // the walk reached the task's root
  capture_base = 8,        // the directory that the path argument is relative to
  capture_directory = 16,  // the working directory of a new image
};

// Capture plan of one system call.
enum plan_operation {
  plan_none = 0,
  plan_string,
  plan_bytes,
  plan_sockaddr,
  plan_strings,
  plan_iovec,
  plan_msghdr,
};

enum plan_length {
  plan_length_fixed = 0,
  plan_length_argument,
  plan_length_result,
  plan_length_pointed,
  plan_length_ioctl,
  plan_length_after_argument,  // behind `unit` bytes
  plan_length_after_result,
};

struct plan_argument {
  u8 operation;
  u8 length;  // plan_length
  u8 length_argument;
  u8 kind_in;   // CaptureKind of what is read at entry; 0: nothing is
  u8 kind_out;  // ... at exit
  u8 several;   // msghdr: an array of struct mmsghdr; bytes: a structure or an array of them
  u16 unit;     // bytes of an element; of a string or strings: the limit
};

enum {
  plan_returns_file = 1,  // a result from 0 up is a descriptor of a named object
  plan_base_always = 2,   // a relative path is recorded with its directory
  plan_base_failed = 4,   // ... only when the call failed
  plan_replaces_image = 8,
  plan_identify_fd = 16,      // argument 0 is a descriptor whose object is recorded at entry
  plan_new_directory = 32,    // on success the working directory is recorded as argument 0
  plan_socket_peer = 64,      // on success, the peer of the socket given as argument 0
  plan_peer_of_result = 128,  // ... of the socket returned
};

struct plan {
  struct plan_argument arguments[6];
  u16 enter_room;  // the longest record at entry
  u16 exit_room;
  u8 enter_mask;  // arguments read at entry
  u8 exit_mask;
  u8 flags;
  u8 base_mask;   // path arguments
  u8 dirfd[6];    // of each path argument: index of its directory descriptor, or 255 for the cwd
  u8 enter_work;  // not 0: something is captured at entry
  u8 content;     // 1 + the argument that points to what it moves through descriptor argument 0
  u8 choice[6];   // of each argument: not 0, the value of argument length_argument decides
  u8 call_bytes;  // not 0: entry and exit are one record, of so many bytes without captures
};

// What an argument is for one value of the argument that decides. Found by both numbers in a table
// whose multiplier is chosen so that no bucket overflows.
struct plan_case {
  u32 value;
  u32 choice;  // 0: the place is empty
  struct plan_argument argument;
};

static inline u32 case_bucket(u32 choice, u32 value, u64 multiplier) {
  u64 key = (u64)choice << 32 | value;
  return (u32)(key * multiplier >> (64 - case_buckets_log2));
}

// Set before the programs are loaded, constant from then on: the verifier knows the values.
struct settings {
  u32 ring_bytes;     // a power of two; the value of the map is record_limit longer
  u32 high_water;     // tasks wait from here on
  u32 bell_bytes;     // a sleeping consumer is woken from here on
  u32 spin_rounds;    // of one spin, about 5 ns each
  u64 wait_limit_ns;  // of one wait; the next call of the task waits again
  struct plan plans[2 * plan_numbers];  // x86-64, then i386
  u64 case_multiplier;
  struct plan_case cases[bucket_cases << case_buckets_log2];
  u32 choice_masks[plan_choices];  // bits of the deciding argument that count
};

#ifdef __cplusplus
}  // namespace gyges::recorder::wire
#endif
