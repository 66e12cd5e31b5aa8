#include "sandbox/recorder/format/first_bad_byte.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/crc32c.h"
#include "base/regular_file.h"
#include "sandbox/recorder/format/block_checks.h"
#include "sandbox/recorder/format/block_tables.h"
#include "sandbox/recorder/format/trace_file.h"
#include "sandbox/recorder/format/trace_frame.h"

namespace gyges::recorder {
namespace {

constexpr std::size_t stored_size_at = 8;  // in a frame's head
constexpr std::size_t summary_size_at = 20;
// A bad frame and the one behind it, each as long as they can be.
constexpr std::size_t most_bytes = 2 * (std::size_t{max_block_bytes} + (1U << 20U));
// Where the length of the bad frame is not to be believed, marks of the next one are looked at.
constexpr std::size_t most_marks = 8;

std::uint32_t size_in(std::string_view head, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, head.data() + at, sizeof(value));
  return value;
}

std::string_view bytes_of(const Sha256& hash) {
  return {reinterpret_cast<const char*>(hash.data()), hash.size()};
}

// The range in places of the frame.
struct BadRange {
  std::size_t from = 0;
  std::size_t to = 0;
  std::string how;
  bool earlier = false;  // in a frame before this one, whose own bytes are as they were
};

// One frame, from its first byte on, and what stands behind it.
class FrameSearch {
 public:
  FrameSearch(std::string_view bytes, const Sha256& before, const std::string& sealed_head,
              std::uint64_t most_hashed)
      : bytes_(bytes), before_(before), sealed_head_(sealed_head), most_hashed_(most_hashed) {}

  BadRange find() {
    const std::vector<std::size_t> lengths = possible_lengths();
    if (!lengths.empty() && states_its_hash(bytes_.substr(0, lengths.front())))
      return {0, lengths.front() - 1, "its hash is the stated one: it was written like that"};
    for (std::size_t length : lengths)
      if (try_length(length)) return found_;
    // A wrong mark is the first there can be.
    if (narrowest_ && bytes_.starts_with(frame_mark)) return *narrowest_;
    return by_format(lengths);
  }

 private:
  // How long the frame can be: as it says, up to where another begins, up to the file's end.
  [[nodiscard]] std::vector<std::size_t> possible_lengths() const {
    constexpr std::size_t shortest = frame_head_bytes + frame_hash_bytes;
    std::vector<std::size_t> lengths;
    if (bytes_.size() < shortest) return lengths;
    const std::size_t stated = shortest + size_in(bytes_, stored_size_at);
    if (stated <= bytes_.size()) lengths.push_back(stated);
    std::size_t at = shortest;
    while (lengths.size() < most_marks) {
      at = bytes_.find(frame_mark, at);
      if (at == std::string_view::npos) break;
      FrameHead head;
      if (at != stated && decode_frame_head(bytes_.substr(at), head).empty() &&
          head.kind != FrameKind::header)
        lengths.push_back(at);
      ++at;
    }
    if (stated != bytes_.size()) lengths.push_back(bytes_.size());
    return lengths;
  }

  [[nodiscard]] Sha256 hash_of(std::string_view frame) const {
    const std::size_t end = frame.size() - frame_hash_bytes;
    return frame_hash(before_, frame.substr(0, frame_head_bytes),
                      frame.substr(frame_head_bytes, end - frame_head_bytes));
  }

  [[nodiscard]] bool states_its_hash(std::string_view frame) const {
    return bytes_of(hash_of(frame)) == frame.substr(frame.size() - frame_hash_bytes);
  }

  // Whether `frame` is what was written: then it says where the file differs.
  bool is_original(std::string_view frame) {
    return states_its_hash(frame) &&
           differs_from(frame, "with it put right the hash is the stated one");
  }

  bool differs_from(std::string_view frame, std::string_view how) {
    const auto at = static_cast<std::size_t>(
        std::mismatch(frame.begin(), frame.end(), bytes_.begin()).first - frame.begin());
    if (at == frame.size()) return false;
    found_ = {at, at,
              fmt::format("{:#04x}, was {:#04x}: {}", static_cast<std::uint8_t>(bytes_[at]),
                          static_cast<std::uint8_t>(frame[at]), how)};
    return true;
  }

  bool try_length(std::size_t length) {
    std::string frame(bytes_.substr(0, length));
    const auto stored = static_cast<std::uint32_t>(length - frame_head_bytes - frame_hash_bytes);
    if (size_in(frame, stored_size_at) != stored) {
      std::memcpy(frame.data() + stored_size_at, &stored, sizeof(stored));
      if (is_original(frame)) return true;
    }
    const bool as_stated = size_in(bytes_, stored_size_at) == stored;
    if (as_stated) look_behind_summary(frame);
    return only_hash_is_bad(frame) || by_checks(frame) || (as_stated && by_trial(frame));
  }

