#include "sandbox/recorder/format/trace_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/json.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/block_decoder.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/trace_file.h"
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

struct TraceReader::State : TraceFile {
  Backend backend = Backend::ebpf;
  std::uint64_t realtime_base_ns = 0;
  std::optional<Coverage> coverage;
  std::optional<TraceDamage> damage;
  TraceExtent extent;
  Sha256 chain{};
  std::vector<BlockPlace> blocks;
  std::uint64_t good_bytes = 0;              // up to the end of the last good frame
  std::uint32_t version = trace_version;
  std::optional<BlockDecoder> live_decoder;  // of for_each_new
  std::size_t next_live = 0;
  std::unique_ptr<char[]> raw;  // of the block in hand; grows only, and nobody needs it cleared
  std::size_t raw_room = 0;
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> unpacker{nullptr, ZSTD_freeDCtx};
  std::uint64_t blocks_unpacked = 0;

  static constexpr std::string_view at_work = "it is not finished: the recorder is still at work";

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

  void mark_damage(std::uint64_t offset, std::string_view reason, bool is_frame = true) {
    damage = TraceDamage{offset, extent.blocks, extent.events, std::string(reason), is_frame};
  }

  // Opens the file and reads its header, behind which `first_frame` begins.
  Status open(const std::filesystem::path& file, std::uint64_t& first_frame);

