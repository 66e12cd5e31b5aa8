#include "sandbox/recorder/format/trace_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/fd.h"
#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/block_decoder.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/trace_frame.h"

namespace gyges::recorder {
namespace {

struct BlockPlace {
  FrameHead head;
  std::uint64_t offset = 0;  // of its frame
  Sha256 before{};           // hash of the frame before it, on which its own is built
  Sha256 hash{};             // its own
  BlockSummary summary;
  std::size_t group = 0;  // index of the block, at or before it, that starts with empty tables
};

}  // namespace

struct TraceReader::State {
  UniqueFd fd;
  std::string path;
  Backend backend = Backend::ebpf;
  std::uint64_t realtime_base_ns = 0;
  std::optional<Coverage> coverage;
  std::optional<TraceDamage> damage;
  TraceExtent extent;
  Sha256 chain{};
  std::vector<BlockPlace> blocks;
  std::uint64_t good_bytes = 0;        // up to the end of the last good frame
  std::size_t columns = column_count;  // of its blocks
  BlockDecoder live_decoder;           // of for_each_new
  std::size_t next_live = 0;
  std::string frame;  // the one being read; grows only, see read_frame()
  std::string raw;
  std::uint64_t blocks_unpacked = 0;

  // The bytes at `offset`, copied to `frame` from `at` on; fewer when the file ends before.
  Result<std::size_t> read_into_frame(std::uint64_t offset, std::size_t at, std::size_t size) {
    if (frame.size() < at + size) frame.resize(at + size);
    std::size_t have = 0;
    while (have < size) {
      ssize_t got = ::pread(fd.get(), frame.data() + at + have, size - have,
                            static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("read trace", path);
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    return have;
  }

  enum class Writer : std::uint8_t { none, unknown, at_work };
  static constexpr std::string_view cut_off = "cut off";
  static constexpr std::string_view at_work = "it is not finished: the recorder is still at work";

  // A read lease is granted only while nobody has the file open for writing (fcntl(2)). It is given
  // back at once; a recorder never opens its trace a second time, so nothing can wait for it.
  [[nodiscard]] Writer writer() const {
    if (::fcntl(fd.get(), F_SETLEASE, F_RDLCK) != 0)
      return errno == EAGAIN ? Writer::at_work : Writer::unknown;
    ::fcntl(fd.get(), F_SETLEASE, F_UNLCK);
    return Writer::none;
  }

  [[nodiscard]] std::string_view unfinished() const {
    switch (writer()) {
      case Writer::none:
        return "it was never finished: the recorder died";
      case Writer::at_work:
        return at_work;
      case Writer::unknown:
        break;
    }
    return "it is not finished: the recorder died or is still at work";
  }

  void mark_damage(std::uint64_t offset, std::string_view reason) {
    damage = TraceDamage{offset, extent.blocks, extent.events, std::string(reason)};
  }

  // Copies the frame at `offset` and checks it against the hash of the one before; `whole` and
  // `hash` are then set. An empty reason means it is good. Always a copy: a mapped file that
  // somebody cuts off kills its reader, and zstd does not promise to survive bytes that change.
  Result<std::string_view> read_frame(std::uint64_t offset, const Sha256& before, FrameHead& head,
                                      std::string_view& whole, Sha256& hash) {
    GYGES_TRY(std::size_t have, read_into_frame(offset, 0, frame_head_bytes));
    std::string_view reason = decode_frame_head(std::string_view(frame).substr(0, have), head);
    if (!reason.empty()) return reason;
    const std::size_t rest = head.stored_bytes + frame_hash_bytes;
    GYGES_TRY(have, read_into_frame(offset + frame_head_bytes, frame_head_bytes, rest));
    if (have != rest) return cut_off;
    whole = std::string_view(frame).substr(0, frame_head_bytes + rest);
    hash = frame_hash(before, whole.substr(0, frame_head_bytes),
                      whole.substr(frame_head_bytes, head.stored_bytes));
    std::string_view stated = whole.substr(whole.size() - frame_hash_bytes);
    if (stated != std::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()))
      return std::string_view("changed: its hash differs");
    return std::string_view{};
  }

  Status read_header(std::string_view text) {
    GYGES_TRY(nlohmann::json json, parse_json(text, path));
    if (!json.is_object() || json.value("format", nlohmann::json()) != "gyges-trace")
      return fail("read trace", path, "its header is not that of a trace");
    nlohmann::json version = json.value("version", nlohmann::json());
    if (!version.is_number_unsigned() || version < oldest_trace_version || version > trace_version)
      return fail("read trace", path, "it has a version this Gyges does not know",
                  "read it with the Gyges that wrote it, or a newer one");
    nlohmann::json name = json.value("backend", nlohmann::json());
    nlohmann::json base = json.value("realtime_base_ns", nlohmann::json());
    if ((name != "ebpf" && name != "ptrace") || !base.is_number_unsigned())
      return fail("read trace", path, "its header lacks backend or realtime_base_ns");
    backend = name == "ebpf" ? Backend::ebpf : Backend::ptrace;
    realtime_base_ns = base.get<std::uint64_t>();
    columns = version < split_times_version ? old_column_count : column_count;
    live_decoder = BlockDecoder(columns);
    return ok();
  }

  // Takes in a good block's place; a reason when its numbers contradict what came before.
  std::string_view add_block(const FrameHead& head, std::uint64_t offset, const Sha256& hash,
                             std::string_view summary) {
    if (head.first_sequence != extent.events) return "its sequence numbers do not follow";
    if (blocks.empty() && !head.fresh) return "the first block builds on one that is not there";
    BlockPlace place;
    place.head = head;
    place.offset = offset;
    place.before = chain;
    place.hash = hash;
    place.group = head.fresh ? blocks.size() : blocks.back().group;
    if (!summary.empty() && !decode_summary(summary, place.summary))
      return "its summary is inconsistent";
    blocks.push_back(std::move(place));
    extent.start_ns =
        extent.blocks == 0 ? head.first_time_ns : std::min(extent.start_ns, head.first_time_ns);
    ++extent.blocks;
    extent.events += head.events;
    extent.counters = head.counters;
    return {};
  }

  std::string_view add_end(std::string_view text) {
    auto json = parse_json(text, path);
    if (!json) return "its coverage statement cannot be read";
    auto read = coverage_from_json(*json, path);
    if (!read) return "its coverage statement cannot be read";
    if (read->events != extent.events) return "its coverage statement counts other events";
    coverage = std::move(*read);
    extent.counters = coverage->counters;
    return {};
  }

  // Walks all frames from `offset` on and notes the first that is bad.
  Status scan(std::uint64_t offset) {
    std::string_view whole;
    good_bytes = offset;
    while (offset < extent.bytes) {
      if (coverage) {
        mark_damage(offset, "there are bytes after the end");
        return ok();
      }
      FrameHead head;
      Sha256 hash{};
      GYGES_TRY(std::string_view reason, read_frame(offset, chain, head, whole, hash));
      if (reason.empty() && head.kind == FrameKind::header) reason = "a second header";
      if (reason.empty())
        reason =
            head.kind == FrameKind::end
                ? add_end(whole.substr(frame_head_bytes, head.stored_bytes))
                : add_block(head, offset, hash, whole.substr(frame_head_bytes, head.summary_bytes));
      if (!reason.empty()) {
        // A frame that is being written now is no damage.
        const bool growing = reason == cut_off && writer() == Writer::at_work;
        mark_damage(offset, growing ? at_work : reason);
        return ok();
      }
      chain = hash;
      offset += frame_head_bytes + head.stored_bytes + frame_hash_bytes;
      good_bytes = offset;
    }
    extent.bytes = std::max(extent.bytes, offset);  // a recorder may be at work
    if (!coverage) mark_damage(offset, unfinished());
    return ok();
  }

  [[nodiscard]] tl::unexpected<Error> bad_block(std::uint64_t block, std::uint64_t offset,
                                                std::string_view reason,
                                                std::uint64_t first_missing) const {
    return fail("read trace", path,
                fmt::format("block {} at byte {}: {}; events from {} on are missing", block, offset,
                            reason, first_missing));
  }

  [[nodiscard]] Status damage_status() const {
    if (!damage) return ok();
    auto fault = bad_block(damage->block, damage->offset, damage->reason, damage->first_missing);
    if (damage->reason == at_work) {
      fault.value().code = EINPROGRESS;
      fault.value().cure = "wait for the run's end, or follow it: gyges trace show --follow";
    }
    return fault;
  }

  [[nodiscard]] bool may_hold(std::size_t index, const BlockQuery& query) const {
    const BlockPlace& block = blocks[index];
    return block.summary.may_hold(query, block.head.first_time_ns, block.head.last_time_ns);
  }

  Status read_block(std::size_t index, BlockDecoder& decoder,
                    const std::function<bool(const Event&)>& visit, bool& stopped) {
    const BlockPlace& block = blocks[index];
    auto bad = [&](std::string_view reason) {
      return bad_block(index, block.offset, reason, block.head.first_sequence);
    };
    // It was good when the trace was opened; that it still is has to be seen on these bytes.
    FrameHead head;
    std::string_view whole;
    Sha256 hash{};
    GYGES_TRY(std::string_view reason, read_frame(block.offset, block.before, head, whole, hash));
    if (reason.empty() && hash != block.hash) reason = "changed";
    if (!reason.empty()) return bad(fmt::format("{}, since it was opened", reason));
    ++blocks_unpacked;
    std::string_view packed =
        whole.substr(frame_head_bytes + head.summary_bytes, head.stored_bytes - head.summary_bytes);
    raw.resize(block.head.raw_bytes);
    std::size_t size = ZSTD_decompress(raw.data(), raw.size(), packed.data(), packed.size());
    if (ZSTD_isError(size) != 0) return bad(ZSTD_getErrorName(size));
    if (size != raw.size()) return bad("it unpacks to another size than it states");
    Status decoded = decoder.decode(raw, block.head.events, block.head.fresh,
                                    block.head.first_sequence, visit, stopped);
    if (!decoded) return bad(decoded.error().reason);
    return ok();
  }
};

TraceReader::TraceReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TraceReader::TraceReader(TraceReader&&) noexcept = default;
TraceReader& TraceReader::operator=(TraceReader&&) noexcept = default;
TraceReader::~TraceReader() = default;

Result<TraceReader> TraceReader::open(const std::filesystem::path& path) {
  auto state = std::make_unique<State>();
  state->path = path.string();
  // O_NONBLOCK, so that a fifo in the place of a trace does not hold the reader for ever.
  state->fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!state->fd) return fail_errno("open trace", path.string());
  struct stat status {};
  if (::fstat(state->fd.get(), &status) != 0) return fail_errno("open trace", path.string());
  if (!S_ISREG(status.st_mode)) return fail("open trace", path.string(), "it is no regular file");
  state->extent.bytes = static_cast<std::uint64_t>(status.st_size);
  GYGES_TRY(std::size_t have, state->read_into_frame(0, 0, trace_magic.size()));
  if (std::string_view(state->frame).substr(0, have) != trace_magic)
    return fail("open trace", path.string(), "it is not a Gyges trace",
                "name a run's directory or its trace.gyt");
  FrameHead head;
  std::string_view whole;
  GYGES_TRY(std::string_view reason,
            state->read_frame(trace_magic.size(), sha256(trace_magic), head, whole, state->chain));
  if (reason.empty() && head.kind != FrameKind::header) reason = "it does not begin with a header";
  if (!reason.empty())
    return fail("open trace", path.string(),
                fmt::format("its header, at byte {}, is bad: {}", trace_magic.size(), reason));
  GYGES_CHECK(state->read_header(whole.substr(frame_head_bytes, head.stored_bytes)));
  GYGES_CHECK(state->scan(trace_magic.size() + whole.size()));
  return TraceReader(std::move(state));
}

Status TraceReader::for_each(const std::function<bool(const Event&)>& visit) {
  State& s = *state_;
  BlockDecoder decoder(s.columns);
  bool stopped = false;
  for (std::size_t i = 0; i < s.blocks.size() && !stopped; ++i)
    GYGES_CHECK(s.read_block(i, decoder, visit, stopped));
  return stopped ? ok() : s.damage_status();
}

Status TraceReader::for_each_in(const BlockQuery& query,
                                const std::function<bool(const Event&)>& visit) {
  State& s = *state_;
  BlockDecoder decoder(s.columns);
  const std::function<bool(const Event&)> skim = [](const Event&) { return true; };
  std::size_t next = 0;  // the block that the decoder's tables are ready for
  bool stopped = false;
  for (std::size_t i = 0; i < s.blocks.size() && !stopped; ++i) {
    if (!s.may_hold(i, query)) continue;
    for (std::size_t j = std::max(next, s.blocks[i].group); j < i; ++j)
      GYGES_CHECK(s.read_block(j, decoder, skim, stopped));
    GYGES_CHECK(s.read_block(i, decoder, visit, stopped));
    next = i + 1;
  }
  return stopped ? ok() : s.damage_status();
}

std::uint64_t TraceReader::blocks_in(const BlockQuery& query) const {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < state_->blocks.size(); ++i)
    count += state_->may_hold(i, query) ? 1 : 0;
  return count;
}