  // Whether the hash of the frame at `at` is right for one that follows a frame with `hash`.
  [[nodiscard]] bool next_is_built_on(std::string_view hash, std::size_t at) const {
    const std::string_view next = bytes_.substr(at);
    FrameHead head;
    if (!decode_frame_head(next, head).empty()) return false;
    const std::size_t end = frame_head_bytes + head.stored_bytes;
    if (end + frame_hash_bytes > next.size()) return false;
    Sha256 before{};
    std::copy(hash.begin(), hash.end(), before.begin());
    return bytes_of(frame_hash(before, next.substr(0, frame_head_bytes),
                               next.substr(frame_head_bytes, head.stored_bytes))) ==
           next.substr(end, frame_hash_bytes);
  }

  // Of a hash that was changed itself the one behind it, or the seal, knows what it was.
  bool only_hash_is_bad(std::string frame) {
    const Sha256 hash = hash_of(frame);
    const bool is_last = bytes_.size() == frame.size();
    if (is_last ? to_hex(hash) != sealed_head_ : !next_is_built_on(bytes_of(hash), frame.size()))
      return false;
    frame.replace(frame.size() - frame_hash_bytes, frame_hash_bytes, bytes_of(hash));
    return differs_from(frame, "what follows, or the seal, is built on the hash that was there");
  }

  // Where the checks stand: behind the summary, whose length may be what is bad.
  [[nodiscard]] static std::optional<std::size_t> place_of_checks(std::string_view frame) {
    const std::size_t stated = frame_head_bytes + size_in(frame, summary_size_at);
    const std::size_t last = std::min<std::size_t>(frame.size(), frame_head_bytes + (16U << 10U));
    if (stated < last && checks_begin(frame.substr(stated))) return stated;
    for (std::size_t at = frame_head_bytes; at < last; ++at)
      if (checks_begin(frame.substr(at))) return at;
    if (stated < last) return stated;
    return std::nullopt;
  }

  // What stands behind a block's summary begins with one of two marks.
  void look_behind_summary(std::string_view frame) {
    constexpr std::uint32_t zstd_mark = 0xFD2FB528;
    const std::size_t at = frame_head_bytes + size_in(frame, summary_size_at);
    if (frame[4] != static_cast<char>(FrameKind::block) || at + sizeof(zstd_mark) > frame.size())
      return;
    if (!checks_begin(frame.substr(at)) && size_in(frame, at) != zstd_mark)
      narrow({0, at + sizeof(zstd_mark) - 1, "nothing known begins behind the block's summary"});
  }

  bool by_checks(const std::string& frame) {
    const auto size = covered_bytes_of(frame.size() - frame_hash_bytes);
    const auto at = place_of_checks(frame);
    if (!size || !at || *size < *at) return false;
    const std::size_t checks_bytes = checks_size(*size);
    std::string covered = frame.substr(0, *at);
    covered.append(frame, *at + checks_bytes, *size - *at);
    const auto whole = [&](std::string_view put_right, const BlockChecks& checks) {
      std::string made(put_right.substr(0, *at));
      made += encode_checks(checks);
      made += put_right.substr(*at);
      made += std::string_view(frame).substr(frame.size() - frame_hash_bytes);
      return made;
    };
    const BlockChecks now = checks_of(covered);
    if (is_original(whole(covered, now))) return true;  // the checks were all that was bad
    const bool there = checks_begin(std::string_view(frame).substr(*at));
    const auto then = decode_checks(std::string_view(frame).substr(*at, checks_bytes), *size);
    if (!then) {
      if (there && size_in(bytes_, stored_size_at) == size_in(frame, stored_size_at))
        narrow({0, *at + checks_bytes - 1, "the block's check values are bad, too"});
      return false;
    }
    std::vector<std::size_t> bad;  // pieces
    for (std::size_t i = 0; i < now.sums.size(); ++i)
      if (now.sums[i] != then->sums[i]) bad.push_back(i);
    const std::size_t length = frame.size();
    const bool length_is_stated = size_in(bytes_, stored_size_at) == size_in(frame, stored_size_at);
    if (!length_is_stated) {
      // A file that was cut looks like this, too, but for the pieces.
      if (!bad.empty() && length == bytes_.size()) return false;
      // Its head's size is wrong, then; what stands before that in the head may be, too.
      const auto at_size = static_cast<std::size_t>(
          std::mismatch(frame.begin(), frame.end(), bytes_.begin()).first - frame.begin());
      narrow({bad.empty() || bad.front() > 0 ? at_size : 4, at_size, "the head's size is wrong"});
      return false;
    }
    if (bad.empty()) {
      if (next_is_built_on(frame.substr(length - frame_hash_bytes), length))
        narrow({0, 0,
                "this block is as it was: what was changed is an earlier one, and its hash with it",
                true});
      else
        narrow({length - frame_hash_bytes, length - 1, "the block fits its own check values"});
      return false;
    }
    for (const std::string& candidate :
         {with_parity(covered, now, *then, bad), with_single_bytes(covered, now, *then, bad)})
      if (!candidate.empty() && is_original(whole(candidate, *then))) return true;
    const auto place = [&](std::size_t byte) { return byte < *at ? byte : byte + checks_bytes; };
    const std::size_t first = bad.front() * now.piece_bytes;
    narrow({place(first), place(std::min(first + now.piece_bytes, *size) - 1),
            "the first piece of the block that differs from its check value"});
    return false;
  }

