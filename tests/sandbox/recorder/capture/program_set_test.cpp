// One set of programs for all recorders of a host: kept images, joining, death of a holder.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <set>

#include "base/fd.h"
#include "base/files.h"
#include "base/hash.h"
#include "recorded_run.h"
#include "sandbox/recorder/capture/kept_programs.h"
#include "sandbox/recorder/capture/program_image.h"

extern "C" const unsigned char gyges_capture_bpf_begin[];
extern "C" const unsigned char gyges_capture_bpf_end[];
extern "C" const unsigned char gyges_plan_sources_begin[];
extern "C" const unsigned char gyges_plan_sources_end[];

namespace gyges::recorder {
namespace {

using Clock = std::chrono::steady_clock;

class ProgramSetTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    auto made = TemporaryDirectory::create("gyges_set_");
    ASSERT_TRUE(made);
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*made));
  }
  void TearDown() override {
    reap_everything();
    if (!home_.empty()) umount2(home_.c_str(), MNT_DETACH);
  }

  // From here on programs stay loaded between the recorders of this test.
  void keep_programs() {
    home_ = kept_objects_home(directory_->path(), true);
    if (home_.empty()) GTEST_SKIP() << "no BPF filesystem can be mounted here";
  }

  [[nodiscard]] std::filesystem::path image_file() const {
    return directory_->path() / ("recorder-" + image_key().substr(0, 16) + ".image");
  }
  Result<std::unique_ptr<BpfPrograms>> load() {
    return BpfPrograms::load(64U << 10U, Waiting::best, directory_->path());
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  std::filesystem::path home_;
};

// Links of programs that are kept in `home`.
std::size_t attached(const std::filesystem::path& home) {
  std::set<std::uint32_t> kept;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home)) {
    const UniqueFd object(bpf_obj_get(entry.path().c_str()));
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (object && !entry.path().filename().string().starts_with("map_") &&
        bpf_obj_get_info_by_fd(object.get(), &info, &size) == 0)
      kept.insert(info.id);
  }
  std::size_t count = 0;
  for (std::uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0;) {
    const UniqueFd link(bpf_link_get_fd_by_id(id));
    bpf_link_info info{};
    std::uint32_t size = sizeof(info);
    if (link && bpf_obj_get_info_by_fd(link.get(), &info, &size) == 0)
      count += kept.contains(info.prog_id) ? 1 : 0;
  }
  return count;
}

int calls(int count) {
  for (int i = 0; i < count; ++i) syscall(SYS_getppid);
  return 0;
}

// An image that is kept under a name that changes from run to run is never found again.
TEST_F(ProgramSetTest, TheKeyIsMadeOfBuildKernelAndBoot) {
  utsname names{};
  ASSERT_EQ(uname(&names), 0);
  const Result<std::string> boot = read_file("/proc/sys/kernel/random/boot_id");
  ASSERT_TRUE(boot);
  const std::string object(
      reinterpret_cast<const char*>(gyges_capture_bpf_begin),
      static_cast<std::size_t>(gyges_capture_bpf_end - gyges_capture_bpf_begin));
  const std::string sources(
      reinterpret_cast<const char*>(gyges_plan_sources_begin),
      static_cast<std::size_t>(gyges_plan_sources_end - gyges_plan_sources_begin));
  EXPECT_NE(sources.find("x86_64.syscalls"), std::string::npos);
  EXPECT_NE(sources.find(to_hex(sha256(object))), std::string::npos);
  EXPECT_EQ(image_key(),
            to_hex(sha256(sources + names.release + "\n" + names.version + "\n" + *boot)));
}

// Their two programs cost a start and every operation of the host's other programs.
TEST_F(ProgramSetTest, OperationsOfIoUringOnlyWhereTheyAreWanted) {
  keep_programs();
  if (IsSkipped()) return;
  std::size_t with = 0;
  {
    auto set = load();
    ASSERT_TRUE(set) << set.error().line();
    with = attached(home_);
  }
  auto set = BpfPrograms::load(64U << 10U, Waiting::best, directory_->path(), false);
  ASSERT_TRUE(set) << set.error().line();
  EXPECT_FALSE((*set)->joined());
  EXPECT_FALSE((*set)->were_kept());
  const std::size_t without = attached(home_);
  EXPECT_GE(without, 5U);
  EXPECT_EQ(without + 2, with);
  EXPECT_TRUE((*set)->degraded().empty());
}

