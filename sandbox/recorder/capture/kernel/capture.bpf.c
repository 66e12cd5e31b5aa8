// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Kernel side of the recorder: at entry and exit of every system call of a labelled task, writes a
// record with the arguments, what they point to and what the kernel knows, into the ring of the
// CPU.
//
// Raw tracepoint programs run with preemption off, so each ring has one writer at a time and plain
// stores do. Nothing here drops an event because an argument could not be read: it is retried at
// exit, and then recorded as missing. Lowest kernel by the helpers used: 5.17 (bpf_loop).
#include "captures.h"

char licence[] SEC("license") = "Dual BSD/GPL";

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
  if (label->waited_ns) record_waited(time);
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

// Seccomp answered before the entry tracepoint. A global function, because it is rare and the
// verifier would otherwise follow it with every path of the exit program.
__noinline int record_denied_call(s64 result, u64 time) {
  struct task_struct* task = bpf_get_current_task_btf();
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(task);
  struct task_label* label = label_of(task);
  struct ring_control* control = my_control();
  if (!label || !control) return 0;
  struct session_count* count = count_of(label);
  if (!count) return 0;
  u64 nr = (u32)regs->orig_ax;
  label->abi = abi_of(nr);
  u32 index = plan_index(label->abi, nr), room = sizeof(struct denied_record), work = 0;
  if (index < 2 * plan_numbers) {
    work = settings.plans[index].enter_work;
    if (work) room = settings.plans[index].enter_room;
  }
  struct record* head = begin(control, count, label, room);
  if (!head) return 0;
  struct denied_record* denied = (struct denied_record*)head;
  describe(head, record_denied, label, time);
  denied->number = nr;
  denied->result = result;
  read_arguments(denied->args, regs, label->abi);
  prepare(control, count, label, regs, sizeof(*denied), result);
  if (work) put_enter_arguments(index, from_exit, 1);
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
  if (label->waited_ns) record_waited(time);
  if (!label->entered) {
    record_denied_call(result, time);
    return control;
  }
  label->entered = 0;
  u32 index = plan_index(label->abi, label->number), room = sizeof(struct exit_record), more = 0;
  if (index < 2 * plan_numbers) {
    u8 flags = settings.plans[index].flags;
    more = label->missing || (result >= 0 && settings.plans[index].exit_mask) ||
           (result >= 0 && flags & (plan_returns_file | plan_new_directory | plan_socket_peer |
                                    plan_peer_of_result)) ||
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

u32 consumer = 0;  // number of the reading thread in the initial pid namespace

// Run once by the thread that reads the rings, which cannot find out its number itself where it is
// in a pid namespace.
SEC("syscall")
int who_reads(void* context) {
  consumer = (u32)bpf_get_current_pid_tgid();
  return 0;
}

enum { kill_signal = 9 };

// Nothing may run on unrecorded: a task that has to wait for a reader that is no more dies. One
// that is only stopped is waited for.
__noinline int kill_without_reader(void) {
  if (!bpf_task_from_pid || !bpf_task_release) return 0;
  struct task_struct* reader = bpf_task_from_pid(consumer);
  if (reader)
    bpf_task_release(reader);
  else
    bpf_send_signal(kill_signal);
  return 0;
}

struct wait_state {
  struct task_struct* consumer;
  u64 until;
  u32 cpu;
};

static long wait_round(u32 round, void* data) {
  struct wait_state* state = data;
  struct ring_control* control = control_of(state->cpu);
  struct task_struct* task = bpf_get_current_task_btf();
  u64 byte;
  if (!control || used_bytes(control) < settings.high_water / 2 || now_ns() > state->until)
    return 1;
  if (task->pending.signal.sig[0] & 1ull << 8) return 1;  // SIGKILL
  // The byte is of no interest: finding its page is a point where a kernel without full preemption
  // lets others run. It is the consumer's, because a task can unmap every page of its own.
  bpf_copy_from_user_task(&byte, 1, (void*)settings.consumer_byte, state->consumer, 0);
  return 0;
}

// Runs in the task on its way back to user mode, sleepable: no signal, no EINTR, state R. If the
// whole recorder dies meanwhile, the kernel detaches the programs and the sandbox dies with its
// supervisor.
static int wait_for_room(struct bpf_map* map, void* key, void* value) {
  struct waiter* waiter = value;
  struct task_label* label = label_of(bpf_get_current_task_btf());
  if (!label) return 0;
  u64 began = now_ns();
  struct wait_state state = {.until = began + settings.wait_limit_ns, .cpu = waiter->cpu};
  state.consumer = bpf_task_from_pid(consumer);
  if (!state.consumer) {
    bpf_send_signal(kill_signal);
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
  if (!spin_until(settings.high_water / 2)) kill_without_reader();
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
  if (count->doomed) bpf_send_signal(kill_signal);
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
  if (count->doomed) bpf_send_signal(kill_signal);
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
  put_directory(capture_directory);
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
  if (label->waited_ns) record_waited(time);
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
