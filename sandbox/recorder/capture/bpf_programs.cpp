#include "sandbox/recorder/capture/bpf_programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "base/text.h"
#include "sandbox/recorder/capture/capture_plan.h"

extern "C" const unsigned char gyges_capture_bpf_begin[];
extern "C" const unsigned char gyges_capture_bpf_end[];

namespace gyges::recorder {
namespace {

// libbpf reports through one callback of the process; the last line of this thread is kept for the
// error message.
thread_local std::string last_message;

int keep_message(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  char line[512];
  vsnprintf(line, sizeof(line), format, arguments);
  std::string_view text = line;
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  if (text.find("-- ") != std::string_view::npos || text.size() > 400) return 0;  // verifier log
  last_message = text;
  return 0;
}

constexpr std::string_view privilege_cure =
    "run as root (or with CAP_BPF and CAP_PERFMON) on a kernel with BTF, 5.17 or later, or choose "
    "the ptrace backend";

tl::unexpected<Error> load_error(std::string_view object, int code) {
  std::string reason = std::strerror(code);
  if (!last_message.empty()) reason += " (" + last_message + ")";
  tl::unexpected<Error> error = fail("load recorder programs", object, reason, privilege_cure);
  error.value().code = code;
  return error;
}

// More than this for all rings together is not taken by default on machines with many CPUs.
constexpr std::uint64_t all_rings_limit = 512ULL << 20U;

}  // namespace

void BpfPrograms::ObjectDeleter::operator()(bpf_object* object) const {
  bpf_object__close(object);
}
void BpfPrograms::LinkDeleter::operator()(bpf_link* link) const {
  bpf_link__destroy(link);
}

BpfPrograms::~BpfPrograms() {
  if (counts_ != nullptr) munmap(counts_, counts_bytes_);
}

Result<std::unique_ptr<BpfPrograms>> BpfPrograms::load(std::uint32_t ring_bytes, Waiting waiting) {
  libbpf_set_print(keep_message);
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return load_error("possible CPUs", -cpus);
  std::unique_ptr<BpfPrograms> programs(new BpfPrograms);
  programs->cpus_ = static_cast<std::uint32_t>(cpus);
  const std::uint32_t wanted = ring_bytes;
  while (std::uint64_t{ring_bytes} * programs->cpus_ > all_rings_limit && ring_bytes > 65536)
    ring_bytes /= 2;
  const bool task_work = waiting == Waiting::best;
  Status status = programs->open_and_load(ring_bytes, task_work);
  while (!status && (status.error().code == E2BIG || status.error().code == ENOMEM) &&
         ring_bytes > 65536) {
    ring_bytes /= 2;
    status = programs->open_and_load(ring_bytes, task_work);
  }
  if (!status && (status.error().code == EPERM || !task_work))
    return tl::unexpected<Error>(std::move(status.error()));
  if (!status) {
    const std::string reason = status.error().reason;
    GYGES_CHECK(programs->open_and_load(ring_bytes, false));
    programs->degraded_.push_back(
        "no task work for BPF programs (" + reason +
        "): a task that is ahead of the recorder spins in the kernel instead of sleeping");
  }
  if (ring_bytes != wanted)
    programs->degraded_.push_back("rings of " + std::to_string(ring_bytes) +
                                  " bytes per CPU, not " + std::to_string(wanted) +
                                  ": the memory was not to be had");
  GYGES_CHECK(programs->attach());
  return programs;
}

Status BpfPrograms::open_and_load(std::uint32_t ring_bytes, bool task_work) {
  last_message.clear();
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "capture");
  object_.reset(bpf_object__open_mem(
      gyges_capture_bpf_begin,
      static_cast<std::size_t>(gyges_capture_bpf_end - gyges_capture_bpf_begin), &options));
  if (!object_) return load_error("object", errno);
  bpf_object* object = object_.get();

  bpf_program* unused =
      bpf_object__find_program_by_name(object, task_work ? "sc_exit_spin" : "sc_exit");
  bpf_program__set_autoload(unused, false);

