// Where labels are: more tasks at once than find seats of their own, and seats of a recorder
// before.
#include <bpf/bpf.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <vector>

#include "base/fd.h"
#include "recorded_run.h"
#include "sandbox/recorder/capture/kernel/record.h"

namespace gyges::recorder {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr int many = 400;  // a fork takes 20 ms
#else
constexpr int many = 1200;  // of 4096 seats some 170 are wanted twice
#endif
constexpr int calls_each = 3;

struct Seats {
  std::uint32_t taken = 0;
  std::uint32_t standing = 0;
};

// Of every set of programs on this host, by number of the map.
std::map<std::uint32_t, Seats> all_seats() {
  std::map<std::uint32_t, Seats> found;
  for (std::uint32_t id = 0; bpf_map_get_next_id(id, &id) == 0;) {
    const UniqueFd map(bpf_map_get_fd_by_id(id));
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (!map || bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0 ||
        info.type != BPF_MAP_TYPE_ARRAY || info.value_size != sizeof(wire::seating))
      continue;
    void* const at = mmap(nullptr, sizeof(wire::seating), PROT_READ, MAP_SHARED, map.get(), 0);
    if (at == MAP_FAILED) continue;
    Seats& seats = found[id];
    for (const wire::seat& seat : static_cast<const wire::seating*>(at)->seats) {
      seats.taken += (seat.key & ~std::uint64_t{wire::seat_crowd}) != 0 ? 1 : 0;
      seats.standing += static_cast<std::uint32_t>(seat.key & wire::seat_crowd);
    }
    munmap(at, sizeof(wire::seating));
  }
  return found;
}

// So many processes at once that call, and call again once `go` is closed; `ready` has a byte of
// each.
int crowd(int ready, int go) {
  std::vector<pid_t> children;
  for (int i = 0; i < many; ++i) {
    children.push_back(fork());
    if (children.back() != 0) continue;
    for (int j = 0; j < calls_each; ++j) syscall(SYS_getppid);
    char byte = 'r';
    if (write(ready, &byte, 1) != 1) _exit(1);
    if (read(go, &byte, 1) != 0) _exit(1);
    for (int j = 0; j < calls_each; ++j) syscall(SYS_getppid);
    _exit(0);
  }
  int failed = 0;
  for (const pid_t child : children) {
    int status = 1;
    waitpid(child, &status, 0);
    failed += status != 0 ? 1 : 0;
  }
  return failed == 0 ? 0 : 1;
}

class SeatsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
  }
  // A size that nobody else uses here: a set of our own.
  static std::unique_ptr<CaptureBackend> open() {
    auto backend = open_bpf_backend({.ring_bytes = 1U << 20U});
    EXPECT_TRUE(backend) << backend.error().line();
    return backend ? std::move(*backend) : nullptr;
  }
};

struct Crowd {
  // `other` is told to go by closing its pipe: this one shall not hold it open.
  explicit Crowd(Crowd* other = nullptr)
      : child([this, other] {
          go.write.reset();
          if (other != nullptr) other->go.write.reset();
          return crowd(ready.write.get(), go.read.get());
        }) {}

  Pipe ready = *make_pipe();
  Pipe go = *make_pipe();
  GatedChild child;

  void wait_until_ready() {
    ready.write.reset();
    char byte = 0;
    for (int i = 0; i < many; ++i) ASSERT_EQ(read(ready.read.get(), &byte, 1), 1);
  }
};

std::map<int, int> by_process(const Events& events) {
  std::map<int, int> found;
  for (const KeptEvent& kept : events)
    if (kept.event.kind == EventKind::syscall && kept.event.number == SYS_getppid)
      ++found[kept.event.pid];
  return found;
}

TEST_F(SeatsTest, WhoFindsNoneIsRecordedAsWell) {
  const auto backend = open();
  ASSERT_NE(backend, nullptr);
  auto events = std::make_shared<Events>();
  auto session = backend->start_with(std::make_unique<KeepingSink>(events), {});
  ASSERT_TRUE(session);
  Crowd crowd;
  ASSERT_TRUE((*session)->adopt(crowd.child.pidfd(), crowd.child.pid(), 1));
  crowd.child.open_gate();
  ASSERT_NO_FATAL_FAILURE(crowd.wait_until_ready());
  const auto during = all_seats();
  crowd.go.write.reset();
  EXPECT_EQ(crowd.child.wait(), 0);
  const auto coverage = (*session)->close();
  ASSERT_TRUE(coverage);
  EXPECT_TRUE(coverage->complete);
  const auto calls = by_process(*events);
  EXPECT_EQ(calls.size(), std::size_t{many});
  for (const auto& [pid, count] : calls) EXPECT_EQ(count, 2 * calls_each) << pid;

  // Control: all had a place, some of them none to sit, and both are given back.
  const auto after = all_seats();
  std::uint32_t ours = 0;
  for (const auto& [id, seats] : during)
    if (seats.taken + seats.standing == many + 1U) ours = id;
  ASSERT_NE(ours, 0U);
  EXPECT_GT(during.at(ours).standing, 0U);
  EXPECT_EQ(after.at(ours).standing, 0U);
  EXPECT_EQ(after.at(ours).taken, 0U);
}

// What runs on when its recorder is closed has a place that nobody takes off while no program is
// attached; the next recorder's own are not disturbed by it, nor by its end.
TEST_F(SeatsTest, OfARecorderBeforeTheyCountNoMore) {
  Crowd left;
  {
    const auto backend = open();
    ASSERT_NE(backend, nullptr);
    auto session =
        backend->start_with(std::make_unique<KeepingSink>(std::make_shared<Events>()), {});
    ASSERT_TRUE(session);
    ASSERT_TRUE((*session)->adopt(left.child.pidfd(), left.child.pid(), 1));
    left.child.open_gate();
    ASSERT_NO_FATAL_FAILURE(left.wait_until_ready());
    ASSERT_TRUE((*session)->close());
  }
  const auto backend = open();
  ASSERT_NE(backend, nullptr);
  auto events = std::make_shared<Events>();
  auto session = backend->start_with(std::make_unique<KeepingSink>(events), {});
  ASSERT_TRUE(session);
  Crowd next(&left);
  ASSERT_TRUE((*session)->adopt(next.child.pidfd(), next.child.pid(), 1));
  next.child.open_gate();
  ASSERT_NO_FATAL_FAILURE(next.wait_until_ready());
  left.go.write.reset();
  EXPECT_EQ(left.child.wait(), 0);
  next.go.write.reset();
  EXPECT_EQ(next.child.wait(), 0);
  const auto coverage = (*session)->close();
  ASSERT_TRUE(coverage);
  EXPECT_TRUE(coverage->complete);
  const auto calls = by_process(*events);
  EXPECT_EQ(calls.size(), std::size_t{many});
  for (const auto& [pid, count] : calls) EXPECT_EQ(count, 2 * calls_each) << pid;
  // None of them was counted off what it was not counted in.
  const auto after = all_seats();
  EXPECT_FALSE(after.empty());
  for (const auto& [id, seats] : after) EXPECT_LT(seats.standing, std::uint32_t{many}) << id;
}

}  // namespace
}  // namespace gyges::recorder
