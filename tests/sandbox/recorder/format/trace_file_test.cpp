#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cerrno>

#include <fstream>

#include "base/files.h"
#include "sample_events.h"
#include "sandbox/recorder/format/block_decoder.h"
#include "sandbox/recorder/format/block_encoder.h"
#include "sandbox/recorder/format/trace_frame.h"
#include "sandbox/recorder/format/trace_reader.h"
#include "sandbox/recorder/format/trace_writer.h"

namespace gyges::recorder {
namespace {

using testing::add_lifelike_events;
using testing::add_random_event;
using testing::EventList;
using testing::same_event;

class TraceFile : public ::testing::Test {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges_trace_test");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::move(*directory);
    path_ = directory_->path() / "trace.gyt";
  }

  void write(const std::deque<Event>& events, Coverage* coverage = nullptr) {
    auto writer = TraceWriter::create(path_, Backend::ebpf);
    ASSERT_TRUE(writer) << writer.error().line();
    for (std::size_t i = 0; i < events.size(); ++i) {
      Status appended = (*writer)->append(events[i]);
      ASSERT_TRUE(appended) << appended.error().line();
    }
    Coverage own;
    Coverage& target = coverage != nullptr ? *coverage : own;
    target.counters.lost = 7;
    target.not_observable = {"vDSO time calls"};
    Status finished = (*writer)->finish(target);
    ASSERT_TRUE(finished) << finished.error().line();
  }

  void overwrite(std::string_view bytes) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }

  // Number of good events, or -1 if the file cannot be opened; `fault` tells of an error at the
  // end.
  long read_count(bool& fault) {
    auto reader = TraceReader::open(path_);
    fault = true;
    if (!reader) return -1;
    long count = 0;
    Status read = reader->for_each([&](const Event& event) {
      EXPECT_EQ(event.sequence, static_cast<std::uint64_t>(count));
      ++count;
      return true;
    });
    fault = !read;
    EXPECT_EQ(fault, reader->damage().has_value());
    return count;
  }

  std::optional<TemporaryDirectory> directory_;
  std::filesystem::path path_;
};

TEST_F(TraceFile, RandomEventsComeBackAsTheyWere) {
  std::mt19937_64 random(20261121);
  EventList list;
  for (int i = 0; i < 150000; ++i) add_random_event(list, random);
  Coverage coverage;
  write(list.finished(), &coverage);
  EXPECT_EQ(coverage.events, 150000U);
  EXPECT_EQ(coverage.bytes, std::filesystem::file_size(path_));
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().line();
  EXPECT_EQ(reader->extent().events, 150000U);
  EXPECT_GE(reader->extent().blocks, 3U);
  ASSERT_TRUE(reader->coverage());
  EXPECT_EQ(reader->coverage()->counters.lost, 7U);
  EXPECT_EQ(reader->coverage()->bytes, coverage.bytes);
  EXPECT_EQ(reader->coverage()->not_observable.size(), 1U);
  std::size_t at = 0;
  Status read = reader->for_each([&](const Event& event) {
    ::testing::AssertionResult same = same_event(list.events()[at], event);
    EXPECT_TRUE(same);
    EXPECT_EQ(event.sequence, at);
    ++at;
    return static_cast<bool>(same);
  });
  EXPECT_TRUE(read) << read.error().line();
  EXPECT_EQ(at, 150000U);
}

TEST_F(TraceFile, EmptyTraceIsWhole) {
  write({});
  bool fault = true;
  EXPECT_EQ(read_count(fault), 0);
  EXPECT_FALSE(fault);
}

TEST_F(TraceFile, VisitorEndsEarly) {
  std::mt19937_64 random(1);
  EventList list;
  add_lifelike_events(list, 100, random);
  write(list.finished());
  auto reader = TraceReader::open(path_);
  int seen = 0;
  EXPECT_TRUE(reader->for_each([&](const Event&) { return ++seen < 10; }));
  EXPECT_EQ(seen, 10);
}

TEST_F(TraceFile, MoreDistinctStringsThanTheTableHolds) {
  EventList list;
  std::mt19937_64 random(2);
  for (int i = 0; i < 100000; ++i) {
    list.add().number = 257;
    list.capture({1, CaptureKind::path, Provenance::enter, false, 0, {}},
                 std::to_string(random()) + std::string(i % 300, 'x'));
  }
  write(list.finished());
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader);
  std::size_t at = 0;
  Status read = reader->for_each([&](const Event& event) {
    return static_cast<bool>(same_event(list.events()[at++], event));
  });
  EXPECT_TRUE(read) << read.error().line();
  EXPECT_EQ(at, 100000U);
}

