// The stage of back-pressure that the consumer works: processor quota of the sandbox's group.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "recorded_run.h"
#include "sandbox/recorder/capture/cpu_quota.h"

namespace gyges::recorder {
namespace {

constexpr std::uint64_t ms = 1000000;
constexpr std::uint64_t ring = 1U << 20U;

TEST(QuotaSteps, ShortBurstsCostNothing) {
  QuotaSteps steps(2);
  EXPECT_EQ(steps.look(ring / 2, ring, 1 * ms), 200U);
  EXPECT_EQ(steps.look(ring / 2, ring, 15 * ms), 200U);
  EXPECT_EQ(steps.look(ring / 8, ring, 18 * ms), 200U);  // below a quarter: it begins anew
  EXPECT_EQ(steps.look(ring / 2, ring, 25 * ms), 200U);
  EXPECT_EQ(steps.look(ring / 2, ring, 44 * ms), 200U);
}

TEST(QuotaSteps, HalvesWhileItIsFullAndDoublesWhenItIsEmpty) {
  QuotaSteps steps(2);
  std::uint32_t share = 0;
  for (std::uint64_t now = 1; now <= 21; now += 5) share = steps.look(ring / 4, ring, now * ms);
  EXPECT_EQ(share, 100U);
  EXPECT_EQ(steps.look(ring / 4, ring, 41 * ms), 50U);
  EXPECT_EQ(steps.look(ring / 4, ring, 61 * ms), 25U);
  for (std::uint64_t now = 81; now < 500; now += 20) share = steps.look(ring, ring, now * ms);
  EXPECT_EQ(share, 10U);                                 // never nothing
  EXPECT_EQ(steps.look(ring / 8, ring, 600 * ms), 10U);  // between the marks: as it is
  EXPECT_EQ(steps.look(0, ring, 700 * ms), 10U);
  EXPECT_EQ(steps.look(0, ring, 740 * ms), 20U);
  for (std::uint64_t now = 780; now < 1000; now += 40) share = steps.look(0, ring, now * ms);
  EXPECT_EQ(share, 200U);
}

// A control group of the test's own with the cpu controller, v1 or v2; without it `path` is empty.
struct Group {
  std::filesystem::path path;
  bool v2 = false;

  Group() {
    const std::string name = "gyges-test-" + std::to_string(getpid());
    for (const char* parent :
         {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup"}) {
      const std::filesystem::path made = std::filesystem::path(parent) / name;
      if (mkdir(made.c_str(), 0755) != 0) continue;
      v2 = access((made / "cpu.max").c_str(), W_OK) == 0;
      if (v2 || access((made / "cpu.cfs_quota_us").c_str(), W_OK) == 0) {
        path = made;
        if (!v2) put("cpu.cfs_period_us", std::to_string(cpu_quota_period_us));
        return;
      }
      rmdir(made.c_str());
    }
  }
  ~Group() {
    if (!path.empty()) rmdir(path.c_str());
  }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  void put(const char* file, const std::string& text) const {
    const UniqueFd fd(open((path / file).c_str(), O_WRONLY | O_CLOEXEC));
    EXPECT_EQ(write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] const char* quota_file() const { return v2 ? "cpu.max" : "cpu.cfs_quota_us"; }
  [[nodiscard]] std::string quota() const { return *read_file(path / quota_file()); }
  [[nodiscard]] long times_throttled() const {
    const std::string text = *read_file(path / "cpu.stat");
    const std::size_t at = text.find("nr_throttled ");
    return at == std::string::npos ? -1 : std::atol(text.c_str() + at + 13);
  }
};

// A disk that is slower than the flood.
class SlowSink final : public EventSink {
 public:
  SlowSink(std::shared_ptr<Events> events, useconds_t pause)
      : keeping_(std::move(events)), pause_(pause) {}
  Status append(const Event& event) override {
    // Often enough to be slow in short readings, too: those are the ones after a full ring.
    if (pause_ != 0 && ++count_ % 8 == 0) usleep(pause_ / 8);
    return keeping_.append(event);
  }
  Status finish(Coverage& coverage) override { return keeping_.finish(coverage); }

 private:
  KeepingSink keeping_;
  useconds_t pause_;
  unsigned count_ = 0;
};

class QuotaTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
    if (group_.path.empty()) GTEST_SKIP() << "no control group with the cpu controller to be had";
    auto opened = open_bpf_backend({.ring_bytes = 64U << 10U});
    ASSERT_TRUE(opened) << opened.error().line();
    backend_ = std::move(*opened);
  }

