#include "sandbox/recorder/format/trace_reader.h"

#include <fcntl.h>
#include <fmt/format.h>
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
  std::uint64_t good_bytes = 0;  // up to the end of the last good frame
  BlockDecoder live_decoder;     // of for_each_new
  std::size_t next_live = 0;
  std::string stored;  // of the block being read; reused
  std::string raw;

  // Reads exactly `size` bytes at `offset`; false when the file is shorter by now.
  Result<bool> read_at(std::uint64_t offset, std::size_t size, std::string& bytes) const {
    bytes.resize(size);
    std::size_t done = 0;
    while (done < size) {
      ssize_t n =
          ::pread(fd.get(), bytes.data() + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return fail_errno("read trace", path);
      if (n == 0) return false;
      done += static_cast<std::size_t>(n);
    }
    return true;
  }

  void mark_damage(std::uint64_t offset, std::string_view reason) {
    damage = TraceDamage{offset, extent.blocks, extent.events, std::string(reason)};
  }

  // Reads the frame at `offset` whole and checks it; an empty reason means it is good.
  Result<std::string_view> check_frame(std::uint64_t offset, FrameHead& head, std::string& frame) {
    GYGES_TRY(
        bool whole,
        read_at(offset, std::min<std::uint64_t>(frame_head_bytes, extent.bytes - offset), frame));
    std::string_view reason = whole ? decode_frame_head(frame, head) : "cut off";
    if (!reason.empty()) return reason;
    std::uint64_t size = frame_head_bytes + std::uint64_t{head.stored_bytes} + frame_hash_bytes;
    if (size > extent.bytes - offset) return std::string_view("cut off");
    GYGES_TRY(whole, read_at(offset, size, frame));
    if (!whole) return std::string_view("cut off");
    std::string_view bytes(frame);
    Sha256 hash = frame_hash(chain, bytes.substr(0, frame_head_bytes),
                             bytes.substr(frame_head_bytes, head.stored_bytes));
    std::string_view stated = bytes.substr(bytes.size() - frame_hash_bytes);
    if (stated != std::string_view(reinterpret_cast<const char*>(hash.data()), hash.size()))
      return std::string_view("changed: its hash differs");
    // The head may have changed between the two reads; what counts is what was hashed.
    reason = decode_frame_head(bytes, head);
    if (!reason.empty()) return reason;
    chain = hash;
    return std::string_view{};
  }

  Status read_header(std::string_view text) {
    GYGES_TRY(nlohmann::json json, parse_json(text, path));
    if (!json.is_object() || json.value("format", nlohmann::json()) != "gyges-trace")
      return fail("read trace", path, "its header is not that of a trace");
    if (json.value("version", nlohmann::json()) != trace_version)
      return fail("read trace", path, "it has a version this Gyges does not know",
                  "read it with the Gyges that wrote it, or a newer one");
    nlohmann::json name = json.value("backend", nlohmann::json());
    nlohmann::json base = json.value("realtime_base_ns", nlohmann::json());
    if ((name != "ebpf" && name != "ptrace") || !base.is_number_unsigned())
      return fail("read trace", path, "its header lacks backend or realtime_base_ns");
    backend = name == "ebpf" ? Backend::ebpf : Backend::ptrace;
    realtime_base_ns = base.get<std::uint64_t>();
    return ok();
  }

  // Takes in a good block's place; a reason when its numbers contradict what came before.
  std::string_view add_block(const FrameHead& head, std::uint64_t offset) {
    if (head.first_sequence != extent.events) return "its sequence numbers do not follow";
    if (blocks.empty() && !head.fresh) return "the first block builds on one that is not there";
    blocks.push_back({head, offset + frame_head_bytes});
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
    std::string frame;
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
                     ? add_end(std::string_view(frame).substr(frame_head_bytes, head.stored_bytes))
                     : add_block(head, offset);
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

  Status read_block(std::size_t index, BlockDecoder& decoder,
                    const std::function<bool(const Event&)>& visit, bool& stopped) {
    const BlockPlace& block = blocks[index];
    auto bad = [&](std::string_view reason) {
      return bad_block(index, block.payload_offset - frame_head_bytes, reason,
                       block.head.first_sequence);
    };
    GYGES_TRY(bool whole, read_at(block.payload_offset, block.head.stored_bytes, stored));
    if (!whole) return bad("cut off while reading");
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
  std::string frame;
  std::size_t start = std::min<std::uint64_t>(trace_magic.size(), state->extent.bytes);
  GYGES_TRY(bool whole, state->read_at(0, start, frame));
  if (!whole || frame != trace_magic)
    return fail("open trace", path.string(), "it is not a Gyges trace",
                "name a run's directory or its trace.gyt");
  state->chain = sha256(trace_magic);
  FrameHead head;
  GYGES_TRY(std::string_view reason, state->check_frame(trace_magic.size(), head, frame));
  if (reason.empty() && head.kind != FrameKind::header) reason = "it does not begin with a header";
  if (!reason.empty())
    return fail("open trace", path.string(),
                fmt::format("its header, at byte {}, is bad: {}", trace_magic.size(), reason));
  GYGES_CHECK(
      state->read_header(std::string_view(frame).substr(frame_head_bytes, head.stored_bytes)));
  GYGES_CHECK(
      state->scan(trace_magic.size() + frame_head_bytes + head.stored_bytes + frame_hash_bytes));
  return TraceReader(std::move(state));
}

Status TraceReader::for_each(const std::function<bool(const Event&)>& visit) {
  State& s = *state_;
  BlockDecoder decoder;
  bool stopped = false;
  for (std::size_t i = 0; i < s.blocks.size() && !stopped; ++i)
    GYGES_CHECK(s.read_block(i, decoder, visit, stopped));
  return stopped ? ok() : s.damage_status();
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
