// A damaged trace names its first bad byte, and never a wrong one.
#include "sandbox/recorder/format/first_bad_byte.h"

#include <gmock/gmock.h>

#include <fstream>

#include "base/crc32c.h"
#include "base/files.h"
#include "sample_events.h"
#include "sandbox/recorder/format/block_checks.h"
#include "sandbox/recorder/format/trace_check.h"
#include "sandbox/recorder/format/trace_frame.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/format/trace_writer.h"
#include "sealed_bundle.h"

namespace gyges::recorder {
namespace {

using testing::add_lifelike_events;
using testing::EventList;
using ::testing::HasSubstr;

struct Frame {
  std::size_t begin = 0;
  std::size_t end = 0;  // behind its hash
  FrameHead head;
};

class FirstBadByte : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges_first_bad_byte");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::move(*directory);
    path_ = directory_->path() / "trace.gyt";
    std::mt19937_64 random(31);
    EventList list;
    add_lifelike_events(list, 3000, random);
    auto writer = TraceWriter::create(path_, Backend::ebpf);
    ASSERT_TRUE(writer) << writer.error().line();
    std::size_t written = 0;
    for (const Event& event : list.finished()) {
      ASSERT_TRUE((*writer)->append(event));
      if (++written % 1000 != 0) continue;
      ASSERT_TRUE((*writer)->flush());
    }
    Coverage coverage;
    ASSERT_TRUE((*writer)->finish(coverage));
    auto whole = read_file(path_);
    ASSERT_TRUE(whole);
    whole_ = std::move(*whole);
    for (std::size_t at = trace_magic.size(); at < whole_.size();) {
      Frame frame;
      frame.begin = at;
      ASSERT_EQ(decode_frame_head(std::string_view(whole_).substr(at), frame.head), "");
      at += frame_head_bytes + frame.head.stored_bytes + frame_hash_bytes;
      frame.end = at;
      frames_.push_back(frame);
    }
    ASSERT_GE(frames_.size(), 5U);  // header, three blocks or more, end
  }

  // The first bad byte of such a file; none if it is found whole.
  std::optional<BadByte> look_at(const std::string& bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
    auto check = check_trace(path_);
    if (!check) {
      ADD_FAILURE() << check.error().line();
      return std::nullopt;
    }
    EXPECT_EQ(check->fault.empty(), !check->first_bad_byte.has_value());
    return check->first_bad_byte;
  }

  void expect_exact(const std::string& bytes, std::size_t at) {
    const auto bad = look_at(bytes);
    ASSERT_TRUE(bad) << at;
    EXPECT_EQ(bad->from, at) << bad_byte_text(*bad);
    EXPECT_EQ(bad->to, at) << bad_byte_text(*bad);
  }

  // The bytes of `whole_` with those of [from, to) changed.
  std::string changed(std::size_t from, std::size_t to) {
    std::string bytes = whole_;
    for (std::size_t i = from; i < to; ++i)
      bytes[i] = static_cast<char>(bytes[i] ^ static_cast<char>(1 + i % 255));
    return bytes;
  }

  void put_hash_right(std::string& bytes, std::size_t frame) {
    Sha256 before = sha256(trace_magic);
    if (frame > 0)
      std::copy_n(
          bytes.begin() + static_cast<std::ptrdiff_t>(frames_[frame].begin - frame_hash_bytes),
          frame_hash_bytes, before.begin());
    const Frame& place = frames_[frame];
    const std::string_view view(bytes);
    const Sha256 hash =
        frame_hash(before, view.substr(place.begin, frame_head_bytes),
                   view.substr(place.begin + frame_head_bytes, place.head.stored_bytes));
    std::copy(hash.begin(), hash.end(),
              bytes.begin() + static_cast<std::ptrdiff_t>(place.end - frame_hash_bytes));
  }

  std::optional<TemporaryDirectory> directory_;
  std::filesystem::path path_;
  std::string whole_;
  std::vector<Frame> frames_;
};

TEST_F(FirstBadByte, AWholeTraceHasNone) {
  EXPECT_FALSE(look_at(whole_));
}

