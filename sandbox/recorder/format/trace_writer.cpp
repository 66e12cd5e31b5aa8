#include "sandbox/recorder/format/trace_writer.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "base/fd.h"
#include "base/json.h"
#include "sandbox/recorder/format/block_checks.h"
#include "sandbox/recorder/format/block_encoder.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/trace_frame.h"

namespace gyges::recorder {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000U;
// Of what a block takes to write, packing is an eighth.
constexpr int compression_level = 3;
// Times repeat nothing: level 3 searches them six times as long as level 1 for a tenth less.
constexpr int numbers_level = 1;

std::uint64_t now_ns(clockid_t clock) {
  std::timespec now{};
  ::clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * second_ns +
         static_cast<std::uint64_t>(now.tv_nsec);
}

std::string text_of(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string_view view_of(const FrameHeadBytes& bytes) {
  return {bytes.data(), bytes.size()};
}

bool opens_full_device(const Event& event) {
  if (event.kind != EventKind::syscall || event.result < 0 ||
      (event.number != SYS_openat && event.number != SYS_open))
    return false;
  return std::any_of(event.captures.begin(), event.captures.end(), [](const Capture& capture) {
    return capture.kind == CaptureKind::path &&
           (capture.bytes == "full" || capture.bytes.ends_with("/full"));
  });
}

}  // namespace

struct TraceWriter::State {
  UniqueFd fd;
  std::string path;
  Backend backend = Backend::ebpf;
  BlockEncoder encoder{clock_step_of_machine()};
  ZSTD_CCtx* zstd = nullptr;
  std::string frame;               // reused: head, payload, hash
  std::unique_ptr<char[]> packed;  // of a block; nobody needs it cleared
  std::size_t packed_room = 0;
  Sha256 chain{};
  FrameHead head;  // of the block under construction
  Counters counters;
  ResourceSigns signs;
  bool full_device = false;  // to which every write is ENOSPC
  std::uint64_t events = 0;
  std::uint64_t syscalls = 0;
  std::uint64_t bytes = 0;
  std::uint64_t block_opened_ns = 0;  // CLOCK_MONOTONIC of its first event's arrival
  std::uint64_t created_ns = now_ns(CLOCK_MONOTONIC);
  bool block_open = false;
  bool finished = false;
  std::optional<Error> error;  // the first failure; sticky

  ~State() { ZSTD_freeCCtx(zstd); }

  // A block is finished after a second; in the first seconds of a trace sooner, so that of a short
  // run, too, most is on disk when the recorder is killed.
  [[nodiscard]] bool is_old() const {
    const std::uint64_t now = now_ns(CLOCK_MONOTONIC);
    const std::uint64_t age = std::clamp((now - created_ns) / 4, second_ns / 10, second_ns);
    return now - block_opened_ns >= age;
  }

  Status keep(Status status) {
    if (!status && !error) error = status.error();
    return status;
  }

  void put_head(FrameHead& frame_head, std::size_t stored_bytes) {
    frame_head.stored_bytes = static_cast<std::uint32_t>(stored_bytes);
    FrameHeadBytes bytes_of_head = encode_frame_head(frame_head);
    frame.replace(0, frame_head_bytes, view_of(bytes_of_head));
  }

  // Writes the frame that stands in `frame`, head and payload.
  Status write_frame() {
    std::string_view whole(frame);
    chain = frame_hash(chain, whole.substr(0, frame_head_bytes), whole.substr(frame_head_bytes));
    frame.append(reinterpret_cast<const char*>(chain.data()), chain.size());
    auto written = write_all(fd.get(), frame);
    if (!written) {
      written.error().step = "write trace";
      written.error().object = path;
      written.error().cure = "free space on the disk that holds the run";
      return written;
    }
    bytes += frame.size();
    return ok();
  }

  Status write_text(FrameKind kind, std::string_view text) {
    FrameHead text_head;
    text_head.kind = kind;
    text_head.raw_bytes = static_cast<std::uint32_t>(text.size());
    text_head.first_sequence = events;
    text_head.counters = counters;
    frame.assign(frame_head_bytes, '\0');
    frame += text;
    put_head(text_head, text.size());
    return write_frame();
  }

  Status finish_block() {
    if (!block_open) return ok();
    block_open = false;
    const std::vector<std::uint8_t>& raw = encoder.finish();
    const std::string summary = encoder.summary();
    const std::size_t before = frame_head_bytes + summary.size();
    std::size_t bound = 0;
    std::size_t from = 0;
    for (const BlockEncoder::Section& section : encoder.sections())
      bound += ZSTD_compressBound(section.end - std::exchange(from, section.end));
    if (packed_room < bound) {
      packed = std::make_unique_for_overwrite<char[]>(bound);
      packed_room = bound;
    }
    std::size_t used = 0;
    from = 0;
    for (const BlockEncoder::Section& section : encoder.sections()) {
      const std::size_t size = ZSTD_compressCCtx(
          zstd, packed.get() + used, packed_room - used, raw.data() + from, section.end - from,
          section.numbers ? numbers_level : compression_level);
      if (ZSTD_isError(size) != 0)
        return fail("compress trace block", path, ZSTD_getErrorName(size));
      used += size;
      from = section.end;
    }
    frame.assign(frame_head_bytes, '\0');
    frame += summary;
    frame.append(packed.get(), used);
    head.summary_bytes = static_cast<std::uint32_t>(summary.size());
    head.raw_bytes = static_cast<std::uint32_t>(raw.size());
    head.events = static_cast<std::uint32_t>(encoder.event_count());
    head.counters = counters;
    // The check values are of head, summary and packed events, and stand between the latter two.
    put_head(head, frame.size() - frame_head_bytes + checks_size(frame.size()));
    frame.insert(before, encode_checks(checks_of(frame)));
    return write_frame();
  }

