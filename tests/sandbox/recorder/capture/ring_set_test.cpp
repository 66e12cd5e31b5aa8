// The consumer's side of the rings, over a file in memory in place of the kernel's array: it needs
// no privilege.
#include "sandbox/recorder/capture/ring_set.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/fd.h"

namespace gyges::recorder {
namespace {

constexpr std::uint32_t ring_bytes = 4U << 20U;
constexpr std::size_t stride = sizeof(wire::cpu_area) + ring_bytes + wire::record_limit;

class RingSetTest : public testing::Test {
 protected:
  void SetUp() override {
    file_.reset(memfd_create("rings", MFD_CLOEXEC));
    ASSERT_TRUE(file_);
    ASSERT_EQ(ftruncate(file_.get(), 2 * static_cast<off_t>(stride) + 4096), 0);
  }

  // As the kernel side of CPU `cpu` does.
  void produce(std::uint32_t cpu, std::uint64_t time, std::uint32_t size) {
    wire::record record{};
    record.size = size;
    record.time = time;
    const auto area = static_cast<off_t>(cpu * stride);
    const auto at = static_cast<off_t>(sizeof(wire::cpu_area) + (heads_[cpu] & (ring_bytes - 1)));
    std::vector<char> bytes(size, static_cast<char>(time));
    std::memcpy(bytes.data(), &record, sizeof(record));
    ASSERT_EQ(pwrite(file_.get(), bytes.data(), size, area + at), static_cast<ssize_t>(size));
    heads_[cpu] += size;
    set_head(cpu, heads_[cpu]);
  }
  void set_head(std::uint32_t cpu, std::uint64_t head) {
    heads_[cpu] = head;
    ASSERT_EQ(pwrite(file_.get(), &head, sizeof(head),
                     static_cast<off_t>(cpu * stride + offsetof(wire::ring_control, head))),
              static_cast<ssize_t>(sizeof(head)));
  }
  // What the kernel side takes for read.
  std::uint64_t tail(std::uint32_t cpu) const {
    std::uint64_t tail = 0;
    EXPECT_EQ(pread(file_.get(), &tail, sizeof(tail),
                    static_cast<off_t>(cpu * stride + offsetof(wire::ring_control, tail))),
              static_cast<ssize_t>(sizeof(tail)));
    return tail;
  }
  // Times of the records that are there; each record is read to its end.
  std::vector<std::uint64_t> drained(RingSet& rings) {
    std::vector<std::uint64_t> times;
    rings.drain(~std::uint64_t{0}, [&](const wire::record& record) {
      const char* const bytes = reinterpret_cast<const char*>(&record);
      EXPECT_EQ(bytes[record.size - 1], static_cast<char>(record.time));
      times.push_back(record.time);
    });
    return times;
  }

  UniqueFd file_;
  std::uint64_t heads_[2] = {0, 0};
};

TEST_F(RingSetTest, MapsAsFarAsRecordsHaveCome) {
  RingSet rings;
  ASSERT_TRUE(rings.map(file_.get(), 2, ring_bytes));
  const std::size_t at_first = rings.mapped_bytes();
  EXPECT_LE(at_first, 1U << 20U);
  for (std::uint64_t time = 1; time <= 20; ++time) produce(time % 2, time, 1024);
  EXPECT_EQ(drained(rings).size(), 20U);
  EXPECT_EQ(rings.mapped_bytes(), at_first);
  for (std::uint64_t time = 21; time <= 60; ++time) produce(0, time, 32768);
  EXPECT_EQ(drained(rings).size(), 40U);
  EXPECT_GT(rings.mapped_bytes(), at_first);
  EXPECT_LT(rings.mapped_bytes(), std::size_t{ring_bytes});
}

TEST_F(RingSetTest, ReadsEveryRecordInTheOrderOfTimeThroughManyRounds) {
  RingSet rings;
  ASSERT_TRUE(rings.map(file_.get(), 2, ring_bytes));
  std::uint64_t time = 0;
  std::uint64_t next = 1;
  // Sizes that fall everywhere around the ends of windows and rings.
  while (heads_[0] < 3ULL * ring_bytes) {
    for (int i = 0; i < 50; ++i) {
      ++time;
      produce(static_cast<std::uint32_t>(time % 3 == 0), time,
              static_cast<std::uint32_t>(32 + (time * 1016) % 32000) / 8 * 8);
      if (HasFatalFailure()) return;
    }
    for (const std::uint64_t seen : drained(rings)) ASSERT_EQ(seen, next++);
    ASSERT_EQ(next, time + 1);
  }
  EXPECT_TRUE(rings.status());
  EXPECT_GE(rings.mapped_bytes(), std::size_t{ring_bytes});
}

TEST_F(RingSetTest, FreesWhatWasReadOfEveryRing) {
  RingSet rings;
  ASSERT_TRUE(rings.map(file_.get(), 2, ring_bytes));
  // Alternating, and more of it than is freed at once.
  for (std::uint64_t time = 1; time <= 400; ++time) produce(time % 2, time, 1024);
  std::uint64_t freed = 0;
  rings.drain(~std::uint64_t{0}, [&](const wire::record&) { freed = std::max(freed, tail(0)); });
  EXPECT_GT(freed, 0U) << "before the end";
  EXPECT_LT(freed, heads_[0]);
  for (const std::uint32_t cpu : {0U, 1U}) EXPECT_EQ(tail(cpu), heads_[cpu]);
  // A limit leaves the rest to the next reading.
  for (std::uint64_t time = 401; time <= 800; ++time) produce(time % 2, time, 1024);
  rings.drain(100U << 10U, [](const wire::record&) {});
  EXPECT_LT(tail(0) + tail(1), heads_[0] + heads_[1]);
  drained(rings);
  for (const std::uint32_t cpu : {0U, 1U}) EXPECT_EQ(tail(cpu), heads_[cpu]);
}

TEST_F(RingSetTest, PassesOverWhatAFormerOwnerLeft) {
  set_head(0, 5ULL * ring_bytes + ring_bytes - 64);
  RingSet rings;
  ASSERT_TRUE(rings.map(file_.get(), 2, ring_bytes));
  EXPECT_TRUE(drained(rings).empty());
  produce(0, 1, 32768);  // nearly all of it in the slack
  produce(0, 2, 64);
  EXPECT_EQ(drained(rings), (std::vector<std::uint64_t>{1, 2}));
}

TEST_F(RingSetTest, SaysThatTheKernelGrantsNoMoreMemory) {
  RingSet rings;
  ASSERT_TRUE(rings.map(file_.get(), 2, ring_bytes));
  for (std::uint64_t time = 1; time <= 60; ++time) produce(0, time, 32768);
  // The kernel is asked for a mapping of what is no file.
  UniqueFd pipes[2];
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  pipes[0].reset(fds[0]);
  pipes[1].reset(fds[1]);
  ASSERT_EQ(dup2(fds[0], file_.get()), file_.get());
  EXPECT_TRUE(drained(rings).empty());
  ASSERT_FALSE(rings.status());
  EXPECT_NE(rings.status().error().line().find("map rings"), std::string::npos);
}

}  // namespace
}  // namespace gyges::recorder