TEST_F(ProgramSetTest, ProgramsStayLoadedButNotAttached) {
  keep_programs();
  if (IsSkipped()) return;
  {
    auto first = load();
    ASSERT_TRUE(first) << first.error().line();
    EXPECT_FALSE((*first)->were_kept());
    EXPECT_GE(attached(home_), 5U);  // control
    auto second = load();
    ASSERT_TRUE(second) << second.error().line();
    EXPECT_TRUE((*second)->joined());
  }
  EXPECT_EQ(attached(home_), 0U);
  for (int i = 0; i < 3; ++i) {
    auto next = load();
    ASSERT_TRUE(next) << next.error().line();
    EXPECT_TRUE((*next)->were_kept());
    EXPECT_FALSE((*next)->joined());
    EXPECT_FALSE((*next)->took_over());
    EXPECT_GE(attached(home_), 5U);
  }
  EXPECT_EQ(attached(home_), 0U);
}

// What may still be attached is not attached again: calls would be recorded twice.
TEST_F(ProgramSetTest, ProgramsOfAKilledRecorderAreLoadedAnew) {
  keep_programs();
  if (IsSkipped()) return;
  Pipe ready = *make_pipe();
  const pid_t holder = fork();
  if (holder == 0) {
    auto programs = load();
    if (write(ready.write.get(), programs ? "y" : "n", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char answer = 0;
  ASSERT_EQ(read(ready.read.get(), &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  kill(holder, SIGKILL);
  ASSERT_EQ(waitpid(holder, nullptr, 0), holder);
  {
    auto next = load();
    ASSERT_TRUE(next) << next.error().line();
    EXPECT_FALSE((*next)->were_kept() || (*next)->joined());
  }
  auto later = load();
  ASSERT_TRUE(later) << later.error().line();
  EXPECT_TRUE((*later)->were_kept());
}

TEST_F(ProgramSetTest, FilesOfOldBuildsAreDropped) {
  const std::filesystem::path& home = directory_->path();
  for (int build = 0; build < 8; ++build) {
    const std::string stem = home / ("recorder-" + std::string(16, static_cast<char>('a' + build)));
    ASSERT_TRUE(write_file_atomically(stem + ".image", "x", 0600));
    ASSERT_TRUE(write_file_atomically(stem + "-65536.set", "x", 0600));
    const timespec times[2] = {{1000 + build, 0}, {1000 + build, 0}};
    for (const char* const end : {".image", "-65536.set"})
      ASSERT_EQ(utimensat(AT_FDCWD, (stem + end).c_str(), times, 0), 0);
  }
  const auto name = [&](char build, const char* end) {
    return home / ("recorder-" + std::string(16, build) + end);
  };
  const UniqueFd used(open(name('b', "-65536.set").c_str(), O_RDWR | O_CLOEXEC));
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_len = 1;
  ASSERT_EQ(fcntl(used.get(), F_OFD_SETLK, &range), 0);
  drop_files_of_other_builds(home, std::string(16, 'a'));
  for (const char build : {'a', 'e', 'f', 'g', 'h'})  // ours and the four youngest
    EXPECT_TRUE(exists(name(build, ".image")) && exists(name(build, "-65536.set"))) << build;
  for (const char build : {'b', 'c', 'd'}) EXPECT_FALSE(exists(name(build, ".image"))) << build;
  EXPECT_TRUE(exists(name('b', "-65536.set")));  // somebody has a lock on it
  EXPECT_FALSE(exists(name('c', "-65536.set")));
}

TEST_F(ProgramSetTest, AKeptImageIsTakenOnlyWhole) {
  auto image = program_image(directory_->path());
  ASSERT_TRUE(image) << image.error().line();
  const Result<std::string> kept = read_file(image_file());
  ASSERT_TRUE(kept);
  auto again = decode_image(*kept);
  ASSERT_TRUE(again);
  EXPECT_EQ(encode_image(*again), *kept);
  ASSERT_NE(again->program("sc_enter"), nullptr);
  EXPECT_EQ(again->program("sc_enter")->code.size(), image->program("sc_enter")->code.size());
  for (std::size_t at = 0; at < kept->size(); at += 97) {
    std::string changed = *kept;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(decode_image(changed)) << "byte " << at;
    EXPECT_FALSE(decode_image(kept->substr(0, at))) << "cut at " << at;
  }
}

// Another's file, or one that others can write, is made anew. The control is the file as it was.
TEST_F(ProgramSetTest, AnImageOfSomebodyElseIsNotTaken) {
  ASSERT_TRUE(program_image(directory_->path()));
  struct stat first {};
  ASSERT_EQ(stat(image_file().c_str(), &first), 0);
  const auto inode_now = [&] {
    EXPECT_TRUE(program_image(directory_->path()));
    struct stat now {};
    EXPECT_EQ(stat(image_file().c_str(), &now), 0);
    return now.st_ino;
  };
  EXPECT_EQ(inode_now(), first.st_ino);
  ASSERT_EQ(chmod(image_file().c_str(), 0622), 0);
  const ino_t second = inode_now();
  EXPECT_NE(second, first.st_ino);
  ASSERT_EQ(chown(image_file().c_str(), 65534, 65534), 0);
  EXPECT_NE(inode_now(), second);
}

TEST_F(ProgramSetTest, TheSecondRecorderJoinsAndSessionsStayApart) {
  auto first = open_bpf_backend({.ring_bytes = 128U << 10U});
  auto second = open_bpf_backend({.ring_bytes = 128U << 10U});
  ASSERT_TRUE(first && second);
  auto a = std::make_shared<Events>();
  auto b = std::make_shared<Events>();
  auto session_a = (*first)->start_with(std::make_unique<KeepingSink>(a), {});
  auto session_b = (*second)->start_with(std::make_unique<KeepingSink>(b), {});
  ASSERT_TRUE(session_a && session_b);
  GatedChild child_a([] { return calls(1000); });
  GatedChild child_b([] { return calls(500); });
  ASSERT_TRUE((*session_a)->adopt(child_a.pidfd(), child_a.pid(), 1));
  ASSERT_TRUE((*session_b)->adopt(child_b.pidfd(), child_b.pid(), 2));
  // What one recorder records, another cannot take.
  EXPECT_FALSE((*session_b)->adopt(child_a.pidfd(), child_a.pid(), 3));
  child_a.open_gate();
  child_b.open_gate();
  const pid_t pid_a = child_a.pid();
  const pid_t pid_b = child_b.pid();
  EXPECT_EQ(child_a.wait(), 0);
  EXPECT_EQ(child_b.wait(), 0);
  const auto coverage_a = (*session_a)->close();
  const auto coverage_b = (*session_b)->close();
  ASSERT_TRUE(coverage_a && coverage_b);
  EXPECT_TRUE(coverage_a->complete && coverage_b->complete);
  const auto count = [](const Events& events, pid_t pid) {
    std::size_t found = 0;
    for (const KeptEvent& kept : events) {
      EXPECT_EQ(kept.event.pid, pid);
      found += kept.event.kind == EventKind::syscall && kept.event.number == SYS_getppid ? 1 : 0;
    }
    return found;
  };
  EXPECT_EQ(count(*a, pid_a), 1000U);
  EXPECT_EQ(count(*b, pid_b), 500U);
}

// The recorder that loaded the programs is killed; one that joined goes on, and a newcomer joins.
TEST_F(ProgramSetTest, TheHolderMayBeKilled) {
  Pipe ready = *make_pipe();
  const pid_t holder = fork();
  if (holder == 0) {
    auto programs = load();
    if (write(ready.write.get(), programs && !(*programs)->joined() ? "y" : "n", 1) != 1) _exit(1);
    pause();
    _exit(0);
  }
  char answer = 0;
  ASSERT_EQ(read(ready.read.get(), &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  auto joiner = load();
  ASSERT_TRUE(joiner) << joiner.error().line();
  EXPECT_TRUE((*joiner)->joined());
  kill(holder, SIGKILL);
  ASSERT_EQ(waitpid(holder, nullptr, 0), holder);
  auto newcomer = load();
  ASSERT_TRUE(newcomer) << newcomer.error().line();
  EXPECT_TRUE((*newcomer)->joined());
  EXPECT_TRUE((*newcomer)->took_over());  // the slot that the killed one had
  joiner = fail("", "", "");
  newcomer = fail("", "", "");
  auto alone = load();  // nobody holds the programs any more
  ASSERT_TRUE(alone) << alone.error().line();
  EXPECT_FALSE((*alone)->joined());
}

// What a killed recorder left running has no record once its slot has a new owner: it dies.
TEST_F(ProgramSetTest, OrphansDieWhenTheirSlotIsTakenOver) {
  auto keeper = open_bpf_backend({.ring_bytes = 256U << 10U});  // keeps the set alive
  ASSERT_TRUE(keeper);
  Pipe told = *make_pipe();
  const pid_t holder = fork();
  if (holder == 0) {
    auto backend = open_bpf_backend({.ring_bytes = 256U << 10U});
    if (!backend) _exit(1);
    auto session =
        (*backend)->start_with(std::make_unique<KeepingSink>(std::make_shared<Events>()), {});
    GatedChild child([] {
      for (;;) usleep(1000);
      return 0;
    });
    if (!session || !(*session)->adopt(child.pidfd(), child.pid(), 0)) _exit(2);
    child.open_gate();
    const pid_t pid = child.pid();
    if (write(told.write.get(), &pid, sizeof(pid)) != sizeof(pid)) _exit(3);
    kill(getpid(), SIGKILL);
  }
  pid_t orphan = 0;
  ASSERT_EQ(read(told.read.get(), &orphan, sizeof(orphan)), static_cast<ssize_t>(sizeof(orphan)));
  ASSERT_EQ(waitpid(holder, nullptr, 0), holder);
  int status = 0;
  EXPECT_EQ(waitpid(orphan, &status, WNOHANG), 0);  // control: it runs
  auto successor = open_bpf_backend({.ring_bytes = 256U << 10U});
  ASSERT_TRUE(successor);
  ASSERT_EQ(waitpid(orphan, &status, 0), orphan);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

// Runs in the child: a NOP and an OPENAT through a ring. 77: this kernel has no io_uring.
int use_uring() {
  io_uring_params parameters{};
  const auto ring = static_cast<int>(syscall(SYS_io_uring_setup, 4, &parameters));
  if (ring < 0) return 77;
  const std::size_t bytes = parameters.sq_off.array + parameters.sq_entries * sizeof(unsigned);
  auto* queue = static_cast<char*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING));
  auto* entries = static_cast<io_uring_sqe*>(
      mmap(nullptr, parameters.sq_entries * sizeof(io_uring_sqe), PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES));
  if (queue == MAP_FAILED || entries == MAP_FAILED) return 1;
  entries[0].opcode = IORING_OP_NOP;
  entries[0].user_data = 0xabc;
  entries[1].opcode = IORING_OP_OPENAT;
  entries[1].fd = AT_FDCWD;
  entries[1].addr = reinterpret_cast<std::uint64_t>("/etc/passwd");
  entries[1].user_data = 0xdef;
  auto* array = reinterpret_cast<unsigned*>(queue + parameters.sq_off.array);
  array[0] = 0;
  array[1] = 1;
  __atomic_store_n(reinterpret_cast<unsigned*>(queue + parameters.sq_off.tail), 2U,
                   __ATOMIC_RELEASE);
  const long done = syscall(SYS_io_uring_enter, ring, 2, 2, IORING_ENTER_GETEVENTS, nullptr, 0);
  return done == 2 ? 0 : 2;
}

TEST_F(ProgramSetTest, OperationsOfIoUringAreEvents) {
  auto backend = open_bpf_backend({.ring_bytes = 64U << 10U});
  ASSERT_TRUE(backend) << backend.error().line();
  const Recording result = record(**backend, use_uring, 5);
  if (WEXITSTATUS(result.status) == 77) GTEST_SKIP() << "this kernel has no io_uring";
  ASSERT_EQ(result.status, 0);
  for (const std::string& note : result.coverage.degraded)
    if (note.find("io_uring") != std::string::npos) GTEST_SKIP() << note;
  const auto operations = result.of_kind(EventKind::io_uring);
  ASSERT_EQ(operations.size(), 2U);
  const auto with = [&](std::uint64_t user_data) {
    for (const KeptEvent* kept : operations)
      if (kept->event.args[2] == user_data) return kept->event;
    return Event{};
  };
  EXPECT_EQ(with(0xabc).args[0], static_cast<std::uint64_t>(IORING_OP_NOP));
  EXPECT_EQ(with(0xabc).result, 0);
  const Event opened = with(0xdef);
  EXPECT_EQ(opened.args[0], static_cast<std::uint64_t>(IORING_OP_OPENAT));
  EXPECT_TRUE(opened.has_exit);
  EXPECT_GE(opened.result, 3);
  EXPECT_EQ(opened.pid, result.pid);
  EXPECT_EQ(opened.origin_call, 5U);
  EXPECT_TRUE(result.coverage.complete);
}

// Many at once, all recorded whole. The limit of time is for a slow machine under load.
TEST_F(ProgramSetTest, ManyRecordersAtOnce) {
  constexpr int recorders = 60;
  const Clock::time_point start = Clock::now();
  pid_t children[recorders];
  for (pid_t& child : children) {
    child = fork();
    if (child != 0) continue;
    auto backend = open_bpf_backend({.ring_bytes = 64U << 10U});
    if (!backend) _exit(1);
    auto session =
        (*backend)->start_with(std::make_unique<KeepingSink>(std::make_shared<Events>()), {});
    GatedChild recorded([] { return calls(2000); });
    if (!session || !(*session)->adopt(recorded.pidfd(), recorded.pid(), 0)) _exit(2);
    recorded.open_gate();
    if (recorded.wait() != 0) _exit(3);
    const auto coverage = (*session)->close();
    _exit(coverage && coverage->complete && coverage->counters.recorded_enters >= 2000 ? 0 : 4);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0) << "exit status " << WEXITSTATUS(status);
  }
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("%d recorders at once: %.2f s\n", recorders, seconds);
  EXPECT_LT(seconds, 30);
}

// Not a limit, which load would break, but the figures for docs/recorder.md.
TEST_F(ProgramSetTest, CostOfOpening) {
  const auto timed = [](const char* what, const auto& open) {
    double best_wall = 1e9;
    double best_cpu = 1e9;
    for (int i = 0; i < 5; ++i) {
      rusage before{};
      rusage after{};
      getrusage(RUSAGE_SELF, &before);
      const Clock::time_point start = Clock::now();
      { ASSERT_TRUE(open()); }
      best_wall = std::min(best_wall,
                           std::chrono::duration<double, std::milli>(Clock::now() - start).count());
      getrusage(RUSAGE_SELF, &after);
      const auto ms = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
      };
      best_cpu = std::min(best_cpu, ms(after.ru_utime) + ms(after.ru_stime) - ms(before.ru_utime) -
                                        ms(before.ru_stime));
    }
    std::printf("%-34s %7.2f ms, %7.2f ms of processor\n", what, best_wall, best_cpu);
  };
  timed("relocate with libbpf", [] { return relocate_programs(); });
  ASSERT_TRUE(program_image(directory_->path()));
  timed("kept image", [&] { return program_image(directory_->path()); });
  for (const std::uint32_t ring : {64U << 10U, 1U << 20U, 4U << 20U}) {
    const std::string name = "open, ring of " + std::to_string(ring >> 10U) + " KiB";
    timed(name.c_str(), [&] { return BpfPrograms::load(ring, Waiting::best, directory_->path()); });
    auto held = BpfPrograms::load(ring, Waiting::best, directory_->path());
    ASSERT_TRUE(held);
    timed(("join" + name.substr(4)).c_str(),
          [&] { return BpfPrograms::load(ring, Waiting::best, directory_->path()); });
  }
}

}  // namespace
}  // namespace gyges::recorder