  // What is bad lies in one piece or two neighbours, so each byte of the parity tells of one byte.
  static std::string with_parity(std::string covered, const BlockChecks& now,
                                 const BlockChecks& then, const std::vector<std::size_t>& bad) {
    if (bad.back() - bad.front() > 1) return {};
    const std::size_t begin = bad.front() * now.piece_bytes;
    const std::size_t end = std::min((bad.back() + 1) * now.piece_bytes, covered.size());
    for (std::size_t at = begin; at < end; ++at) {
      const std::size_t place = at % now.parity.size();
      covered[at] = static_cast<char>(covered[at] ^ now.parity[place] ^ then.parity[place]);
    }
    return covered;
  }

  static std::string with_single_bytes(std::string covered, const BlockChecks& now,
                                       const BlockChecks& then,
                                       const std::vector<std::size_t>& bad) {
    for (std::size_t piece : bad) {
      const std::size_t begin = piece * now.piece_bytes;
      const auto error = single_byte_error(now.sums[piece] ^ then.sums[piece],
                                           std::min(now.piece_bytes, covered.size() - begin));
      if (!error) return {};
      covered[begin + error->at] = static_cast<char>(covered[begin + error->at] ^ error->flipped);
    }
    return covered;
  }

  // Header and end have no check values, nor have blocks of older traces.
  bool by_trial(std::string frame) {
    if (frame.size() * 255 * frame.size() > most_hashed_) return false;
    for (std::size_t at = 0; at < frame.size() - frame_hash_bytes; ++at) {
      const char stands = frame[at];
      for (int flipped = 1; flipped < 256; ++flipped) {
        frame[at] = static_cast<char>(stands ^ flipped);
        if (is_original(frame)) return true;
      }
      frame[at] = stands;
    }
    return false;
  }

  void narrow(BadRange range) {
    if (!narrowest_ || range.to - range.from < narrowest_->to - narrowest_->from)
      narrowest_ = std::move(range);
  }