std::uint64_t TraceReader::blocks_unpacked() const {
  return state_->blocks_unpacked;
}

Status TraceReader::for_each_new(const std::function<bool(const Event&)>& visit) {
  State& s = *state_;
  bool stopped = false;
  while (s.next_live < s.blocks.size() && !stopped)
    GYGES_CHECK(s.read_block(s.next_live++, s.live_decoder, visit, stopped));
  return ok();
}

Result<bool> TraceReader::refresh() {
  State& s = *state_;
  if (s.coverage) return false;
  struct stat status {};
  if (::fstat(s.fd.get(), &status) != 0) return fail_errno("read trace", s.path);
  auto bytes = static_cast<std::uint64_t>(status.st_size);
  if (bytes < s.extent.bytes)
    return fail("read trace", s.path, "it became shorter while it was read");
  std::uint64_t before = s.good_bytes;
  s.extent.bytes = bytes;
  s.damage.reset();
  GYGES_CHECK(s.scan(before));
  return s.good_bytes != before;
}

bool TraceReader::may_grow() const {
  return state_->writer() != State::Writer::none;
}

const std::optional<TraceDamage>& TraceReader::damage() const {
  return state_->damage;
}
const TraceExtent& TraceReader::extent() const {
  return state_->extent;
}
Backend TraceReader::backend() const {
  return state_->backend;
}
std::uint64_t TraceReader::realtime_base_ns() const {
  return state_->realtime_base_ns;
}
const std::optional<Coverage>& TraceReader::coverage() const {
  return state_->coverage;
}
const Sha256& TraceReader::chain_head() const {
  return state_->chain;
}

}  // namespace gyges::recorder