// Each byte of the first, a middle and the last frame's heads and hashes, and every 37th of the
// rest: sizes, marks, sequence numbers, summaries, check values, packed events, hashes.
TEST_F(FirstBadByte, OneChangedByteIsNamedWhereverItIs) {
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    const Frame& frame = frames_[i];
    const bool searched_by_trial = frame.head.kind != FrameKind::block;
    for (std::size_t at = frame.begin; at < frame.end;) {
      SCOPED_TRACE("frame " + std::to_string(i) + " of kind " +
                   std::to_string(static_cast<int>(frame.head.kind)) + ", its byte " +
                   std::to_string(at - frame.begin));
      std::string bytes = whole_;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
      const bool last_hash = i + 1 == frames_.size() && at >= frame.end - frame_hash_bytes;
      if (!last_hash) expect_exact(bytes, at);
      const bool edge = at < frame.begin + frame_head_bytes || at + frame_hash_bytes >= frame.end;
      at += searched_by_trial ? 13 : edge ? 1 : 37;
      if (HasFailure()) return;
    }
  }
}

TEST_F(FirstBadByte, TheMarkOfTheFileIsNamed) {
  for (std::size_t at = 0; at < trace_magic.size(); ++at) expect_exact(changed(at, at + 1), at);
}

// In packed events: a stretch that is not longer than a piece.
TEST_F(FirstBadByte, AStretchIsNamedByItsFirstByte) {
  const Frame& frame = frames_[2];
  const std::size_t length = frame.end - frame.begin - frame_hash_bytes;
  const auto covered = covered_bytes_of(length);
  ASSERT_TRUE(covered);
  const std::size_t piece = checks_of(std::string(*covered, 'x')).piece_bytes;
  const std::size_t begin =
      frame.begin + frame_head_bytes + frame.head.summary_bytes + checks_size(*covered);
  for (std::size_t at = begin; at + piece < frame.end - frame_hash_bytes; at += 29) {
    expect_exact(changed(at, at + piece), at);
    if (HasFailure()) return;
  }
}

TEST_F(FirstBadByte, ScatteredBytesAreNamedByTheFirst) {
  const Frame& frame = frames_[1];
  const std::size_t begin = frame.end - frame_hash_bytes - 3000;
  std::string bytes = whole_;
  for (std::size_t at = begin; at < frame.end - frame_hash_bytes; at += 500)
    bytes[at] = static_cast<char>(bytes[at] ^ 0x5a);
  expect_exact(bytes, begin);
}

// What cannot be put right: the range holds the first bad byte and is no longer than a piece, or
// than what stands before the check values where these are hit.
TEST_F(FirstBadByte, WhateverIsOverwrittenTheRangeHoldsTheFirst) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    const std::size_t from = trace_magic.size() + random() % (whole_.size() - trace_magic.size());
    const std::size_t to = std::min<std::size_t>(whole_.size(), from + 1 + random() % 20000);
    SCOPED_TRACE(std::to_string(from) + " to " + std::to_string(to));
    std::string bytes = whole_;
    for (std::size_t i = from; i < to; ++i)
      bytes[i] = round % 2 == 0 ? '\0' : static_cast<char>(random());
    const auto first = static_cast<std::size_t>(
        std::mismatch(bytes.begin(), bytes.end(), whole_.begin()).first - bytes.begin());
    if (first == whole_.size()) continue;
    const auto bad = look_at(bytes);
    ASSERT_TRUE(bad);
    EXPECT_LE(bad->from, first) << bad_byte_text(*bad);
    EXPECT_GE(bad->to, first) << bad_byte_text(*bad);
    const auto frame = std::find_if(frames_.begin(), frames_.end(),
                                    [&](const Frame& one) { return first < one.end; });
    if (frame->head.kind == FrameKind::block && to < frame->end) {
      EXPECT_LT(bad->to - bad->from, 2048U) << bad_byte_text(*bad);
    }
    if (HasFailure()) return;
  }
}

