// Summaries of blocks, and reading only those that can hold what is looked for.
#include <gtest/gtest.h>
#include <malloc.h>
#include <zstd.h>

#include <fstream>
#include <set>

#include "base/files.h"
#include "sample_events.h"
#include "sandbox/recorder/format/block_summary.h"
#include "sandbox/recorder/format/block_tables.h"
#include "sandbox/recorder/format/event_filter.h"
#include "sandbox/recorder/format/trace_frame.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/format/trace_writer.h"
#include "structure_events.h"

namespace gyges::recorder {
namespace {

using testing::EventList;

constexpr std::uint32_t call_count = 6;
constexpr std::uint32_t events_per_call = 65536;

// Six tool calls of a process each, one block each; the fourth has the only unlink, refused.
class TraceIndex : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges_index_test");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::move(*directory);
    path_ = directory_->path() / "trace.gyt";
    for (std::uint32_t call = 0; call < call_count; ++call)
      for (std::uint32_t i = 0; i < events_per_call; ++i) {
        Event& event = list_.add();
        event.number = call == 3 && i == 17 ? 87 : 39;
        event.verdict = call == 3 && i == 17 ? Verdict::refused : Verdict::allowed;
        event.result = call == 3 && i == 17 ? -1 : 5;
        event.pid = event.tid = static_cast<std::int32_t>(1000 + call);
        event.inside_pid = event.inside_tid = static_cast<std::int32_t>(10 + call);
        event.origin_call = event.active_call = call + 1;
        event.time_ns = 1'000'000'000U + std::uint64_t{call} * 1'000'000U + i;
      }
    auto writer = TraceWriter::create(path_, Backend::ebpf);
    ASSERT_TRUE(writer) << writer.error().line();
    for (const Event& event : list_.finished()) ASSERT_TRUE((*writer)->append(event));
    Coverage coverage;
    ASSERT_TRUE((*writer)->finish(coverage));
  }

  // Blocks the query leaves, and whether all events of a filter with it are there.
  std::uint64_t blocks(const BlockQuery& query) {
    return TraceReader::open(path_)->blocks_in(query);
  }

  void expect_same(const EventFilter& filter, std::size_t expected_blocks) {
    auto reader = TraceReader::open(path_);
    ASSERT_TRUE(reader) << reader.error().line();
    std::set<std::uint64_t> all, chosen;
    std::uint64_t delivered = 0;
    ASSERT_TRUE(reader->for_each([&](const Event& event) {
      if (filter.takes(event, {})) all.insert(event.sequence);
      return true;
    }));
    ASSERT_TRUE(reader->for_each_in(filter.block_query(), [&](const Event& event) {
      ++delivered;
      if (filter.takes(event, {})) chosen.insert(event.sequence);
      return true;
    }));
    // Every block of this trace is full, so none builds on another but within 256 Ki events.
    EXPECT_GE(reader->blocks_unpacked(), call_count + expected_blocks);
    EXPECT_LT(reader->blocks_unpacked(), call_count + expected_blocks + 4);
    EXPECT_FALSE(all.empty());
    EXPECT_EQ(all, chosen);
    EXPECT_EQ(delivered, expected_blocks * events_per_call);
  }

  EventList list_;
  std::optional<TemporaryDirectory> directory_;
  std::filesystem::path path_;
};

TEST_F(TraceIndex, SkipsByToolCallPidSyscallTimeAndResult) {
  EXPECT_EQ(blocks({}), call_count);
  EventFilter filter;
  filter.tool_call = 2;
  expect_same(filter, 1);
  filter = {};
  filter.pid = 1004;
  expect_same(filter, 1);
  filter.pid = 14;  // the same, as the sandbox sees it
  expect_same(filter, 1);
  filter = {};
  filter.syscalls = {"unlink"};
  expect_same(filter, 1);
  filter = {};
  filter.classes = {SyscallClass::file};
  expect_same(filter, 1);
  filter = {};
  filter.refused = true;
  expect_same(filter, 1);
  filter = {};
  filter.errors = {1};
  expect_same(filter, 1);
  filter = {};
  filter.since_ns = 1'001'000'000U;
  filter.until_ns = 1'002'000'010U;
  expect_same(filter, 2);
  BlockQuery absent;
  absent.pids = {4711};
  EXPECT_EQ(blocks(absent), 0U);
}