TEST_F(TraceFile, ManyDistinctShapesAndContexts) {
  EventList list;
  for (std::uint32_t i = 0; i < 200000; ++i) {
    Event& event = list.add();
    event.number = i * 7919;
    event.pid = static_cast<std::int32_t>(i);
  }
  write(list.finished());
  bool fault = true;
  EXPECT_EQ(read_count(fault), 200000);
  EXPECT_FALSE(fault);
}

// A program that makes calls of numbers that do not exist fills the table; what comes beyond it is
// foreseen like all else.
TEST_F(TraceFile, WhatAFullTableOfShapesHasNoRoomForComesBack) {
  EventList list;
  for (std::uint32_t i = 0; i < 3 * max_block_events; ++i) {
    Event& event = list.add();
    event.number = 100000 + i;
    if (i > max_block_events + 100) event.number = i % 8 == 0 ? 400000 : 100000;
    event.pid = event.tid = 7;
    event.time_ns = i;
  }
  write(list.finished());
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader);
  std::size_t at = 0;
  Status read = reader->for_each([&](const Event& event) {
    return static_cast<bool>(same_event(list.events()[at++], event));
  });
  EXPECT_TRUE(read) << read.error().line();
  EXPECT_EQ(at, list.events().size());
}

// Texts of 60000 bytes that end differently take a few bytes each: a block of 65536 of them would
// be small and take 4 GB to unpack.
class LongLikeStrings {
 public:
  explicit LongLikeStrings(std::size_t count) : count_(count) {}

  template <class Visit>
  void each(Visit visit) {
    const std::string begin(60000, 'a');
    for (std::size_t i = 0; i < count_; ++i) {
      const std::string text = begin + std::to_string(i);
      Event event;
      event.kind = EventKind::syscall;
      event.number = 257;
      event.time_ns = i;
      Capture capture{1, CaptureKind::path, Provenance::enter, false, 0, text};
      capture.full_length = static_cast<std::uint32_t>(text.size());
      event.captures = {&capture, 1};
      visit(event, text);
    }
  }

 private:
  std::size_t count_;
};

TEST_F(TraceFile, LongStringsThatBeginAlikeEndTheirBlock) {
  constexpr std::size_t count = 1500;
  LongLikeStrings strings(count);
  auto writer = TraceWriter::create(path_, Backend::ebpf);
  ASSERT_TRUE(writer);
  strings.each(
      [&](const Event& event, const std::string&) { ASSERT_TRUE((*writer)->append(event)); });
  Coverage coverage;
  ASSERT_TRUE((*writer)->finish(coverage));
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader);
  std::size_t seen = 0;
  Status read = reader->for_each([&](const Event& event) {
    EXPECT_EQ(event.captures[0].bytes.size(), 60000 + std::to_string(seen).size());
    EXPECT_TRUE(event.captures[0].bytes.ends_with(std::to_string(seen)));
    ++seen;
    return true;
  });
  EXPECT_TRUE(read) << read.error().line();
  EXPECT_EQ(seen, count);
}

TEST(BlockDecoder, StringsThatTakeLongToRebuildAreRefused) {
  for (const std::size_t count : {500U, 1500U}) {
    BlockEncoder encoder;
    encoder.begin();
    LongLikeStrings strings(count);
    strings.each([&](const Event& event, const std::string&) { ASSERT_TRUE(encoder.add(event)); });
    const auto& payload = encoder.finish();
    BlockDecoder decoder;
    bool stopped = false;
    std::uint64_t seen = 0;
    const Status done = decoder.decode(
        {reinterpret_cast<const char*>(payload.data()), payload.size()},
        static_cast<std::uint32_t>(count), true, 0, [&](const Event&) { return ++seen > 0; },
        stopped);
    // The control: half of the bound is none too much.
    EXPECT_EQ(done.has_value(), count == 500) << seen;
    EXPECT_LE(seen * 60000, max_prefix_bytes + 2 * 60000);
  }
}

TEST_F(TraceFile, LongCapturesAreCutAndMarked) {
  EventList list;
  for (int i = 0; i < 200; ++i) {
    list.add();
    for (int k = 0; k < 4; ++k)
      list.capture({0, CaptureKind::buffer_in, Provenance::enter, false, 100000, {}},
                   std::string(100000, static_cast<char>('a' + k)));
  }
  write(list.finished());
  auto reader = TraceReader::open(path_);
  int seen = 0;
  Status read = reader->for_each([&](const Event& event) {
    ++seen;
    EXPECT_EQ(event.captures[3].bytes.size(), max_capture_bytes);
    EXPECT_TRUE(event.captures[3].truncated);
    EXPECT_EQ(event.captures[3].full_length, 100000U);
    return true;
  });
  EXPECT_TRUE(read);
  EXPECT_EQ(seen, 200);
}