TEST_F(FirstBadByte, ACutIsNamedWithWhatCannotBeCheckedBeforeIt) {
  std::size_t exact = 0;
  for (std::size_t size = whole_.size() - 1; size > frames_[0].end; size -= 61) {
    const auto bad = look_at(whole_.substr(0, size));
    ASSERT_TRUE(bad) << size;
    EXPECT_LE(bad->from, size);
    EXPECT_EQ(bad->to, size);
    EXPECT_LT(bad->to - bad->from, 3000U) << size;
    exact += bad->exact() ? 1 : 0;
    if (size < 61) break;
  }
  for (const Frame& frame : frames_)
    if (frame.end < whole_.size()) expect_exact(whole_.substr(0, frame.end), frame.end);
  // With a byte changed before the cut the piece is named that holds it.
  const Frame& frame = frames_[1];
  const std::size_t at = frame.begin + 40;
  const auto bad = look_at(changed(at, at + 1).substr(0, frame.end - 100));
  ASSERT_TRUE(bad);
  EXPECT_LE(bad->from, at);
  EXPECT_GE(bad->to, at);
  // The first piece: head, summary, and, behind the check values, a part of the events.
  const std::size_t covered = *covered_bytes_of(frame.end - frame.begin - frame_hash_bytes);
  EXPECT_LT(bad->to,
            frame.begin + checks_of(std::string(covered, 'x')).piece_bytes + checks_size(covered));
}

TEST_F(FirstBadByte, AddedBytesAreNamed) {
  expect_exact(whole_ + "x", whole_.size());
  expect_exact(whole_ + "GYTF", whole_.size());
}

// Whoever changes a block can compute its hash anew. The next block was built on the old one.
TEST_F(FirstBadByte, ABlockWithANewHashIsNotTakenForTheNextOne) {
  std::string bytes = whole_;
  const std::size_t at = frames_[1].end - frame_hash_bytes - 5;
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  put_hash_right(bytes, 1);
  const auto bad = look_at(bytes);
  ASSERT_TRUE(bad);
  EXPECT_LE(bad->from, at);
  EXPECT_EQ(bad->to, frames_[1].end - 1) << bad_byte_text(*bad);
  EXPECT_THAT(bad->how, HasSubstr("earlier"));
}

// The mark comes first, whatever else of the head and behind it cannot be put right.
TEST_F(FirstBadByte, AWrongMarkIsTheFirstBadByteWhateverElseIsBad) {
  const Frame& frame = frames_[1];
  std::string bytes = changed(frame.begin + 2, frame.begin + 3);
  bytes[frame.begin + 9] = static_cast<char>(bytes[frame.begin + 9] ^ 1);  // its length
  bytes[frame.begin + 20] = static_cast<char>(bytes[frame.begin + 20] ^ 1);
  bytes[frame.end - 1] = static_cast<char>(bytes[frame.end - 1] ^ 1);
  expect_exact(bytes, frame.begin + 2);
}

// A frame that makes no sense and has its hash was not damaged, nor was one before it.
TEST_F(FirstBadByte, AFrameThatWasWrittenWrongIsSaidToBeSo) {
  std::string bytes = changed(frames_[2].begin + 24, frames_[2].begin + 25);  // sequence number
  put_hash_right(bytes, 2);
  const auto bad = look_at(bytes);
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->from, frames_[2].begin) << bad_byte_text(*bad);
  EXPECT_EQ(bad->to, frames_[2].end - 1) << bad_byte_text(*bad);
  EXPECT_THAT(bad->how, HasSubstr("written like that"));
}

// The check values of a forger agree with each other and lie.
TEST_F(FirstBadByte, ForgedCheckValuesAreNoProof) {
  const Frame& frame = frames_[1];
  const std::size_t length = frame.end - frame.begin - frame_hash_bytes;
  const std::size_t covered = *covered_bytes_of(length);
  const std::size_t checks_at = frame.begin + frame_head_bytes + frame.head.summary_bytes;
  std::string bytes = whole_;
  const std::string lie = encode_checks(checks_of(std::string(covered, 'x')));
  ASSERT_EQ(lie.size(), checks_size(covered));
  bytes.replace(checks_at, lie.size(), lie);
  // The bytes are otherwise as they were: what was written can be computed.
  expect_exact(
      bytes, static_cast<std::size_t>(
                 std::mismatch(bytes.begin(), bytes.end(), whole_.begin()).first - bytes.begin()));
}