// What is not looked for is not unpacked: with a trace whose last block alone has the call, at most
// the blocks that it builds on.
TEST_F(TraceIndex, BlocksThatHoldNothingAreNotUnpacked) {
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().line();
  EXPECT_EQ(reader->blocks_unpacked(), 0U);
  BlockQuery query;
  query.pids = {1000};
  std::uint64_t seen = 0;
  ASSERT_TRUE(reader->for_each_in(query, [&](const Event&) { return ++seen > 0; }));
  EXPECT_EQ(seen, events_per_call);
  EXPECT_EQ(reader->blocks_unpacked(), 1U);
  query.pids = {4711};
  ASSERT_TRUE(reader->for_each_in(query, [&](const Event&) { return true; }));
  EXPECT_EQ(reader->blocks_unpacked(), 1U);
}

TEST_F(TraceIndex, DamageIsReportedAlsoWhereNothingIsLookedFor) {
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader);
  BlockQuery query;
  query.tool_call = 1;
  std::uint64_t seen = 0;
  EXPECT_FALSE(reader->for_each_in(query, [&](const Event&) { return ++seen > 0; }));
  EXPECT_EQ(seen, events_per_call);
}

constexpr std::string_view trace_of_version_5 =
#include "trace_of_version_5.inc"
    ;
constexpr std::string_view trace_of_version_6 =
#include "trace_of_version_6.inc"
    ;
constexpr std::string_view indexed_trace_of_version_6 =
#include "indexed_trace_of_version_6.inc"
    ;

std::string bytes_of(std::string_view digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
  return bytes;
}

// A block of format 6 as formats 1 and 2 had it: a time and a duration in one column each.
class OldPayload {
 public:
  explicit OldPayload(std::string_view packed, std::uint32_t raw_bytes) : raw_(raw_bytes, 0) {
    EXPECT_EQ(ZSTD_decompress(raw_.data(), raw_.size(), packed.data(), packed.size()), raw_bytes);
    std::string_view rest = raw_;
    std::array<std::uint64_t, lanes_column_count> sizes{};
    for (std::uint64_t& size : sizes) size = take_varint(rest);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      columns_[i] = rest.substr(0, sizes[i]);
      rest.remove_prefix(sizes[i]);
    }
    // These events have no structures, whose words had no lanes then: all lanes are empty.
    EXPECT_EQ(columns_[column_words], std::string(StructureMemory::max_words, 0));
    columns_[column_words].clear();
    columns_[column_time] = joined(column_time_low, column_time_high);
    columns_[column_duration] = joined(column_duration_low, column_duration_high);
  }

  [[nodiscard]] std::string packed(std::uint32_t& raw_bytes) const {
    std::string raw;
    for (std::size_t i = 0; i < old_column_count; ++i) put_varint(raw, columns_[i].size());
    for (std::size_t i = 0; i < old_column_count; ++i) raw += columns_[i];
    raw_bytes = static_cast<std::uint32_t>(raw.size());
    std::string out(ZSTD_compressBound(raw.size()), 0);
    out.resize(ZSTD_compress(out.data(), out.size(), raw.data(), raw.size(), 3));
    return out;
  }

 private:
  static std::uint64_t take_varint(std::string_view& bytes) {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      auto byte = static_cast<std::uint8_t>(bytes.front());
      bytes.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
  }
  static void put_varint(std::string& bytes, std::uint64_t value) {
    for (; value >= 0x80; value >>= 7U) bytes += static_cast<char>(value | 0x80U);
    bytes += static_cast<char>(value);
  }
  std::string joined(Column low, Column high) {
    std::string column;
    std::string_view rest = columns_[high];
    for (char byte : columns_[low])
      put_varint(column, take_varint(rest) << 8U | static_cast<std::uint8_t>(byte));
    return column;
  }

  std::string raw_;
  std::array<std::string, lanes_column_count> columns_;
};

