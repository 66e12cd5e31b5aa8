// Many sandboxes in one supervisor, one after another and all at once: afterwards it has no
// descriptor, child, mount, cgroup, network namespace, BPF object or memory more than before.
//
// GYGES_SOAK_SERIES (default 100) and GYGES_SOAK_AT_ONCE (default 20) say how many; scripts/soak
// runs 10,000 and 200.
#include <gtest/gtest.h>
#include <linux/bpf.h>
#include <malloc.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "sandbox/isolation/sandbox.h"
#include "sandbox/recorder/recorder.h"
#include "tests/own_groups.h"

namespace gyges::isolation {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// A sanitizer keeps what is freed, to tell of later uses.
#ifdef __SANITIZE_ADDRESS__
constexpr bool memory_is_counted = false;
#else
constexpr bool memory_is_counted = true;
#endif

int number_from(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::atoi(text) : otherwise;
}

// Objects of the machine; only those of this process's own making are compared exactly, the others
// also belong to whoever else is at work.
struct Holdings {
  std::map<std::string, int> descriptors;  // by what they are
  std::size_t children = 0;
  std::size_t mounts = 0;
  std::size_t cgroups = 0;
  std::size_t resident_kib = 0;
  long programs = -1;  // BPF, of the machine; -1: not to be seen
  long maps = -1;
  long network_namespaces = -1;  // of the machine
};

long bpf_objects(int command) {
  bpf_attr attributes;
  std::memset(&attributes, 0, sizeof(attributes));
  long count = 0;
  while (::syscall(SYS_bpf, command, &attributes, sizeof(attributes)) == 0) {
    attributes.start_id = attributes.next_id;
    ++count;
  }
  return errno == ENOENT ? count : -1;
}

// From the kernel's own count of these objects, because one that leaks belongs to no process.
long network_namespaces() {
  auto text = read_file("/proc/slabinfo");
  if (!text) return -1;
  for (const std::string& line : split(*text, '\n')) {
    std::vector<std::string> words = split(line, ' ');
    std::erase(words, "");
    if (words.size() > 2 && words[0] == "net_namespace") return std::atol(words[1].c_str());
  }
  return -1;
}

std::string kind_of(const std::string& target) {
  return target.substr(0, target.find_first_of("[0123456789"));
}

Holdings look() {
  Holdings now;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd", ignored))
    ++now.descriptors[kind_of(fs::read_symlink(entry.path(), ignored).string())];
  auto children = read_file("/proc/self/task/" + std::to_string(::getpid()) + "/children");
  for (const std::string& pid : split(children.value_or(""), ' ')) now.children += !pid.empty();
  now.mounts = split(read_file("/proc/self/mountinfo").value_or(""), '\n').size();
  now.cgroups = groups_of(::getpid()).size();
  // What was freed below something that is in use stays with the allocator until it is asked:
  // 140 MiB after 200 recorded sandboxes at once, all of it for the next ones.
  ::malloc_trim(0);
  // Its own memory: the recorder's rings, which are kept for the next sandboxes, are shared with
  // the kernel and become resident as records come to each of their pages for the first time.
  constexpr std::string_view own = "RssAnon:";
  std::string status = read_file("/proc/self/status").value_or("");
  if (auto at = status.find(own); at != std::string::npos)
    now.resident_kib = static_cast<std::size_t>(std::atol(status.c_str() + at + own.size()));
  now.programs = bpf_objects(BPF_PROG_GET_NEXT_ID);
  now.maps = bpf_objects(BPF_MAP_GET_NEXT_ID);
  now.network_namespaces = network_namespaces();
  return now;
}

class Soak : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::string choice = GetParam();
    if (choice == "ebpf" && ::geteuid() != 0) GTEST_SKIP() << "loading BPF programs needs root";
    auto directory = TemporaryDirectory::create("gyges-soak");
    ASSERT_TRUE(directory) << directory.error().line();
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    auto policy = load_policy("default");
    ASSERT_TRUE(policy) << policy.error().line();
    policy_ = *policy;
    policy_.filesystem.workspace = Filesystem::Workspace::none;
    if (choice == "off") return;
    auto opened = recorder::Recorder::open(
        choice == "ebpf" ? recorder::Backend::ebpf : recorder::Backend::ptrace, {});
    ASSERT_TRUE(opened) << opened.error().line();
    recorder_ = std::move(*opened);
  }

  struct Living {
    std::unique_ptr<recorder::Session> session;
    std::unique_ptr<Sandbox> sandbox;
    CommandId command = 0;
    fs::path trace;
  };

  Result<Living> begin(const std::string& script) {
    Living living;
    if (recorder_) {
      living.trace = directory_->path() / fmt_number(made_);
      recorder::SessionOptions options;
      options.trace_file = living.trace;
      GYGES_TRY(living.session, recorder_->start(options));
    }
    ++made_;
    SandboxSpec spec{policy_, {}, living.session.get()};
    GYGES_TRY(living.sandbox, Sandbox::start(spec));
    Command command;
    command.argv = {"/bin/sh", "-c", script};
    command.environment = command_environment(policy_);
    command.directory = "/";
    GYGES_TRY(living.command, living.sandbox->spawn(command));
    return living;
  }

  Status end(Living living) {
    GYGES_TRY(std::optional<CommandEnd> ended,
              living.sandbox->wait(living.command, Clock::now() + std::chrono::seconds(120)));
    if (!ended || ended->exit_code != 0 || ended->signal != 0)
      return fail("run command", "", "it did not end well");
    GYGES_TRY(SandboxEnd rest, living.sandbox->stop(""));
    if (rest.changes.size() != 1) return fail("collect changes", "", "there is not one change");
    if (!living.session) return ok();
    GYGES_TRY(recorder::Coverage coverage, living.session->close());
    if (coverage.counters.lost != 0) return fail("record", "", "events were lost");
    std::error_code ignored;
    fs::remove(living.trace, ignored);
    return ok();
  }

  static std::string fmt_number(int number) { return std::to_string(number) + ".gyt"; }

  static void expect_no_more(const Holdings& before, const Holdings& after) {
    EXPECT_EQ(after.descriptors, before.descriptors);
    EXPECT_EQ(after.children, before.children);
    EXPECT_EQ(after.mounts, before.mounts);
    EXPECT_EQ(after.cgroups, before.cgroups);
  }

  static void print(const char* what, int count, const Holdings& before, const Holdings& after,
                    Clock::duration time) {
    std::printf(
        "%s, recorder %s: %d sandboxes in %.1f s; resident %zu -> %zu KiB; BPF programs %ld -> "
        "%ld, maps %ld -> %ld; network namespaces of the machine %ld -> %ld\n",
        what, GetParam(), count, std::chrono::duration<double>(time).count(), before.resident_kib,
        after.resident_kib, before.programs, after.programs, before.maps, after.maps,
        before.network_namespaces, after.network_namespaces);
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  std::unique_ptr<recorder::Recorder> recorder_;
  Policy policy_;
  int made_ = 0;
};

