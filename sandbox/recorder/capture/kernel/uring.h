// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Operations submitted through io_uring, which are no system calls. The kernel's own worker threads
// are created by the submitting task and so inherit its label. Tracepoints of this shape are there
// since Linux 6.3 (submission) and 6.13 (completion); where one is missing or differs, its program
// is left out, which the coverage statement says.
#pragma once

#include "ring.h"

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(ur_submit, struct io_kiocb* request) {
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 0;
  struct record* head = begin_at(&place, sizeof(struct uring_record));
  if (!head) return 0;
  struct uring_record* submit = (struct uring_record*)head;
  describe(head, record_uring_submit, place.label, now_ns());
  submit->request = (u64)request;
  submit->user_data = request->cqe.user_data;
  submit->opcode = request->opcode;
  submit->fd = request->cqe.fd;
  submit->flags = request->flags;
  submit->result = 0;
  commit_at(&place, head, sizeof(*submit));
  return 0;
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(ur_complete, struct io_ring_ctx* ring, void* request, struct io_uring_cqe* entry) {
  struct place place = {};
  if (find_place(&place, bpf_get_current_task_btf())) return 0;
  struct record* head = begin_at(&place, sizeof(struct uring_record));
  if (!head) return 0;
  struct uring_record* complete = (struct uring_record*)head;
  describe(head, record_uring_complete, place.label, now_ns());
  complete->request = (u64)request;
  complete->user_data = entry->user_data;
  complete->opcode = 0;
  complete->fd = 0;
  complete->flags = 0;
  complete->result = entry->res;
  commit_at(&place, head, sizeof(*complete));
  return 0;
}