class OldTrace : public TraceIndex, public ::testing::WithParamInterface<int> {};
INSTANTIATE_TEST_SUITE_P(Versions, OldTrace, ::testing::Values(1, 2, 6));

// What a writer of version 6 wrote, and the same blocks in an older form (version 1 had no
// summaries either), with hashes that agree, must read the same.
TEST_P(OldTrace, ReadsTheSame) {
  const bool summaries = GetParam() >= 2;
  const std::string whole = bytes_of(indexed_trace_of_version_6);
  std::string old(trace_magic);
  Sha256 chain = sha256(trace_magic);
  std::string_view rest = std::string_view(whole).substr(trace_magic.size());
  while (!rest.empty()) {
    FrameHead head;
    ASSERT_EQ(decode_frame_head(rest, head), "");
    std::string summary(rest.substr(frame_head_bytes, head.summary_bytes));
    std::string payload(
        rest.substr(frame_head_bytes + head.summary_bytes, head.stored_bytes - head.summary_bytes));
    rest.remove_prefix(frame_head_bytes + head.stored_bytes + frame_hash_bytes);
    if (head.kind == FrameKind::header) {
      const std::string now = "\"version\":6";
      std::size_t at = payload.find(now);
      ASSERT_NE(at, std::string::npos);
      payload.replace(at, now.size(), "\"version\":" + std::to_string(GetParam()));
    }
    if (head.kind == FrameKind::block && GetParam() <= 2) {
      EXPECT_GT(head.summary_bytes, 0U);
      payload = OldPayload(payload, head.raw_bytes).packed(head.raw_bytes);
    }
    if (summaries)
      payload.insert(0, summary);
    else
      head.summary_bytes = 0;
    head.stored_bytes = static_cast<std::uint32_t>(payload.size());
    FrameHeadBytes bytes = encode_frame_head(head);
    std::string_view head_view(bytes.data(), bytes.size());
    chain = frame_hash(chain, head_view, payload);
    old += head_view;
    old += payload;
    old.append(reinterpret_cast<const char*>(chain.data()), chain.size());
  }
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << old;
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().line();
  EXPECT_FALSE(reader->damage());
  EXPECT_EQ(reader->extent().events, std::uint64_t{call_count} * events_per_call);
  std::size_t seen = 0;
  const Status read = reader->for_each([&](const Event& event) {
    return static_cast<bool>(testing::same_event(list_.events().at(seen++), event));
  });
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(seen, list_.events().size());
  BlockQuery query;
  query.tool_call = 2;
  EXPECT_EQ(reader->blocks_in(query),
            summaries ? 1U : call_count);  // no summaries: every block may hold it
  query = {};
  query.since_ns = 1'005'000'000U;
  EXPECT_EQ(reader->blocks_in(query), 1U);  // times stand in the frame
}

class OldStructures : public TraceIndex, public ::testing::WithParamInterface<std::string_view> {};
INSTANTIATE_TEST_SUITE_P(Versions, OldStructures,
                         ::testing::Values(trace_of_version_5, trace_of_version_6));