TEST_F(TraceFile, TooManyCapturesAreAnError) {
  auto writer = TraceWriter::create(path_, Backend::ptrace);
  std::vector<Capture> captures(321);
  Event event;
  event.captures = captures;
  EXPECT_FALSE((*writer)->append(event));
}

TEST_F(TraceFile, ExistingFileIsNotOverwritten) {
  overwrite("precious");
  EXPECT_FALSE(TraceWriter::create(path_, Backend::ebpf));
}

TEST_F(TraceFile, CutAnywhereGivesThePrefix) {
  std::mt19937_64 random(3);
  EventList list;
  for (int i = 0; i < 60; ++i) add_random_event(list, random);
  write(list.finished());
  auto whole = read_file(path_);
  ASSERT_TRUE(whole);
  for (std::size_t size = whole->size(); size-- > 0;) {
    std::filesystem::resize_file(path_, size);
    bool fault = false;
    long count = read_count(fault);
    ASSERT_TRUE(fault) << size;
    ASSERT_TRUE(count == -1 || count == 0 || count == 60) << size;
  }
  overwrite(*whole + "x");
  bool fault = false;
  EXPECT_EQ(read_count(fault), 60);
  EXPECT_TRUE(fault);
}

// Of a trace of several blocks: cut at every byte near each boundary, and with a byte changed
// there, the good blocks come and the first bad byte named is that of the block's frame.
TEST_F(TraceFile, CutOrChangedAroundABoundaryNamesTheFrame) {
  std::mt19937_64 random(12);
  EventList list;
  for (int i = 0; i < 40; ++i) add_random_event(list, random);
  auto writer = TraceWriter::create(path_, Backend::ebpf);
  ASSERT_TRUE(writer) << writer.error().line();
  std::vector<std::size_t> frames;  // where each begins
  std::size_t written = 0;
  for (const Event& event : list.finished()) {
    ASSERT_TRUE((*writer)->append(event));
    if (++written % 10 != 0) continue;
    frames.push_back(std::filesystem::file_size(path_));
    // A block of a young trace is finished after some tenths of a second.
    while (std::filesystem::file_size(path_) == frames.back()) {
      ::usleep(20'000);
      ASSERT_TRUE((*writer)->tick());
    }
  }
  frames.push_back(std::filesystem::file_size(path_));
  Coverage coverage;
  ASSERT_TRUE((*writer)->finish(coverage));
  auto whole = read_file(path_);
  ASSERT_TRUE(whole);
  ASSERT_EQ(frames.size(), 5U);
  // The frame that holds the byte, counted from the first block's; the end frame is the last.
  auto frame_of = [&](std::size_t byte) {
    return static_cast<std::size_t>(std::upper_bound(frames.begin(), frames.end(), byte) -
                                    frames.begin()) -
           1;
  };
  auto expect_damage = [&](std::size_t byte, bool cut) {
    auto reader = TraceReader::open(path_);
    ASSERT_TRUE(reader) << byte;
    ASSERT_TRUE(reader->damage()) << byte;
    const std::size_t frame = frame_of(byte);
    EXPECT_EQ(reader->damage()->offset, frames[frame]) << byte << (cut ? " cut" : " changed");
    EXPECT_EQ(reader->damage()->block, frame) << byte;
    EXPECT_EQ(reader->damage()->first_missing, frame * 10) << byte;
    std::uint64_t seen = 0;
    EXPECT_FALSE(reader->for_each([&](const Event& event) {
      return static_cast<bool>(same_event(list.events()[seen++], event));
    }));
    EXPECT_EQ(seen, frame * 10) << byte;
  };
  for (std::size_t boundary : frames)
    for (std::size_t byte = boundary - (boundary == frames[0] ? 0 : 40);
         byte < std::min(boundary + 140, whole->size()); ++byte) {
      overwrite(std::string_view(*whole).substr(0, byte));
      expect_damage(byte, true);
      std::string changed = *whole;
      changed[byte] = static_cast<char>(changed[byte] ^ (1 << (byte % 8)));
      overwrite(changed);
      expect_damage(byte, false);
    }
}

TEST_F(TraceFile, EveryBitFlipIsNoticed) {
  std::mt19937_64 random(4);
  EventList list;
  for (int i = 0; i < 5; ++i) add_random_event(list, random);
  write(list.finished());
  auto whole = read_file(path_);
  ASSERT_TRUE(whole);
  std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
  auto put = [&](std::size_t at, int byte) {
    file.seekp(static_cast<std::streamoff>(at)).put(static_cast<char>(byte)).flush();
  };
  for (std::size_t bit = 0; bit < whole->size() * 8; ++bit) {
    put(bit / 8, (*whole)[bit / 8] ^ (1 << (bit % 8)));
    bool fault = false;
    read_count(fault);
    ASSERT_TRUE(fault) << "bit " << bit;
    put(bit / 8, (*whole)[bit / 8]);
  }
}

// A forger can make hashes agree; the decoder must then hold on its own.
TEST(BlockDecoder, DamagedPayloadsNeverCrash) {
  std::mt19937_64 random(5);
  EventList list;
  for (int i = 0; i < 300; ++i) add_random_event(list, random);
  BlockEncoder encoder;
  encoder.begin();
  for (const Event& event : list.finished()) ASSERT_TRUE(encoder.add(event));
  const auto& payload = encoder.finish();
  std::string good(payload.begin(), payload.end());
  for (int round = 0; round < 4000; ++round) {
    std::string bytes = good;
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    if (round % 3 == 0) bytes.resize(random() % bytes.size());
    BlockDecoder decoder;
    bool stopped = false;
    std::uint64_t seen = 0;
    (void)decoder.decode(
        bytes, 300, true, 0,
        [&](const Event& event) {
          for (const Capture& capture : event.captures)
            for (char c : capture.bytes) seen += static_cast<unsigned char>(c);
          return true;
        },
        stopped);
  }
}

TEST_F(TraceFile, ForgedSizesAreRefused) {
  std::mt19937_64 random(6);
  EventList list;
  add_random_event(list, random);
  write(list.finished());
  auto whole = read_file(path_);
  std::string bytes = *whole;
  FrameHead header;
  ASSERT_EQ(decode_frame_head(std::string_view(bytes).substr(8), header), "");
  std::size_t block = 8 + frame_head_bytes + header.stored_bytes + frame_hash_bytes;
  // A block that claims to unpack to 4 GiB, with a hash that agrees.
  bytes.replace(block + 12, 4, std::string(4, '\xff'));
  overwrite(bytes);
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader);
  ASSERT_TRUE(reader->damage());
  EXPECT_EQ(reader->damage()->reason, "its size is impossible");
  EXPECT_EQ(reader->damage()->offset, block);
}

