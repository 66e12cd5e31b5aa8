#include "sandbox/recorder/capture/bpf_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "sandbox/recorder/capture/load_error.h"

namespace gyges::recorder {
namespace {

// More than this for all rings together is not taken by default on machines with many CPUs.
constexpr std::uint64_t all_rings_limit = 512ULL << 20U;
constexpr std::uint32_t smallest_ring = 65536;

}  // namespace

Result<std::unique_ptr<BpfPrograms>> BpfPrograms::load(std::uint32_t ring_bytes, Waiting waiting,
                                                       const std::filesystem::path& directory,
                                                       bool uring) {
  std::unique_ptr<BpfPrograms> programs(new BpfPrograms);
  programs->uring_ = uring;
  const std::uint32_t wanted = ring_bytes;
  const auto cpus = static_cast<std::uint64_t>(std::max(1, libbpf_num_possible_cpus()));
  while (ring_bytes * cpus > all_rings_limit && ring_bytes > smallest_ring) ring_bytes /= 2;
  const bool task_work = waiting == Waiting::best;
  Status status = programs->open(ring_bytes, task_work, directory);
  while (!status && (status.error().code == E2BIG || status.error().code == ENOMEM) &&
         ring_bytes > smallest_ring) {
    ring_bytes /= 2;
    status = programs->open(ring_bytes, task_work, directory);
  }
  if (!status && (status.error().code == EPERM || !task_work))
    return tl::unexpected<Error>(std::move(status.error()));
  if (!status) {
    const std::string reason = status.error().reason;
    GYGES_CHECK(programs->open(ring_bytes, false, directory));
    programs->degraded_.push_back(
        "no task work for BPF programs (" + reason +
        "): a task that is ahead of the recorder spins in the kernel instead of sleeping");
  }
  if (programs->misses_uring())
    programs->degraded_.emplace_back(
        "this kernel lacks the tracepoints for io_uring: where the policy allows io_uring, its "
        "operations are not recorded, or not their results");
  if (ring_bytes != wanted)
    programs->degraded_.push_back("rings of " + std::to_string(ring_bytes) +
                                  " bytes per CPU, not " + std::to_string(wanted) +
                                  ": the memory was not to be had");
  return programs;
}

// The memory may stay for the next recorder: no label fits it any more.
BpfPrograms::~BpfPrograms() {
  for (std::uint32_t cpu = 0; cpu < rings_.count(); ++cpu)
    __atomic_store_n(&rings_.area(cpu).control.epoch, 0U, __ATOMIC_SEQ_CST);
}

Status BpfPrograms::open(std::uint32_t ring_bytes, bool task_work,
                         const std::filesystem::path& directory) {
  GYGES_TRY(set_, ProgramSet::open(ring_bytes, task_work, uring_, directory));
  GYGES_CHECK(rings_.map(set_->area(), set_->cpus(), ring_bytes));
  GYGES_CHECK(bell_.map(set_->bell()));
  while (epoch_ == 0)
    if (getrandom(&epoch_, sizeof(epoch_), 0) < 0) return fail_errno("open recorder", "epoch");
  for (std::uint32_t cpu = 0; cpu < set_->cpus(); ++cpu) {
    wire::ring_control& control = rings_.area(cpu).control;
    control.orphans_die = set_->predecessor_died() ? 1 : 0;
    __atomic_store_n(&control.epoch, epoch_, __ATOMIC_RELEASE);
  }
  task_work_ = task_work;
  return ok();
}

void BpfPrograms::sleep(int limit_ms) {
  if (rings_.ask_for_bell(set_->ring_bytes() / 16)) bell_.wait(limit_ms);
  rings_.awake();
}

Status BpfPrograms::name_reader() {
  LIBBPF_OPTS(bpf_test_run_opts, run);
  if (const int code = bpf_prog_test_run_opts(set_->reader_program(), &run); code != 0)
    return load_error("who_reads", -code);
  for (std::uint32_t cpu = 0; cpu < set_->cpus(); ++cpu) {
    wire::ring_control& control = rings_.area(cpu).control;
    control.reader = run.retval;
    control.reader_byte = reinterpret_cast<std::uint64_t>(&gate_byte_);
  }
  return ok();
}

void BpfPrograms::doom(std::uint32_t slot) {
  for (std::uint32_t cpu = 0; cpu < set_->cpus(); ++cpu)
    __atomic_store_n(&rings_.area(cpu).counts[slot].doomed, 1U, __ATOMIC_RELAXED);
}

void BpfPrograms::set_session(std::uint32_t slot, std::uint32_t session,
                              const SessionOptions& options) {
  for (std::uint32_t cpu = 0; cpu < set_->cpus(); ++cpu) {
    wire::session_count& count = rings_.area(cpu).counts[slot];
    if (session != 0) count = wire::session_count{};
    count.buffer_bytes = options.buffer_bytes;
    count.contents = options.contents;
    count.content_bytes = options.content_bytes;
    __atomic_store_n(&count.session, session, __ATOMIC_RELEASE);
  }
}

wire::session_count BpfPrograms::counts(std::uint32_t slot) const {
  wire::session_count sum{};
  for (std::uint32_t cpu = 0; cpu < set_->cpus(); ++cpu) {
    const wire::session_count& count = rings_.area(cpu).counts[slot];
    sum.enters += count.enters;
    sum.exits += count.exits;
    sum.first_returns += count.first_returns;
    sum.lost += count.lost;
    sum.waits += count.waits;
  }
  return sum;
}

Status BpfPrograms::label(int pidfd, std::uint32_t session, std::uint32_t origin_call,
                          std::uint32_t active_call) {
  wire::task_label label{};
  const bool known = bpf_map_lookup_elem(set_->labels(), &pidfd, &label) == 0;
  if (known && label.epoch != epoch_ && set_->is_alive(label.recorder))
    return fail("label process", "pidfd " + std::to_string(pidfd),
                "another recorder records it already", "record it once");
  // Ahead of the label, with which children begin to inherit both.
  const wire::task_calls calls{.origin_call = origin_call, .active_call = active_call};
  if (bpf_map_update_elem(set_->calls(), &pidfd, &calls, BPF_ANY) != 0)
    return fail_errno("label process", "pidfd " + std::to_string(pidfd));
  // A label of ours holds the state of the call that the task is in.
  if (known && label.session == session && label.epoch == epoch_) return ok();
  label = wire::task_label{};
  label.session = session;
  label.recorder = static_cast<std::uint16_t>(set_->slot());
  label.epoch = epoch_;
  label.fresh = 1;  // the gate's read is under way
  if (bpf_map_update_elem(set_->labels(), &pidfd, &label, BPF_ANY) != 0)
    return fail_errno("label process", "pidfd " + std::to_string(pidfd));
  return ok();
}

}  // namespace gyges::recorder