// In version 5 words of structures follow each other in one column, from 6 on each place has its
// own, and from 7 on they are stored as they are where that is no longer than a difference.
TEST_P(OldStructures, ReadTheSame) {
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes_of(GetParam());
  testing::EventList list;
  testing::add_structure_events(list);
  std::filesystem::path now = path_;
  now += ".now";
  auto writer = TraceWriter::create(now, Backend::ebpf);
  ASSERT_TRUE(writer) << writer.error().line();
  for (const Event& event : list.finished()) ASSERT_TRUE((*writer)->append(event));
  Coverage coverage;
  ASSERT_TRUE((*writer)->finish(coverage));
  for (const std::filesystem::path& path : {path_, now}) {
    auto reader = TraceReader::open(path);
    ASSERT_TRUE(reader) << reader.error().line();
    std::size_t seen = 0;
    const Status read = reader->for_each([&](const Event& event) {
      return static_cast<bool>(testing::same_event(list.events().at(seen++), event));
    });
    ASSERT_TRUE(read) << read.error().line();
    EXPECT_EQ(seen, list.events().size()) << path;
  }
}

TEST(BlockSummary, BeyondItsBoundsAListStandsForEverything) {
  SummaryBuilder builder;
  Event event;
  for (std::int32_t pid = 1; pid < 2000; ++pid) {
    event.pid = pid;
    builder.add_context(event);
  }
  builder.add_shape(event);
  BlockSummary summary;
  ASSERT_TRUE(decode_summary(builder.encode(), summary));
  EXPECT_FALSE(summary.pids);
  ASSERT_TRUE(summary.tool_calls);
  EXPECT_EQ(summary.tool_calls->size(), 1U);
  BlockQuery query;
  query.pids = {99999};
  EXPECT_TRUE(summary.may_hold(query, 0, 0));
  query.tool_call = 3;
  EXPECT_FALSE(summary.may_hold(query, 0, 0));
}

TEST(BlockSummary, HostileBytesAreRefused) {
  SummaryBuilder builder;
  Event event;
  event.pid = 300;
  builder.add_shape(event);
  builder.add_context(event);
  const std::string good = builder.encode();
  BlockSummary summary;
  ASSERT_TRUE(decode_summary(good, summary));
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(decode_summary(std::string_view(good).substr(0, size), summary)) << size;
  EXPECT_FALSE(decode_summary(good + "x", summary));
  std::string unknown_flag = good;
  unknown_flag[0] = static_cast<char>(0x20);
  EXPECT_FALSE(decode_summary(unknown_flag, summary));
  // A list that claims four thousand million entries.
  EXPECT_FALSE(decode_summary(std::string_view("\x00\xff\xff\xff\xff\x0f", 6), summary));
}

std::size_t heap_bytes() {
  const struct mallinfo2 heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

// A supervisor of 200 recorded sandboxes held 2.1 MiB for each.
TEST(TraceWriterMemory, ASessionThatRecordsLittleHoldsLittle) {
  auto directory = TemporaryDirectory::create("gyges_index_test");
  ASSERT_TRUE(directory) << directory.error().line();
  std::size_t before = heap_bytes();
  {
    const std::vector<char> control(1U << 20U, 'x');
    if (heap_bytes() < before + control.size()) GTEST_SKIP() << "this heap is not counted";
  }
  EventList list;
  for (int i = 0; i < 200; ++i) list.add();
  int made = 0;
  auto begin = [&]() -> std::unique_ptr<TraceWriter> {
    auto writer = TraceWriter::create(directory->path() / std::to_string(++made), Backend::ebpf);
    if (!writer) return nullptr;
    for (const Event& event : list.finished())
      if (!(*writer)->append(event)) return nullptr;
    return std::move(*writer);
  };
  ASSERT_NE(begin(), nullptr);  // what is made once
  before = heap_bytes();
  constexpr std::size_t writers = 8;
  std::vector<std::unique_ptr<TraceWriter>> open;
  for (std::size_t i = 0; i < writers; ++i) ASSERT_NE(open.emplace_back(begin()), nullptr);
  EXPECT_LT((heap_bytes() - before) / writers, 1U << 20U);
  open.clear();
  EXPECT_LT(heap_bytes(), before + (64U << 10U)) << "and gives it back";
}

}  // namespace
}  // namespace gyges::recorder