  // Two processes call as fast as they can, `calls` each.
  void run(useconds_t pause, long calls) {
    auto session =
        backend_->start_with(std::make_unique<SlowSink>(events_, pause), SessionOptions());
    ASSERT_TRUE(session) << session.error().line();
    const UniqueFd file(open((group_.path / group_.quota_file()).c_str(), O_WRONLY | O_CLOEXEC));
    const Status taken = slow_down_by(**session, {file.get(), group_.v2});
    ASSERT_TRUE(taken) << taken.error().line();
    GatedChild child([calls] {
      const pid_t other = fork();
      for (long i = 0; i < calls; ++i) syscall(SYS_getppid);
      if (other == 0) return 0;
      int status = 0;
      waitpid(other, &status, 0);
      return status;
    });
    group_.put("cgroup.procs", std::to_string(child.pid()));
    ASSERT_TRUE((*session)->adopt(child.pidfd(), child.pid(), 0));
    child.open_gate();
    EXPECT_EQ(child.wait(), 0);
    const Result<Coverage> coverage = (*session)->close();
    ASSERT_TRUE(coverage) << coverage.error().line();
    coverage_ = *coverage;
    EXPECT_TRUE(coverage_.complete);
    for (const std::string& note : coverage_.degraded)
      EXPECT_EQ(note.find("quota"), std::string::npos) << note;
  }

  // Events of having been slowed down.
  [[nodiscard]] std::vector<Event> slowed() const {
    std::vector<Event> found;
    for (const KeptEvent& kept : *events_)
      if (kept.event.kind == EventKind::recorder_wait && kept.event.args[0] == wait_by_quota)
        found.push_back(kept.event);
    return found;
  }

  Group group_;
  std::unique_ptr<CaptureBackend> backend_;
  std::shared_ptr<Events> events_ = std::make_shared<Events>();
  Coverage coverage_;
};

TEST_F(QuotaTest, ASlowConsumerSlowsTheSandboxDown) {
  std::vector<Event> slowed_down;
  // On a busy machine the sandbox may get too little of the processors to outrun the consumer, or
  // to use up the quota that it is given then: the slower the consumer, the less it needs.
  for (unsigned attempt = 0; attempt < 8 && (slowed_down.empty() || group_.times_throttled() == 0);
       ++attempt) {
    constexpr long calls = 8000;
    ASSERT_NO_FATAL_FAILURE(run(1000 + 2000 * attempt, calls));
    EXPECT_EQ(coverage_.counters.lost, 0U);
    EXPECT_GE(coverage_.syscalls + events_->size(), 2UL * calls);
    slowed_down = slowed();
  }
  ASSERT_FALSE(slowed_down.empty());
  for (const Event& event : slowed_down) {
    EXPECT_GE(event.args[1], 10U);
    EXPECT_LT(event.args[1], 100U * static_cast<unsigned>(sysconf(_SC_NPROCESSORS_CONF)));
    EXPECT_GT(event.duration_ns, 0U);
  }
  EXPECT_GT(group_.times_throttled(), 0);
  // Restored, whatever was in progress at the end.
  EXPECT_TRUE(group_.quota().starts_with(group_.v2 ? "max" : "-1")) << group_.quota();
}

// The control: what the consumer keeps up with is left alone.
TEST_F(QuotaTest, AQuietSandboxIsLeftAlone) {
  run(0, 100);
  EXPECT_TRUE(slowed().empty());
  EXPECT_EQ(group_.times_throttled(), 0);
}

// The coverage statement says what is missing.
TEST_F(QuotaTest, WithoutAGroupTheRecordSaysSo) {
  const Recording plain = record(*backend_, shell(":"));
  bool said = false;
  for (const std::string& note : plain.coverage.degraded)
    said = said || note.find("no processor quota") != std::string::npos;
  EXPECT_TRUE(said);
}

}  // namespace
}  // namespace gyges::recorder