TEST_F(TraceFile, KilledWriterLeavesItsFinishedBlocks) {
  pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::mt19937_64 random(7);
    EventList list;
    add_lifelike_events(list, 200000, random);
    auto writer = TraceWriter::create(path_, Backend::ebpf);
    if (!writer) ::_exit(1);
    for (const Event& event : list.finished())
      if (!(*writer)->append(event)) ::_exit(1);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  // Blocks also end by age, so on a busy machine they are smaller; what is lost is less than one.
  bool fault = false;
  const long count = read_count(fault);
  EXPECT_GE(count, 200000 - 65536);
  EXPECT_LT(count, 200000);
  EXPECT_TRUE(fault);
  auto reader = TraceReader::open(path_);
  EXPECT_EQ(reader->extent().events, static_cast<std::uint64_t>(count));
  EXPECT_EQ(reader->damage()->reason, "it was never finished: the recorder died");
}

TEST_F(TraceFile, OneAtWorkIsNotCalledDead) {
  auto writer = TraceWriter::create(path_, Backend::ebpf);
  ASSERT_TRUE(writer) << writer.error().line();
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().line();
  EXPECT_TRUE(reader->may_grow());
  EXPECT_EQ(reader->damage()->reason, "it is not finished: the recorder is still at work");
  // Neither damage nor an end: what there is can be shown.
  const Status all = reader->for_each([](const Event&) { return true; });
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().code, EINPROGRESS);
  writer->reset();
  EXPECT_FALSE(reader->may_grow());
  const auto left = TraceReader::open(path_)->for_each([](const Event&) { return true; });
  ASSERT_FALSE(left);
  EXPECT_NE(left.error().code, EINPROGRESS);
}