TEST(BlockChecks, ComeBackAndStateTheirSize) {
  for (std::size_t size : {1U, 31U, 1023U, 1024U, 1025U, 4096U, 4097U, 100000U}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    const BlockChecks checks = checks_of(bytes);
    const std::string encoded = encode_checks(checks);
    EXPECT_EQ(encoded.size(), checks_size(size));
    EXPECT_EQ(covered_bytes_of(size + encoded.size()), size);
    EXPECT_EQ(decode_checks(encoded, size), checks);
    for (std::size_t at = 0; at < encoded.size(); ++at) {
      std::string bad = encoded;
      bad[at] = static_cast<char>(bad[at] ^ 4);
      EXPECT_FALSE(decode_checks(bad, size)) << at;
    }
  }
}

TEST(Crc32c, IsThePublishedOneAndFindsAWrongByte) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);  // the check value of its catalogues
  EXPECT_EQ(crc32c(""), 0U);
  std::string bytes(997, 'q');
  const std::uint32_t right = crc32c(bytes);
  for (std::size_t at = 0; at < bytes.size(); at += 83) {
    std::string bad = bytes;
    bad[at] = static_cast<char>(bad[at] ^ 0x91);
    const auto error = single_byte_error(right ^ crc32c(bad), bad.size());
    ASSERT_TRUE(error) << at;
    EXPECT_EQ(error->at, at);
    EXPECT_EQ(error->flipped, 0x91);
  }
  EXPECT_FALSE(single_byte_error(0, bytes.size()));
}

class SealedTrace : public testing::SealedBundle {};

TEST_F(SealedTrace, TheBundlesFaultNamesTheByte) {
  std::fstream file(directory_ / "trace.gyt", std::ios::in | std::ios::out | std::ios::binary);
  const int byte = file.seekg(1200).get();
  file.seekp(1200).put(static_cast<char>(byte ^ 8)).flush();
  const auto found = faults();
  ASSERT_EQ(found.size(), 1U);
  ASSERT_TRUE(found[0].first_bad_byte) << found[0].reason;
  EXPECT_EQ(found[0].first_bad_byte->from, 1200U) << found[0].reason;
  EXPECT_TRUE(found[0].first_bad_byte->exact()) << found[0].reason;
  EXPECT_THAT(found[0].reason, HasSubstr("the first bad byte is byte 1200 (0x"));
}

// Only the seal knows what the end's own hash was.
TEST_F(SealedTrace, TheLastHashIsKnownFromTheSeal) {
  const auto path = directory_ / "trace.gyt";
  const auto size = std::filesystem::file_size(path);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  const auto at = static_cast<std::streamoff>(size - 9);
  const int byte = file.seekg(at).get();
  file.seekp(at).put(static_cast<char>(byte ^ 8)).flush();
  const auto found = faults();
  ASSERT_EQ(found.size(), 1U);
  ASSERT_TRUE(found[0].first_bad_byte) << found[0].reason;
  EXPECT_EQ(found[0].first_bad_byte->from, size - 9) << found[0].reason;
  EXPECT_TRUE(found[0].first_bad_byte->exact()) << found[0].reason;
}

TEST_F(SealedTrace, AddedBytesOfAnyFileAreNamed) {
  std::ofstream(directory_ / "transcript.jsonl", std::ios::app) << "{}\n";
  const auto found = faults();
  ASSERT_EQ(found.size(), 1U);
  ASSERT_TRUE(found[0].first_bad_byte) << found[0].reason;
  EXPECT_EQ(found[0].first_bad_byte->from, 3U);
  std::ofstream(directory_ / "transcript.jsonl") << "[]\n{}\n";
  EXPECT_FALSE(faults()[0].first_bad_byte) << "what was there has changed, too";
}

}  // namespace
}  // namespace gyges::recorder
