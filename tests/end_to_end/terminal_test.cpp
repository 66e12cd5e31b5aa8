// gyges run at a terminal, as a person would use it.
#include <gmock/gmock.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "base/fd.h"
#include "base/json.h"
#include "gyges_process.h"

namespace gyges {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

// gyges at a terminal of 30 lines and 100 columns, whose other end the test holds.
class AtTerminal : public EndToEnd {
 protected:
  void start(const std::vector<std::string>& arguments) {
    winsize size{30, 100, 0, 0};
    int master = -1;
    pid_ = ::forkpty(&master, nullptr, nullptr, &size);
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) {
      ::setenv("TERM", "dumb", 1);
      std::vector<char*> argv = {const_cast<char*>(GYGES_BINARY)};
      for (const std::string& text : arguments) argv.push_back(const_cast<char*>(text.c_str()));
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(98);
    }
    master_.reset(master);
  }
  void start_shell(const std::string& recorder) {
    start({"run", "-q", "--recorder", recorder, "--workspace", directory_->path().string(), "--out",
           path("bundle").string(), "--", "bash", "--norc", "--noprofile", "-i"});
  }

  void TearDown() override {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    EndToEnd::TearDown();
  }

  void type(const std::string& keys) { ASSERT_TRUE(write_all(master_.get(), keys)); }

  // Reads until the text is there; what came before it is gone for the next call.
  void expect(const std::string& text) {
    auto deadline = Clock::now() + std::chrono::seconds(15);
    for (;;) {
      if (auto at = seen_.find(text); at != std::string::npos) {
        seen_.erase(0, at + text.size());
        return;
      }
      pollfd wait{master_.get(), POLLIN, 0};
      char chunk[4096];
      ssize_t n = ::poll(&wait, 1, 200) > 0 ? ::read(master_.get(), chunk, sizeof(chunk)) : 0;
      if (n > 0) seen_.append(chunk, static_cast<std::size_t>(n));
      if (n < 0 || Clock::now() > deadline) {
        FAIL() << "did not see " << text << " in: " << seen_;
      }
    }
  }

  int status() {
    // Whoever does not read holds up the writer.
    int state = 0;
    auto deadline = Clock::now() + std::chrono::seconds(15);
    while (::waitpid(pid_, &state, WNOHANG) == 0) {
      pollfd wait{master_.get(), POLLIN, 0};
      char chunk[4096];
      if (::poll(&wait, 1, 20) > 0 && ::read(master_.get(), chunk, sizeof(chunk)) < 0)
        ::usleep(1000);
      if (Clock::now() > deadline) return -1;
    }
    pid_ = -1;
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  }

  [[nodiscard]] bool is_cooked() const {
    termios modes{};
    return ::tcgetattr(master_.get(), &modes) == 0 && (modes.c_lflag & ICANON) != 0 &&
           (modes.c_lflag & ECHO) != 0;
  }

  pid_t pid_ = -1;
  UniqueFd master_;
  std::string seen_;
};

class AtTerminalWith : public AtTerminal, public ::testing::WithParamInterface<const char*> {};

TEST_P(AtTerminalWith, AShellHasJobControlAndAWindow) {
  start_shell(GetParam());
  type("stty size\n");
  expect("30 100");
  winsize larger{40, 120, 0, 0};
  ASSERT_EQ(::ioctl(master_.get(), TIOCSWINSZ, &larger), 0);
  type("sleep 0.3; stty size\n");
  expect("40 120");
  type("sleep 100\n");
  ::usleep(700000);
  type("\x1a");
  expect("Stopped");
  type("bg; jobs\n");
  expect("Running");
  type("fg\n");
  ::usleep(700000);
  type("\x03");
  type("echo status $?\n");
  expect("status 130");
  EXPECT_FALSE(is_cooked()) << "the caller's terminal passes keys on";
  type("exit 7\n");
  EXPECT_EQ(status(), 7);
  EXPECT_TRUE(is_cooked()) << "the terminal was not put back";
  EXPECT_EQ(read_json(path("bundle/run.json"))["terminal"], true);
}

// Its name is that of a file inside, which the agent may open like any terminal of its own.
TEST_F(AtTerminal, TheTerminalHasANameInside) {
  start_shell("off");
  type("stty -echo; tty; stat -c 'owner %u' $(tty); echo by name >$(tty); echo it is $(id -u)\n");
  expect("/dev/pts/0");
  expect("owner 1000");
  expect("by name");
  expect("it is 1000");
  type("readlink /proc/self/fd/0; ls /dev/pts; ps -o tty= -p $$; echo end\n");
  expect("/dev/pts/0");
  expect("ptmx");
  expect("pts/0");
  expect("end");
  type("exit\n");
  EXPECT_EQ(status(), 0);
}

INSTANTIATE_TEST_SUITE_P(Recorders, AtTerminalWith, ::testing::Values("off", "ptrace"));

TEST_F(AtTerminal, NothingCanBeTypedIntoTheCallersTerminal) {
  start_shell("off");
  type("python3 -c 'import fcntl, termios; fcntl.ioctl(0, termios.TIOCSTI, b\"x\")'\n");
  expect("Operation not permitted");
  type("exit\n");
  EXPECT_EQ(status(), 1);
}

TEST_F(AtTerminal, ItIsPutBackWhenTheCommandIsKilledOrCannotStart) {
  start({"run", "-q", "--recorder", "off", "--", "sh", "-c", "kill -9 $$"});
  EXPECT_EQ(status(), 137);
  EXPECT_TRUE(is_cooked());
  start({"run", "-q", "--recorder", "off", "--", "no-such-program"});
  EXPECT_EQ(status(), 127);
  EXPECT_TRUE(is_cooked());
}

TEST_F(AtTerminal, CanBeDeclined) {
  start({"run", "-q", "--recorder", "off", "--no-tty", "--", "sh", "-c",
         "test -t 0 || test -t 1 || echo pipes"});
  expect("pipes");
  EXPECT_EQ(status(), 0);
}

TEST_F(AtTerminal, AFloodIsBounded) {
  nlohmann::json policy =
      nlohmann::json::parse(gyges({"policy", "explain", "default", "--json"}).output)["policy"];
  policy["limits"]["output_bytes"] = 10000;
  ASSERT_TRUE(write_file_atomically(path("p.json").string(), policy.dump()));
  start({"run", "-q", "--recorder", "off", "--policy", path("p.json").string(), "--out",
         path("bundle").string(), "--workspace", directory_->path().string(), "--", "sh", "-c",
         "yes | head -c 3000000"});
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(read_json(path("bundle/run.json"))["limits_hit"][0]["limit"], "output_bytes");
}

}  // namespace
}  // namespace gyges