  // What the format itself says of the head's first bytes, and of a frame that has no end.
  [[nodiscard]] BadRange by_format(const std::vector<std::size_t>& lengths) const {
    const std::string_view known = bytes_.substr(0, std::min(frame_mark.size(), bytes_.size()));
    for (std::size_t i = 0; i < known.size(); ++i)
      if (known[i] != frame_mark[i]) return {i, i, "a frame begins with GYTF"};
    FrameHead head;
    const std::string_view reason = decode_frame_head(bytes_, head);
    if (reason == TraceFile::cut_off ||
        (reason.empty() && frame_head_bytes + head.stored_bytes + frame_hash_bytes > bytes_.size()))
      return cut_off(head);
    if (bytes_.size() > 7) {
      const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes_[i]); };
      if (at(4) < 1 || at(4) > 3) return {4, 4, "there is no such kind of frame"};
      for (std::size_t i = 5; i < 8; ++i)
        if (at(i) > (i == 5 ? 1 : 0)) return {4, i, "the head's flags are impossible"};
    }
    if (!reason.empty()) return {4, summary_size_at + 3, "the head's sizes are impossible"};
    return {4, lengths.empty() ? bytes_.size() : lengths.front() - 1,
            "more is bad than its hash can tell, or an earlier frame and its hash are"};
  }

  // The file ends inside the frame: how far what is there can be seen to be good.
  [[nodiscard]] BadRange cut_off(const FrameHead& head) const {
    const std::size_t end = bytes_.size();
    const std::string how =
        "the file ends there; what stands before it in that range cannot be checked";
    const std::size_t whole = frame_head_bytes + head.stored_bytes;
    if (end < frame_head_bytes) return {std::min(end, frame_mark.size()), end, how};
    if (end >= whole) {
      const Sha256 hash = frame_hash(before_, bytes_.substr(0, frame_head_bytes),
                                     bytes_.substr(frame_head_bytes, head.stored_bytes));
      if (end > whole && bytes_of(hash).starts_with(bytes_.substr(whole)))
        return {end, end, "the file ends there"};
    }
    const std::size_t at = frame_head_bytes + head.summary_bytes;
    const auto size = covered_bytes_of(whole);
    if (!size || *size < at || at + checks_size(*size) > end) return {frame_mark.size(), end, how};
    const std::size_t checks_bytes = checks_size(*size);
    const auto then = decode_checks(bytes_.substr(at, checks_bytes), *size);
    if (!then) return {frame_mark.size(), end, how};
    std::string covered(bytes_.substr(0, at));
    covered += bytes_.substr(at + checks_bytes, std::min(end, whole) - at - checks_bytes);
    const auto place = [&](std::size_t byte) { return byte < at ? byte : byte + checks_bytes; };
    for (std::size_t i = 0; i < then->sums.size(); ++i) {
      const std::size_t begin = i * then->piece_bytes;
      const std::size_t size_of_piece = std::min(then->piece_bytes, *size - begin);
      if (begin + size_of_piece > covered.size()) return {place(begin), end, how};
      if (crc32c(std::string_view(covered).substr(begin, size_of_piece)) != then->sums[i])
        return {place(begin), place(begin + size_of_piece - 1),
                fmt::format("that piece differs from its check value, and the file ends at byte {} "
                            "of the block",
                            end)};
    }
    return {whole, end, how};
  }

  std::string_view bytes_;
  Sha256 before_;
  const std::string& sealed_head_;
  std::uint64_t most_hashed_;
  BadRange found_;
  std::optional<BadRange> narrowest_;
};

// Into `file.frame`, from `frame` on.
Status read_from(TraceFile& file, const std::filesystem::path& path, std::uint64_t frame) {
  file.path = path.string();
  GYGES_TRY(file.fd, open_regular_file(path));
  struct stat status {};
  if (::fstat(file.fd.get(), &status) != 0) return fail_errno("read trace", file.path);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::size_t wanted = std::min<std::uint64_t>(size - std::min(size, frame), most_bytes);
  GYGES_TRY(std::size_t have, file.read_into_frame(frame, 0, wanted));
  file.frame.resize(have);
  return ok();
}

}  // namespace

std::string bad_byte_text(const BadByte& bad) {
  if (bad.exact()) return fmt::format("the first bad byte is byte {} ({})", bad.from, bad.how);
  return fmt::format("the first bad byte is one of bytes {} to {} ({})", bad.from, bad.to, bad.how);
}

Result<BadByte> find_first_bad_byte(const std::filesystem::path& path, std::uint64_t frame,
                                    const Sha256& before, const std::string& sealed_head,
                                    std::uint64_t most_hashed) {
  TraceFile file;
  GYGES_CHECK(read_from(file, path, frame));
  if (file.frame.empty()) return BadByte{frame, frame, "the file ends there"};
  BadRange range = FrameSearch(file.frame, before, sealed_head, most_hashed).find();
  if (range.earlier) return BadByte{trace_magic.size(), frame - 1, std::move(range.how)};
  return BadByte{frame + range.from, frame + range.to, std::move(range.how)};
}

Result<std::optional<BadByte>> find_bad_header_byte(const std::filesystem::path& path) {
  TraceFile file;
  GYGES_CHECK(read_from(file, path, 0));
  const std::string_view bytes = file.frame;
  const auto same = static_cast<std::size_t>(
      std::mismatch(bytes.begin(), bytes.end(), trace_magic.begin(), trace_magic.end()).first -
      bytes.begin());
  if (same < trace_magic.size()) {
    const bool has_header = bytes.size() > trace_magic.size() &&
                            bytes.substr(trace_magic.size()).starts_with(frame_mark);
    if (!has_header) return std::optional<BadByte>();
    return std::optional<BadByte>({same, same, "a trace begins with other bytes"});
  }
  const Sha256 before = sha256(trace_magic);
  FrameHead head;
  std::string_view whole;
  Sha256 hash{};
  GYGES_TRY(std::string_view reason,
            file.read_frame(trace_magic.size(), before, head, whole, hash));
  if (reason.empty() && head.kind == FrameKind::header) return std::optional<BadByte>();
  GYGES_TRY(BadByte bad, find_first_bad_byte(path, trace_magic.size(), before, ""));
  return std::optional<BadByte>(std::move(bad));
}

}  // namespace gyges::recorder
