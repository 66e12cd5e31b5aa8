// Every attempt of the attack program, in sandboxes of the shipped policies, beside the same
// attempt where the defences are missing.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <mqueue.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <map>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "control.h"
#include "expectations.h"
#include "sandbox/recorder/recorder.h"
#include "sandbox_fixture.h"

namespace gyges::isolation {
namespace {

struct Line {
  std::string item;
  std::string outcome;
};

std::map<std::string, Line> parse(const std::string& output) {
  std::map<std::string, Line> lines;
  for (const std::string& line : split(output, '\n')) {
    std::vector<std::string> words = split(line, ' ');
    if (words.size() >= 3) lines[words[1]] = Line{words[0], words[2]};
  }
  return lines;
}

bool one_of(const std::string& words, const std::string& word) {
  for (const std::string& candidate : split(words, '|'))
    if (candidate == word) return true;
  return false;
}

// A kernel without the entry for 32-bit calls answers them with SIGSEGV before any filter; taken
// only where the same attempt without defences ends so too.
bool has_no_entry(const std::string& outcome, const std::string& unprotected) {
  return outcome == "killed:SEGV" && unprotected == "killed:SEGV";
}

class Attack : public SandboxTest {
 protected:
  void SetUp() override {
    auto directory = TemporaryDirectory::create("gyges-attack");
    ASSERT_TRUE(directory);
    // A segment of the host's, whose key the attempt reads from the marker's name.
    key_ = 0x1000000 + ::getpid();
    segment_ = ::shmget(key_, 4096, IPC_CREAT | IPC_EXCL | 0600);
    ASSERT_GE(segment_, 0);
    // So are a queue and an abstract socket.
    queue_name_ = fmt::format("/gyges-attack-{}", key_);
    queue_ = ::mq_open(queue_name_.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600, nullptr);
    ASSERT_TRUE(queue_ >= 0 || errno == ENOSYS) << "make a message queue";
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(with_abstract_address(::bind, listener_.get()), 0);
    ASSERT_EQ(::listen(listener_.get(), 1), 0);
    UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(with_abstract_address(::connect, client.get()), 0) << "the host itself connects";
    directory_ = std::make_unique<TemporaryDirectory>(std::move(*directory));
    marker_ = (directory_->path() / fmt::format("marker-{}", key_)).string();
    ASSERT_TRUE(write_file_atomically(marker_, "of the host\n"));
    ::setenv("GYGES_ATTACK_SECRET", "1", 1);
  }

  void TearDown() override {
    ::shmctl(segment_, IPC_RMID, nullptr);
    if (queue_ >= 0) {
      ::mq_close(queue_);
      ::mq_unlink(queue_name_.c_str());
    }
  }

  int with_abstract_address(int (*act)(int, const sockaddr*, socklen_t), int fd) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string name = fmt::format("gyges-attack-{}", key_);
    std::copy(name.begin(), name.end(), address.sun_path + 1);
    return act(fd, reinterpret_cast<sockaddr*>(&address),
               static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size()));
  }

  std::map<std::string, Line> inside(const Policy& policy, recorder::Session* session = nullptr) {
    SandboxSpec spec{policy, {}, session};
    SeedFile program;
    program.path = "/home/user/attack";
    program.content = std::string(attack::attack_program());
    program.mode = 0755;
    spec.seed.push_back(program);
    start(spec);
    Ran ran = run_argv({"/home/user/attack", "/home/user", marker_});
    EXPECT_EQ(ran.end.exit_code, 0) << ran.output;
    stop();
    sandbox_.reset();
    return parse(ran.output);
  }

  std::unique_ptr<TemporaryDirectory> directory_;
  std::string marker_;
  int key_ = 0;
  int segment_ = -1;
  std::string queue_name_;
  mqd_t queue_ = -1;
  UniqueFd listener_;
};

