#include "sandbox/recorder/format/trace_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/fd.h"
#include "base/json_document.h"
#include "sandbox/recorder/format/block_decoder.h"
#include "sandbox/recorder/format/run_record.h"
#include "sandbox/recorder/format/trace_frame.h"

namespace gyges::recorder {
namespace {

struct BlockPlace {
  FrameHead head;
  std::uint64_t payload_offset = 0;
  BlockSummary summary;
  std::size_t group = 0;  // index of the block, at or before it, that starts with empty tables
};

// A mapping of a file's first bytes.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { reset(); }

  // False when it cannot be mapped.
  bool map(int fd, std::uint64_t bytes) {
    reset();
    if (bytes == 0) return true;
    void* at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) return false;
    at_ = static_cast<const char*>(at);
    size_ = bytes;
    return true;
  }
  [[nodiscard]] std::string_view bytes() const { return {at_, size_}; }

 private:
  void reset() {
    if (at_ != nullptr) ::munmap(const_cast<char*>(at_), size_);
    at_ = nullptr;
    size_ = 0;
  }
  const char* at_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

struct TraceReader::State {
  UniqueFd fd;
  Mapping mapping;  // of extent.bytes
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
  std::string stored;  // of the block being read; reused
  std::string raw;

  // The bytes at `offset`, in place; shorter when the file is, also by now.
  Result<std::string_view> view(std::uint64_t offset, std::size_t size) const {
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) return fail_errno("read trace", path);
    std::string_view bytes = mapping.bytes().substr(
        0, std::min(mapping.bytes().size(), static_cast<std::size_t>(status.st_size)));
    return bytes.substr(std::min<std::size_t>(offset, bytes.size()), size);
  }

  Status map() {
    if (!mapping.map(fd.get(), extent.bytes)) return fail_errno("map trace", path);
    return ok();
  }

  void mark_damage(std::uint64_t offset, std::string_view reason) {
    damage = TraceDamage{offset, extent.blocks, extent.events, std::string(reason)};
  }

  // Checks the frame at `offset`, whose bytes are then in `frame`; an empty reason means it is
  // good.
  Result<std::string_view> check_frame(std::uint64_t offset, FrameHead& head,
                                       std::string_view& frame) {
    GYGES_TRY(frame, view(offset, frame_head_bytes));
    std::string_view reason = decode_frame_head(frame, head);
    if (!reason.empty()) return reason;
    std::uint64_t size = frame_head_bytes + std::uint64_t{head.stored_bytes} + frame_hash_bytes;
    GYGES_TRY(frame, view(offset, size));
    if (frame.size() != size) return std::string_view("cut off");
    Sha256 hash = frame_hash(chain, frame.substr(0, frame_head_bytes),
                             frame.substr(frame_head_bytes, head.stored_bytes));
    std::string_view stated = frame.substr(frame.size() - frame_hash_bytes);
    if (stated != std::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()))
      return std::string_view("changed: its hash differs");
    chain = hash;
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
  std::string_view add_block(const FrameHead& head, std::uint64_t offset,
                             std::string_view summary) {
    if (head.first_sequence != extent.events) return "its sequence numbers do not follow";
    if (blocks.empty() && !head.fresh) return "the first block builds on one that is not there";
    BlockPlace place;
    place.head = head;
    place.payload_offset = offset + frame_head_bytes + head.summary_bytes;
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
    std::string_view frame;
    good_bytes = offset;
    while (offset < extent.bytes) {
      if (coverage) {
        mark_damage(offset, "there are bytes after the end");
        return ok();
      }
      FrameHead head;
      Sha256 before = chain;
      GYGES_TRY(std::string_view reason, check_frame(offset, head, frame));
      if (reason.empty() && head.kind == FrameKind::header) reason = "a second header";
      if (reason.empty())
        reason = head.kind == FrameKind::end
                     ? add_end(frame.substr(frame_head_bytes, head.stored_bytes))
                     : add_block(head, offset, frame.substr(frame_head_bytes, head.summary_bytes));
      if (!reason.empty()) {
        chain = before;
        mark_damage(offset, reason);
        return ok();
      }
      offset += frame_head_bytes + head.stored_bytes + frame_hash_bytes;
      good_bytes = offset;
    }
    if (!coverage) mark_damage(offset, "it was never finished: the recorder died");
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
    return bad_block(damage->block, damage->offset, damage->reason, damage->first_missing);
  }

  [[nodiscard]] bool may_hold(std::size_t index, const BlockQuery& query) const {
    const BlockPlace& block = blocks[index];
    return block.summary.may_hold(query, block.head.first_time_ns, block.head.last_time_ns);
  }

  Status read_block(std::size_t index, BlockDecoder& decoder,
                    const std::function<bool(const Event&)>& visit, bool& stopped) {
    const BlockPlace& block = blocks[index];
    auto bad = [&](std::string_view reason) {
      return bad_block(index, block.payload_offset - block.head.summary_bytes - frame_head_bytes,
                       reason, block.head.first_sequence);
    };
    const std::size_t packed = block.head.stored_bytes - block.head.summary_bytes;
    GYGES_TRY(std::string_view in_place, view(block.payload_offset, packed));
    if (in_place.size() != packed) return bad("cut off while reading");
    // A copy, because zstd does not promise to survive bytes that change while it reads them.
    stored = in_place;
    raw.resize(block.head.raw_bytes);
    std::size_t size = ZSTD_decompress(raw.data(), raw.size(), stored.data(), stored.size());
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
  GYGES_CHECK(state->map());
  GYGES_TRY(std::string_view frame, state->view(0, trace_magic.size()));
  if (frame != trace_magic)
    return fail("open trace", path.string(), "it is not a Gyges trace",
                "name a run's directory or its trace.gyt");
  state->chain = sha256(trace_magic);
  FrameHead head;
  GYGES_TRY(std::string_view reason, state->check_frame(trace_magic.size(), head, frame));
  if (reason.empty() && head.kind != FrameKind::header) reason = "it does not begin with a header";
  if (!reason.empty())
    return fail("open trace", path.string(),
                fmt::format("its header, at byte {}, is bad: {}", trace_magic.size(), reason));
  GYGES_CHECK(state->read_header(frame.substr(frame_head_bytes, head.stored_bytes)));
  GYGES_CHECK(
      state->scan(trace_magic.size() + frame_head_bytes + head.stored_bytes + frame_hash_bytes));
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
  GYGES_CHECK(s.map());
  s.damage.reset();
  GYGES_CHECK(s.scan(before));
  return s.good_bytes != before;
}

// A read lease is granted only while nobody has the file open for writing (fcntl(2)). It is given
// back at once; a recorder never opens its trace a second time, so nothing can wait for it.
bool TraceReader::may_grow() const {
  int fd = state_->fd.get();
  if (::fcntl(fd, F_SETLEASE, F_RDLCK) != 0) return true;
  ::fcntl(fd, F_SETLEASE, F_UNLCK);
  return false;
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