constexpr const char* one_change = "echo x > /tmp/x";

TEST_P(Soak, OneAfterAnother) {
  int count = number_from("GYGES_SOAK_SERIES", 100);
  auto one = [&] {
    auto living = begin(one_change);
    ASSERT_TRUE(living) << living.error().line();
    auto ended = end(std::move(*living));
    ASSERT_TRUE(ended) << ended.error().line();
  };
  // What is made once per process, and the heap's working size.
  for (int i = 0; i < 20 && !HasFatalFailure(); ++i) one();
  // The allocator takes a step of some MiB now and then (a heap more for a thread): a leak grows in
  // every series, and one of a page for each sandbox would show in a long one.
  bool grew = true;
  for (int series = 0; series < 3 && grew && !HasFailure(); ++series) {
    Holdings before = look();
    auto start = Clock::now();
    for (int i = 0; i < count && !HasFatalFailure(); ++i) one();
    auto time = Clock::now() - start;
    Holdings after = look();
    expect_no_more(before, after);
    grew = memory_is_counted &&
           after.resident_kib >= before.resident_kib + 1024 + static_cast<std::size_t>(count) * 2;
    print("one after another", count, before, after, time);
  }
  EXPECT_FALSE(grew) << "resident memory grew in each of three series";
}

TEST_P(Soak, AllAtOnce) {
  int count = number_from("GYGES_SOAK_AT_ONCE", 20);
  for (int i = 0; i < 3; ++i) {
    auto living = begin(one_change);
    ASSERT_TRUE(living) << living.error().line();
    ASSERT_TRUE(end(std::move(*living)));
  }
  Holdings before = look();
  auto start = Clock::now();
  std::vector<Living> all;
  for (int i = 0; i < count; ++i) {
    auto living = begin(one_change);
    ASSERT_TRUE(living) << i << ": " << living.error().line();
    all.push_back(std::move(*living));
  }
  Holdings meanwhile = look();
  EXPECT_GE(meanwhile.children, before.children + static_cast<std::size_t>(count));
  for (Living& living : all) {
    auto ended = end(std::move(living));
    EXPECT_TRUE(ended) << ended.error().line();
  }
  auto time = Clock::now() - start;
  all.clear();
  Holdings after = look();
  expect_no_more(before, after);
  print("all at once", count, before, after, time);
  if (memory_is_counted) {
    EXPECT_LT(after.resident_kib,
              before.resident_kib + 4096 + static_cast<std::size_t>(count) * 16);
  }
}

INSTANTIATE_TEST_SUITE_P(Recorders, Soak, ::testing::Values("off", "ptrace", "ebpf"),
                         [](const auto& row) { return std::string(row.param); });

}  // namespace
}  // namespace gyges::isolation