TEST_F(Attack, RefusesToRunOnTheHost) {
  std::filesystem::path path = directory_->path() / "attack";
  ASSERT_TRUE(write_file_atomically(path, attack::attack_program(), 0755));
  std::string command = path.string() + " / / 2>/dev/null";
  int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

struct Combination {
  const char* preset;
  const char* recorder;
};

// A covering set: every preset and every recorder; GYGES_ATTACK_MATRIX=all takes each with each.
std::vector<Combination> combinations() {
  constexpr const char* presets[] = {"default", "strict", "coding_agent", "observe", "episode"};
  constexpr const char* recorders[] = {"ebpf", "ptrace", "off"};
  const char* matrix = std::getenv("GYGES_ATTACK_MATRIX");
  bool all = matrix != nullptr && std::string(matrix) == "all";
  std::vector<Combination> chosen;
  std::size_t next = 0;
  for (const char* preset : presets) {
    for (std::size_t i = 0; i < std::size(recorders); ++i)
      if (all || i == next % std::size(recorders)) chosen.push_back({preset, recorders[i]});
    ++next;
  }
  return chosen;
}

TEST_F(Attack, NoPresetAndNoRecorderLetsAnAttemptThrough) {
  auto output = attack::run_control(marker_);
  ASSERT_TRUE(output) << output.error().line();
  auto control = parse(*output);
  for (auto [preset, recorder] : combinations()) {
    // Loading BPF programs needs root; what an ordinary user gets is ptrace.
    bool bpf = std::string(recorder) == "ebpf" && ::geteuid() == 0;
    std::string where = fmt::format("{}, recorder {}", preset, recorder);
    auto policy = load_policy(preset);
    ASSERT_TRUE(policy) << policy.error().line();
    policy->filesystem.workspace = Filesystem::Workspace::none;
    policy->limits.wall_seconds = 60;
    std::unique_ptr<recorder::Recorder> backend;
    std::unique_ptr<recorder::Session> session;
    if (std::string(recorder) != "off") {
      auto opened =
          recorder::Recorder::open(bpf ? recorder::Backend::ebpf : recorder::Backend::ptrace, {});
      ASSERT_TRUE(opened) << opened.error().line();
      backend = std::move(*opened);
      recorder::SessionOptions options;
      options.trace_file = directory_->path() / fmt::format("{}.gyt", preset);
      std::filesystem::remove(options.trace_file);
      auto begun = backend->start(options);
      ASSERT_TRUE(begun) << begun.error().line();
      session = std::move(*begun);
    }
    auto found = inside(*policy, session.get());
    if (session) {
      auto coverage = session->close();
      ASSERT_TRUE(coverage) << where << ": " << coverage.error().line();
      EXPECT_EQ(coverage->counters.lost, 0U) << where;
    }
    for (const attack::Expected& row : attack::expectations()) {
      ASSERT_EQ(found.count(row.name), 1U) << where << ": " << row.name << " was not tried";
      const std::string& outcome = found[row.name].outcome;
      // That recorder takes the flag away before the filter sees it, and records the child.
      bool taken_away = std::string(row.name) == "clone_untraced" && session && !bpf;
      if (taken_away && outcome == "worked") continue;
      EXPECT_TRUE(one_of(row.inside, outcome) || outcome == "EPERM" || outcome == "EAFNOSUPPORT" ||
                  has_no_entry(outcome, control[row.name].outcome))
          << where << ": " << row.name << ": " << outcome << ", expected " << row.inside;
    }
  }
}

TEST_F(Attack, EveryAttemptIsRefusedInsideAndNotInTheControl) {
  auto found = inside(test_policy());
  auto output = attack::run_control(marker_);
  ASSERT_TRUE(output) << output.error().line();
  auto control = parse(*output);
  bool root = ::geteuid() == 0;
  int with_control = 0;
  for (const attack::Expected& row : attack::expectations()) {
    ASSERT_EQ(found.count(row.name), 1U) << row.name << " was not tried";
    const Line& line = found[row.name];
    std::string unprotected = control.count(row.name) > 0 ? control[row.name].outcome : "not tried";
    std::printf("%-4s %-24s %-14s %-12s %s\n", line.item.c_str(), row.name, line.outcome.c_str(),
                unprotected.c_str(), row.why);
    EXPECT_TRUE(one_of(row.inside, line.outcome) || has_no_entry(line.outcome, unprotected))
        << line.item << " " << row.name << ": " << line.outcome << ", expected " << row.inside;
    if (*row.control == '-' || (row.root_only && !root)) continue;
    ++with_control;
    if (std::string(row.control) == "worked")
      EXPECT_EQ(unprotected, "worked") << line.item << " " << row.name << ", the control";
    else
      EXPECT_NE(unprotected, line.outcome) << line.item << " " << row.name << ", the control";
  }
  EXPECT_EQ(found.size(), attack::expectations().size());
  std::printf("%zu attempts, %d with a positive control\n", found.size(), with_control);
}

}  // namespace
}  // namespace gyges::isolation