  bpf_map* constants = bpf_object__find_map_by_name(object, ".rodata");
  std::size_t size = 0;
  void* initial =
      constants == nullptr ? nullptr : const_cast<void*>(bpf_map__initial_value(constants, &size));
  if (initial == nullptr || size < sizeof(wire::settings))
    return fail("load recorder programs", "constants", "layout differs from the embedded object",
                "rebuild Gyges");
  auto* settings = static_cast<wire::settings*>(initial);
  settings->ring_bytes = ring_bytes;
  settings->high_water = ring_bytes / 2;
  settings->cpu_count = cpus_;
  settings->spin_rounds = 100000;
  settings->wait_limit_ns = 1000000000;
  settings->consumer_byte = reinterpret_cast<std::uint64_t>(&gate_byte_);
  std::copy(capture_plans().begin(), capture_plans().end(), settings->plans);

  const auto map_of = [&](const char* name) { return bpf_object__find_map_by_name(object, name); };
  bpf_map__set_max_entries(map_of("controls"), cpus_);
  bpf_map__set_max_entries(map_of("rings"), cpus_);
  bpf_map__set_value_size(map_of("rings"), ring_bytes + wire::record_limit);
  bpf_map__set_max_entries(map_of("counts"), cpus_ * wire::session_slots);
  if (const int code = bpf_object__load(object); code != 0) return load_error("programs", -code);

  labels_fd_ = bpf_map__fd(map_of("labels"));
  GYGES_CHECK(
      rings_.map(bpf_map__fd(map_of("controls")), bpf_map__fd(map_of("rings")), cpus_, ring_bytes));
  counts_bytes_ = sizeof(wire::session_count) * cpus_ * wire::session_slots;
  void* counts = mmap(nullptr, counts_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED,
                      bpf_map__fd(map_of("counts")), 0);
  if (counts == MAP_FAILED) return fail_errno("map ring", "counters");
  counts_ = static_cast<wire::session_count*>(counts);
  ring_bytes_ = ring_bytes;
  task_work_ = task_work;
  return ok();
}

Status BpfPrograms::attach() {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object_.get()) {
    if (!bpf_program__autoload(program) || bpf_program__type(program) != BPF_PROG_TYPE_TRACING)
      continue;
    bpf_link* link = bpf_program__attach(program);
    if (link == nullptr) return load_error(bpf_program__name(program), errno);
    links_.emplace_back(link);
  }
  return ok();
}

Status BpfPrograms::name_reader() {
  LIBBPF_OPTS(bpf_test_run_opts, run);
  bpf_program* const who_reads = bpf_object__find_program_by_name(object_.get(), "who_reads");
  if (const int code = bpf_prog_test_run_opts(bpf_program__fd(who_reads), &run); code != 0)
    return load_error("who_reads", -code);
  return ok();
}

void BpfPrograms::doom(std::uint32_t slot) {
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu)
    __atomic_store_n(&counts_[std::size_t{slot} * cpus_ + cpu].doomed, 1U, __ATOMIC_RELAXED);
}

void BpfPrograms::set_session(std::uint32_t slot, std::uint32_t session,
                              std::uint32_t buffer_bytes) {
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) {
    wire::session_count& count = counts_[std::size_t{slot} * cpus_ + cpu];
    if (session != 0) count = wire::session_count{};
    count.buffer_bytes = buffer_bytes;
    __atomic_store_n(&count.session, session, __ATOMIC_RELEASE);
  }
}

wire::session_count BpfPrograms::counts(std::uint32_t slot) const {
  wire::session_count sum{};
  for (std::uint32_t cpu = 0; cpu < cpus_; ++cpu) {
    const wire::session_count& count = counts_[std::size_t{slot} * cpus_ + cpu];
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
  const bool known = bpf_map_lookup_elem(labels_fd_, &pidfd, &label) == 0;
  if (!known || label.session != session) {
    label = wire::task_label{};
    label.session = session;
    label.fresh = 1;  // the gate's read is under way
  }
  label.origin_call = origin_call;
  label.active_call = active_call;
  if (bpf_map_update_elem(labels_fd_, &pidfd, &label, BPF_ANY) != 0)
    return fail_errno("label process", "pidfd " + std::to_string(pidfd));
  return ok();
}

}  // namespace gyges::recorder