  Status read_header(std::string_view text) {
    GYGES_TRY(nlohmann::json json, parse_json(text, path));
    if (!json.is_object() || json.value("format", nlohmann::json()) != "gyges-trace")
      return fail("read trace", path, "its header is not that of a trace");
    nlohmann::json stated = json.value("version", nlohmann::json());
    if (!stated.is_number_unsigned() || stated < oldest_trace_version || stated > trace_version)
      return fail("read trace", path, "it has a version this Gyges does not know",
                  "read it with the Gyges that wrote it, or a newer one");
    nlohmann::json name = json.value("backend", nlohmann::json());
    nlohmann::json base = json.value("realtime_base_ns", nlohmann::json());
    if ((name != "ebpf" && name != "ptrace") || !base.is_number_unsigned())
      return fail("read trace", path, "its header lacks backend or realtime_base_ns");
    backend = name == "ebpf" ? Backend::ebpf : Backend::ptrace;
    realtime_base_ns = base.get<std::uint64_t>();
    version = stated.get<std::uint32_t>();
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

  // Is given each good block, as it was read, until it returns false.
  using TakeBlock = std::function<Result<bool>(const FrameHead& head, std::string_view whole)>;

  // Walks all frames from `offset` on and notes the first that is bad.
  Status scan(std::uint64_t offset, const TakeBlock& take = {}) {
    std::string_view whole;
    good_bytes = offset;
    while (offset < extent.bytes) {
      if (coverage) {
        mark_damage(offset, "there are bytes after the end", false);
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
      if (take && head.kind == FrameKind::block) {
        GYGES_TRY(bool more, take(head, whole));
        if (!more) return ok();
      }
      chain = hash;
      offset += frame_head_bytes + head.stored_bytes + frame_hash_bytes;
      good_bytes = offset;
    }
    extent.bytes = std::max(extent.bytes, offset);  // a recorder may be at work
    if (!coverage) mark_damage(offset, unfinished(), false);
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
    // It was good when the trace was opened; that it still is has to be seen on these bytes.
    FrameHead head;
    std::string_view whole;
    Sha256 hash{};
    GYGES_TRY(std::string_view reason, read_frame(block.offset, block.before, head, whole, hash));
    if (reason.empty() && hash != block.hash) reason = "changed";
    if (!reason.empty())
      return bad_block(index, block.offset, fmt::format("{}, since it was opened", reason),
                       block.head.first_sequence);
    return unpack_block(index, whole, decoder, visit, stopped);
  }

  // Of a block whose frame, `whole`, was found good.
  Status unpack_block(std::size_t index, std::string_view whole, BlockDecoder& decoder,
                      const std::function<bool(const Event&)>& visit, bool& stopped) {
    const BlockPlace& block = blocks[index];
    const FrameHead& head = block.head;
    auto bad = [&](std::string_view reason) {
      return bad_block(index, block.offset, reason, head.first_sequence);
    };
    ++blocks_unpacked;
    std::string_view packed =
        whole.substr(frame_head_bytes + head.summary_bytes, head.stored_bytes - head.summary_bytes);
    const std::size_t raw_bytes = head.raw_bytes;
    if (raw_room < raw_bytes) {
      raw = std::make_unique_for_overwrite<char[]>(raw_bytes);
      raw_room = raw_bytes;
    }
    if (unpacker == nullptr) unpacker.reset(ZSTD_createDCtx());
    std::size_t size =
        ZSTD_decompressDCtx(unpacker.get(), raw.get(), raw_bytes, packed.data(), packed.size());
    if (ZSTD_isError(size) != 0) return bad(ZSTD_getErrorName(size));
    if (size != raw_bytes) return bad("it unpacks to another size than it states");
    Status decoded = decoder.decode({raw.get(), raw_bytes}, head.events, head.fresh,
                                    head.first_sequence, visit, stopped);
    if (!decoded) return bad(decoded.error().reason);
    return ok();
  }
};

TraceReader::TraceReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
TraceReader::TraceReader(TraceReader&&) noexcept = default;
TraceReader& TraceReader::operator=(TraceReader&&) noexcept = default;
TraceReader::~TraceReader() = default;

Status TraceReader::State::open(const std::filesystem::path& file, std::uint64_t& first_frame) {
  path = file.string();
  // O_NONBLOCK, so that a fifo in the place of a trace does not hold the reader for ever.
  fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return fail_errno("open trace", path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return fail_errno("open trace", path);
  if (!S_ISREG(status.st_mode)) return fail("open trace", path, "it is no regular file");
  extent.bytes = static_cast<std::uint64_t>(status.st_size);
  GYGES_TRY(std::size_t have, read_into_frame(0, 0, trace_magic.size()));
  if (std::string_view(frame).substr(0, have) != trace_magic)
    return fail("open trace", path, "it is not a Gyges trace",
                "name a run's directory or its trace.gyt");
  FrameHead head;
  std::string_view whole;
  GYGES_TRY(std::string_view reason,
            read_frame(trace_magic.size(), sha256(trace_magic), head, whole, chain));
  if (reason.empty() && head.kind != FrameKind::header) reason = "it does not begin with a header";
  if (!reason.empty())
    return fail("open trace", path,
                fmt::format("its header, at byte {}, is bad: {}", trace_magic.size(), reason));
  first_frame = trace_magic.size() + whole.size();
  return read_header(whole.substr(frame_head_bytes, head.stored_bytes));
}

Result<TraceReader> TraceReader::open(const std::filesystem::path& path) {
  auto state = std::make_unique<State>();
  std::uint64_t first_frame = 0;
  GYGES_CHECK(state->open(path, first_frame));
  GYGES_CHECK(state->scan(first_frame));
  return TraceReader(std::move(state));
}

Status TraceReader::read_through(const std::filesystem::path& path,
                                 const std::function<bool(const Event&)>& visit) {
  State state;
  std::uint64_t first_frame = 0;
  GYGES_CHECK(state.open(path, first_frame));
  BlockDecoder decoder(state.version);
  bool stopped = false;
  const auto unpack = [&](const FrameHead&, std::string_view whole) -> Result<bool> {
    GYGES_CHECK(state.unpack_block(state.blocks.size() - 1, whole, decoder, visit, stopped));
    return !stopped;
  };
  GYGES_CHECK(state.scan(first_frame, unpack));
  return stopped ? ok() : state.damage_status();
}

Status TraceReader::for_each(const std::function<bool(const Event&)>& visit) {
  State& s = *state_;
  BlockDecoder decoder(s.version);
  bool stopped = false;
  for (std::size_t i = 0; i < s.blocks.size() && !stopped; ++i)
    GYGES_CHECK(s.read_block(i, decoder, visit, stopped));
  return stopped ? ok() : s.damage_status();
}

Status TraceReader::for_each_in(const BlockQuery& query,
                                const std::function<bool(const Event&)>& visit) {
  State& s = *state_;
  BlockDecoder decoder(s.version);
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
  if (!s.live_decoder) s.live_decoder.emplace(s.version);
  bool stopped = false;
  while (s.next_live < s.blocks.size() && !stopped)
    GYGES_CHECK(s.read_block(s.next_live++, *s.live_decoder, visit, stopped));
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