// Whatever somebody does to the file between its opening and its last block: the events before are
// those that were checked, and the error names the block.
TEST_F(TraceFile, ShortenedWhileReadIsAnError) {
  std::mt19937_64 random(9);
  EventList list;
  add_lifelike_events(list, 200000, random);
  write(list.finished());
  auto whole = read_file(path_);
  ASSERT_TRUE(whole);
  for (std::size_t keep : {std::size_t{0}, std::size_t{100}, std::size_t{4096}, whole->size() / 2,
                           whole->size() - 1 - frame_head_bytes}) {
    overwrite(*whole);
    auto reader = TraceReader::open(path_);
    ASSERT_TRUE(reader) << reader.error().line();
    ASSERT_FALSE(reader->damage());
    std::uint64_t seen = 0;
    bool same = true;
    Status read = reader->for_each([&](const Event& event) {
      if (seen == 1000) std::filesystem::resize_file(path_, keep);
      same = same && same_event(list.events()[seen], event);
      ++seen;
      return true;
    });
    EXPECT_TRUE(same);
    if (keep > whole->size() / 2) {  // the end frame alone is cut: all events are there
      EXPECT_EQ(seen, list.events().size());
      continue;
    }
    ASSERT_FALSE(read) << keep;
    EXPECT_GE(seen, 1000U);
    EXPECT_LT(seen, list.events().size());
    EXPECT_NE(read.error().reason.find("cut off, since it was opened"), std::string::npos)
        << read.error().reason;
  }
}

TEST_F(TraceFile, SomebodyElseCuttingItNeverEndsTheReader) {
  std::mt19937_64 random(10);
  EventList list;
  add_lifelike_events(list, 200000, random);
  write(list.finished());
  auto whole = read_file(path_);
  ASSERT_TRUE(whole);
  const pid_t cutter = ::fork();
  ASSERT_GE(cutter, 0);
  if (cutter == 0) {  // cuts it and writes it anew, until killed
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = ::open(path_.c_str(), O_WRONLY);
    for (std::size_t cut = 4096;; cut = (cut * 7 + 4096) % whole->size()) {
      if (::ftruncate(fd, static_cast<off_t>(cut)) != 0) ::_exit(1);
      if (::pwrite(fd, whole->data() + cut, whole->size() - cut, static_cast<off_t>(cut)) < 0)
        ::_exit(1);
    }
  }
  int faults = 0;
  bool same = true;
  for (int i = 0; i < 2000 && faults < 20; ++i) {
    auto reader = TraceReader::open(path_);
    if (!reader) {
      ++faults;
      continue;
    }
    std::uint64_t seen = 0;
    Status read = reader->for_each([&](const Event& event) {
      same = seen % 64 != 0 || same_event(list.events()[seen], event);
      ++seen;
      return same;
    });
    faults += read ? 0 : 1;
    EXPECT_TRUE(!read || seen == list.events().size());
    EXPECT_TRUE(same);
  }
  ::kill(cutter, SIGKILL);
  ::waitpid(cutter, nullptr, 0);
  EXPECT_GT(faults, 0);
}

TEST_F(TraceFile, ChangedWhileReadIsAnError) {
  std::mt19937_64 random(11);
  EventList list;
  add_lifelike_events(list, 200000, random);
  write(list.finished());
  auto reader = TraceReader::open(path_);
  ASSERT_TRUE(reader) << reader.error().line();
  const auto middle = static_cast<std::streamoff>(std::filesystem::file_size(path_) / 2);
  std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
  const int byte = file.seekg(middle).get();
  file.seekp(middle).put(static_cast<char>(byte ^ 1)).flush();
  std::uint64_t seen = 0;
  Status read = reader->for_each([&](const Event&) { return ++seen > 0; });
  ASSERT_FALSE(read);
  EXPECT_LT(seen, list.events().size());
  EXPECT_NE(read.error().reason.find("since it was opened"), std::string::npos);
}

TEST_F(TraceFile, LifelikeEventsAreSmall) {
  std::mt19937_64 random(8);
  EventList list;
  add_lifelike_events(list, 200000, random);
  Coverage coverage;
  write(list.finished(), &coverage);
  EXPECT_LT(static_cast<double>(coverage.bytes) / static_cast<double>(coverage.syscalls), 7.0);
}

TEST_F(TraceFile, OtherFilesAreRefusedWithReason) {
  overwrite("#!/bin/sh\n");
  auto reader = TraceReader::open(path_);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().reason, "it is not a Gyges trace");
  EXPECT_FALSE(TraceReader::open(directory_->path()));
  EXPECT_FALSE(TraceReader::open(directory_->path() / "absent"));
}

}  // namespace
}  // namespace gyges::recorder