  void open_block(std::uint64_t time_ns) {
    head = {};
    head.fresh = encoder.begin();
    head.first_sequence = events;
    head.first_time_ns = head.last_time_ns = time_ns;
    block_opened_ns = now_ns(CLOCK_MONOTONIC);
    block_open = true;
  }
};

TraceWriter::TraceWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
TraceWriter::~TraceWriter() {
  // A writer dropped without finish() leaves what it has, without an end frame: unfinished on
  // sight.
  if (state_ != nullptr && !state_->finished && !state_->error)
    (void)state_->keep(state_->finish_block());
}

Result<std::unique_ptr<TraceWriter>> TraceWriter::create(const std::filesystem::path& path,
                                                         Backend backend) {
  auto state = std::make_unique<State>();
  state->path = path.string();
  state->backend = backend;
  state->fd = UniqueFd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!state->fd) return fail_errno("create trace", path.string());
  state->zstd = ZSTD_createCCtx();
  if (state->zstd == nullptr) return fail("create trace", path.string(), "out of memory");
  GYGES_CHECK(write_all(state->fd.get(), trace_magic).with_context("create trace"));
  state->bytes = trace_magic.size();
  state->chain = sha256(trace_magic);
  ::utsname host{};
  ::uname(&host);
  std::uint64_t base = now_ns(CLOCK_REALTIME) - now_ns(CLOCK_MONOTONIC);
  nlohmann::json header{
      {"format", "gyges-trace"},  {"version", trace_version}, {"backend", backend_name(backend)},
      {"realtime_base_ns", base}, {"kernel", host.release},   {"machine", host.machine},
      {"gyges", gyges_version}};
  GYGES_CHECK(state->write_text(FrameKind::header, text_of(header)));
  return std::unique_ptr<TraceWriter>(new TraceWriter(std::move(state)));
}

Status TraceWriter::append(const Event& event) {
  State& s = *state_;
  if (s.error) return tl::unexpected<Error>(*s.error);
  if (s.finished) return fail("write trace", s.path, "it is already finished");
  if (!s.block_open) s.open_block(event.time_ns);
  if (!s.encoder.add(event))
    return s.keep(fail("write trace event", "system call " + std::to_string(event.number),
                       "it has more than 320 captures", "report this as a defect of the recorder"));
  s.head.first_time_ns = std::min(s.head.first_time_ns, event.time_ns);
  s.head.last_time_ns = std::max(s.head.last_time_ns, event.time_ns);
  ++s.events;
  s.signs.count(event);
  s.full_device = s.full_device || opens_full_device(event);
  if (event.kind == EventKind::syscall) {
    ++s.syscalls;
    s.counters.recorded_enters += event.has_enter ? 1 : 0;
    s.counters.recorded_exits += event.has_exit ? 1 : 0;
  }
  // The clock is looked at rarely, as an idle caller calls tick() anyway.
  std::size_t count = s.encoder.event_count();
  bool full = count >= max_block_events || s.encoder.literal_bytes() >= soft_block_bytes ||
              s.encoder.prefix_bytes() >= soft_prefix_bytes;
  if (!full && count % 64 == 0) full = s.encoder.raw_bytes() >= soft_block_bytes || s.is_old();
  if (full) return s.keep(s.finish_block());
  Status fine;  // ok() clears what holds an error, which shows when it is done for each event
  return fine;
}

void TraceWriter::set_counters(const Counters& counters) {
  Counters& own = state_->counters;
  std::uint64_t enters = own.recorded_enters;
  std::uint64_t exits = own.recorded_exits;
  own = counters;
  own.recorded_enters = enters;
  own.recorded_exits = exits;
}

Status TraceWriter::tick() {
  State& s = *state_;
  if (s.error) return tl::unexpected<Error>(*s.error);
  if (!s.block_open || !s.is_old()) return ok();
  return s.keep(s.finish_block());
}

Status TraceWriter::flush() {
  State& s = *state_;
  if (s.error) return tl::unexpected<Error>(*s.error);
  return s.keep(s.finish_block());
}

Status TraceWriter::finish(Coverage& coverage) {
  State& s = *state_;
  if (s.error) return tl::unexpected<Error>(*s.error);
  if (s.finished) return fail("finish trace", s.path, "it is already finished");
  GYGES_CHECK(s.keep(s.finish_block()));
  coverage.backend = s.backend;
  coverage.events = s.events;
  coverage.syscalls = s.syscalls;
  coverage.signs = s.signs;
  if (s.full_device) coverage.signs.no_space = 0;
  s.counters = coverage.counters;
  // The end frame states the file's whole size, itself included: it is padded with spaces to the
  // length it has with the longest number, so that its own length is known before the number is.
  coverage.bytes = ~std::uint64_t{0};
  std::size_t length = text_of(coverage_to_json(coverage)).size();
  coverage.bytes = s.bytes + frame_head_bytes + length + frame_hash_bytes;
  std::string text = text_of(coverage_to_json(coverage));
  text.resize(length, ' ');
  GYGES_CHECK(s.keep(s.write_text(FrameKind::end, text)));
  s.finished = true;
  if (::fsync(s.fd.get()) != 0) return s.keep(fail_errno("sync trace", s.path));
  return ok();
}

}  // namespace gyges::recorder
